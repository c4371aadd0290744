"""What it costs without any fault that a lease has a token which is compared, and a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from statistics import quantiles
from typing import Any

from sqlalchemy import Engine, event, make_url

from bench.backend import Backend
from bench.fill import DATABASES, Filled, open_filled
from bench.frontier import TURN, Probe
from bench.report import Check, at_most, print_table
from crawler.store.database import Database

_SIZE, _HOSTS = 20_000, 1
_TARGET_PERCENT = 3
#: As the finishing statement has it.
_FENCE = " AND urls.lease_token = settled.token"
_HEARTBEATS = 50


def costs(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` pages with the fence and as many without it, in turns, and some heartbeats, on each database."""
    del rounds
    rows, checks = [], []
    for database in DATABASES:
        with ExitStack() as stack:
            fenced, open_ = (
                stack.enter_context(open_filled(backend, database, _SIZE, hosts=_HOSTS, is_done=False))
                for _ in range(2)
            )
            stack.enter_context(_without_fence(open_.url))
            page_ms, difference_ms, beat_ms = asyncio.run(_measure([fenced, open_], pages))
        percent = max(0.0, difference_ms) / page_ms * 100 + beat_ms / 1000 * 100
        rows.append([database, f"{page_ms:.3f}", f"{difference_ms:+.3f}", f"{beat_ms:.2f}"])
        checks.append(at_most(f"fencing and heartbeats, {database}", percent, _TARGET_PERCENT, " %"))
    header = ["database", "lease + finish, ms/page", "of which the comparison", "a heartbeat, ms each second"]
    print_table(header, rows)
    return checks


async def _measure(filled: Sequence[Filled], pages: int) -> tuple[float, float, float]:
    """Milliseconds: of a page, of the fence in it, of a heartbeat."""
    async with AsyncExitStack() as stack:
        fenced, open_ = [
            Probe(await stack.enter_async_context(Database(one.url)), one, delay_ms=0) for one in filled
        ]
        for probe in (fenced, open_):
            await probe.wake(only_first=True)
            await probe.take_turn()  # statements are compiled, connections opened
        turns = [(await fenced.take_turn(), await open_.take_turn()) for _ in range(max(4, pages // TURN))]
        beats = [await fenced.beat() for _ in range(_HEARTBEATS)]
    with_fence, without = (_undisturbed(of_one) for of_one in zip(*turns, strict=True))
    return with_fence, with_fence - without, _undisturbed(beats)


def _undisturbed(measured: Sequence[float]) -> float:
    """The quartile of the fast ones: what else runs on the machine only makes slower, and the difference is small."""
    return quantiles(measured, n=4)[0]


@contextmanager
def _without_fence(url: str) -> Iterator[None]:
    """Take the comparison out of every statement that goes to this database."""
    database, dropped = make_url(url).database, 0

    def drop(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        nonlocal dropped
        if connection.engine.url.database == database and _FENCE in statement:
            dropped += 1
            statement = statement.replace(_FENCE, "")
        return statement, parameters

    event.listen(Engine, "before_cursor_execute", drop, retval=True)
    try:
        yield
        assert dropped, "the statement is another one than this measures"
    finally:
        event.remove(Engine, "before_cursor_execute", drop)
