"""The web server of the pages: nginx where it is installed, else one of our own, on a free port of the loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers import free_port

_START_SECONDS = 10.0
_AGE_SECONDS = 30 * 24 * 3600

#: One line of the log per answer: seconds since the epoch when it was sent, bytes with its head, host, path.
_NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  types {{ text/html html; text/javascript js; application/json json; text/plain txt; }}
  log_format times '$msec $bytes_sent $host $uri';
  access_log {log};
  keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ {listen} root {folder}/www; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of the server: when, seconds since the epoch, how many bytes, and for which host and path."""

    at: float
    size: int
    host: str
    path: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The running server. `name` says which it is."""

    name: str
    port: int
    _log: Path

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a page, under any host name that leads here."""
        return f"http://{host}:{self.port}{path}"

    def hits(self) -> list[Hit]:
        """What was asked for so far; only where `serve` was told to log."""
        lines = (line.split(" ", 3) for line in self._log.read_text().splitlines())
        return [Hit(float(at), int(size), host, path) for at, size, host, path in lines]


@contextmanager
def serve(
    write: Callable[[Path], None], *, is_logged: bool = False, addresses: Sequence[str] = ("127.0.0.1",)
) -> Iterator[Origin]:
    """Serve what `write` puts into a folder, at 127.0.0.1 and perhaps at more `addresses`.

    Raises RuntimeError when the server does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="crawl-bench-origin-"))
    try:
        www = folder / "www"
        www.mkdir()
        write(www)
        _age(www)
        port, log = free_port(), folder / "access.log"
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if nginx is None:
            name = "own server"
            command = [sys.executable, "-m", "bench.programs.own_origin", str(www)]
            command += [",".join(addresses), str(port)]
            command += [str(log)] if is_logged else []
        else:
            name = "nginx"
            config = folder / "nginx.conf"
            config.write_text(
                _NGINX.format(
                    folder=folder,
                    listen="".join(f"listen {address}:{port}; " for address in addresses),
                    log=f"{log} times" if is_logged else "off",
                    # The folder is ours alone, and nginx as root would drop to a user that cannot read it.
                    user="user root;" if os.geteuid() == 0 else "",
                )
            )
            command = [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        log.touch()
        with _running(command, port):
            yield Origin(name, port, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _age(www: Path) -> None:
    """Make the files as old as those of real sites. For a tenth of a script's age a browser uses its copy and does not
    ask again: with new files the candidate that comes first would make most requests."""
    written_at = time.time() - _AGE_SECONDS
    for path in www.rglob("*"):
        os.utime(path, (written_at, written_at))


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"{command[0]} did not start"
                raise RuntimeError(message)
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
