"""Who can reach this server by mistake: its bind address, the Host header, and the first token."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from ipaddress import ip_address

from crawler.errors import ConfigurationError, InvalidRequest
from crawler.settings import Settings
from crawler.store.accounts import is_generated_token, new_token

_PORT = re.compile(r":\d*$")


def refuse_open_bind(settings: Settings) -> None:
    """Raise ConfigurationError when other machines could reach a server whose token nobody has chosen."""
    if not settings.api_token and not is_loopback(settings.host):
        message = (
            f"Binding {settings.host or 'every address'} lets other machines in; set CRAWL_API_TOKEN first, "
            "or bind 127.0.0.1."
        )
        raise ConfigurationError(message)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that binds `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, settings: Settings) -> None:
    """Raise InvalidRequest for a Host header that is not one of ours.

    A page in somebody's browser can make its own host name resolve to this server (DNS rebinding), but cannot
    change what its requests call it. Addresses and localhost are never such a name. A server that binds more than
    the loopback is called by names that we cannot know: unless ALLOWED_HOSTS says which, all pass.
    """
    name = _PORT.sub("", host).strip("[]").lower()
    if name == "localhost" or _is_address(name):
        return
    allowed = {entry.lower() for entry in settings.allowed_hosts}
    if name in allowed or (not allowed and not is_loopback(settings.host)):
        return
    raise InvalidRequest("This server does not answer to this Host; name it in CRAWL_ALLOWED_HOSTS.")


def _is_address(name: str) -> bool:
    with suppress(ValueError):
        ip_address(name)
        return True
    return False


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
