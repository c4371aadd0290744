"""The invariants hold whatever happens in whatever order, and the machine that says so can see bugs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.store.conftest import open_store
from tests.store.machine import (
    CountsTwice,
    FreeAttempts,
    FrontierMachine,
    NoFence,
    NoInterval,
    NoLease,
    NoWake,
    StillClock,
)

#: The same examples in each run: a run that fails by chance belongs into `make chaos`, not here.
EXAMPLES = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    # Shrinking takes longer than a test may; put it back to read a failure.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
PLANTED = settings(EXAMPLES, max_examples=200)


@pytest.fixture
def bound(store_url: str) -> Iterator[None]:
    """Let the machine work on this database, on an event loop of its own."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        store = runner.run(stack.enter_async_context(open_store(store_url, StillClock())))
        FrontierMachine.store, FrontierMachine.runner = store, runner
        yield
        runner.run(stack.aclose())


@pytest.mark.usefixtures("bound")
@pytest.mark.slow
def test_invariants_hold_in_any_order_of_calls() -> None:
    run_state_machine_as_test(FrontierMachine, settings=EXAMPLES)


@pytest.mark.slow
@pytest.mark.usefixtures("bound")
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("bug", "noticed"),
    [
        (NoFence, "I3 who does not hold the lease has written"),
        (NoLease, "I3"),
        (CountsTwice, "counts . completed, there are"),
        (NoInterval, "I5"),
        (FreeAttempts, "I4"),
        (NoWake, "nobody will look"),
    ],
)
def test_a_planted_bug_is_noticed(bug: type[FrontierMachine], noticed: str) -> None:
    with pytest.raises(AssertionError, match=noticed):
        run_state_machine_as_test(bug, settings=PLANTED)
