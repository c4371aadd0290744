"""The child's side of the pipe: answer requests on stdin one after the other on stdout, and end when stdin does.

So a child never outlives its parent by more than the document at hand, and the CPU limit bounds that. It gets no
environment, writes no files and opens no sockets. A message is two big-endian lengths of 4 bytes, then JSON and bytes.
JSON, not pickle: what a child says must not become code in its parent.
"""

from __future__ import annotations

import gc
import json
import resource
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")

Options = Mapping[str, Any]
#: From a request's header and body, and the options of the process, to the answer's.
Answerer = Callable[[dict[str, Any], bytes, Options], tuple[dict[str, Any], str]]


def serve(answer: Answerer) -> None:
    """Serve until stdin ends. The one argument of the program is JSON: its options."""
    options = json.loads(sys.argv[1])
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _limit(options["memory_bytes"])
    # The modules that are loaded live as long as the process; the collector need not look at them for every page.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    while (request := receive(requests)) is not None:
        _limit_cpu(options["timeout_seconds"])
        header, body = request
        try:
            head, text = answer(header, body, options)
        except MemoryError:
            head, text = {"failure": "too_large", "detail": "out of memory"}, ""
        answers.write(message(head, text.encode("utf-8", "replace")))
        answers.flush()


def message(header: Mapping[str, Any], body: bytes) -> bytes:
    """One message as bytes."""
    head = json.dumps(header).encode()
    return LENGTHS.pack(len(head), len(body)) + head + body


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message, or None at the end."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body = LENGTHS.unpack(lengths)
    return json.loads(stream.read(head)), stream.read(body)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))


def _limit_cpu(timeout_seconds: float) -> None:
    """Give the next page its time. The parent's clock ends it earlier, as long as there is a parent."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + timeout_seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
