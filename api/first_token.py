"""The token of a server for which nobody has chosen one."""

from __future__ import annotations

import os

from crawler.errors import ConfigurationError
from crawler.settings import Settings
from crawler.store.accounts import is_generated_token, new_token


def generated_token(settings: Settings) -> tuple[str, bool]:
    """The token in the data folder, and whether it has just been made and should be shown.

    Raises ConfigurationError when the file holds something else.
    """
    path = settings.data_dir / "token"
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = new_token().text
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.read_text().strip()
        if not is_generated_token(found):
            message = f"{path} holds no token; delete it and a new one is made."
            raise ConfigurationError(message) from None
        return found, False
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token, True
