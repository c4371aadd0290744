"""What is kept between two calls of a command: by one process at a time, and not longer than it is needed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.run_state import open_state
from crawler.errors import ConfigurationError

BODY = {"url": "https://a.test/"}


def test_nothing_is_left_of_a_crawl_that_has_ended(tmp_path: Path) -> None:
    with open_state(tmp_path, BODY, "out") as state:
        state.start()
    with open_state(tmp_path, BODY, "out") as state:
        assert state.is_started
        state.remove()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_crawl_that_runs_is_not_run_again(tmp_path: Path) -> None:
    with (
        open_state(tmp_path, BODY, "out"),
        pytest.raises(ConfigurationError, match="running already"),
        open_state(tmp_path, BODY, "out"),
    ):
        pass


def test_a_lock_that_is_removed_is_never_held_by_two(tmp_path: Path) -> None:
    inside = tmp_path / "inside"

    def begin_and_end(_number: int) -> str:
        try:
            with open_state(tmp_path, BODY, "out") as state:
                inside.touch(exist_ok=False)
                inside.unlink()
                state.remove()
        except ConfigurationError:
            return "refused"
        return "done"

    # Threads are as good as processes: a lock belongs to the file that was opened.
    with ThreadPoolExecutor(8) as threads:
        ends = Counter(threads.map(begin_and_end, range(4000)))

    assert ends["done"] > 1
    assert list((tmp_path / "runs").iterdir()) == []
