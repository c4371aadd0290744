"""One crawl in this process, on a database of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from api.results import record_fields
from cli.follow import Follower
from cli.output import Output, open_output
from cli.progress import Display, Snapshot, open_display
from cli.run_state import RunState, open_state
from cli.signals import stopping_on_signals
from cli.summary import Summary
from crawler import urls
from crawler.errors import ConfigurationError
from crawler.model import CrawlStatus, CrawlView
from crawler.options import CrawlOptions, parse_options
from crawler.runtime import Runtime
from crawler.settings import Settings
from crawler.store.accounts import LOCAL_ACCOUNT

#: How often new records are looked for.
_POLL_SECONDS = 0.25


def crawl_here(body: Mapping[str, Any], target: str, *, quiet: bool) -> Summary:
    """Crawl in this process, or go on with what an earlier call of the same command has left.

    `body` is the request, `target` the output. The summary of a crawl that was stopped has the status RUNNING.
    Raises CrawlError and OSError.
    """
    settings = Settings.load()
    options = parse_options(body, now=datetime.now(UTC))
    with open_state(settings.data_dir, body, target) as state:
        if state.is_started and not quiet:
            click.echo("Going on with the crawl that was stopped.", err=True)
        with open_display(quiet=quiet) as display:
            summary = asyncio.run(_run(options, state, state.settings(settings), target, display))
        if summary.status is not CrawlStatus.RUNNING:
            state.remove()
    return summary


async def _run(
    options: CrawlOptions, state: RunState, settings: Settings, target: str, display: Display
) -> Summary:
    """Crawl until the end or the first signal; in the second case the crawl is still running."""
    began = time.monotonic()
    stop = asyncio.Event()
    with stopping_on_signals(stop):
        async with Runtime(settings, also_allow_host=urls.host_of(options.url)) as runtime:
            if options.render and (problem := await runtime.check_browser()) != "ok":
                message = f"{problem} --no-render works without a browser."
                raise ConfigurationError(message)
            # The same key each time: a crawl that was stopped is found again.
            crawl_id = await runtime.service.create(LOCAL_ACCOUNT, options, idempotency_key="run")
            scheme = options.url.partition(":")[0]
            with open_output(target, scheme=scheme, continued=state.is_started) as output:
                state.start()
                crawl = await _work(runtime, crawl_id, stop, output, display)
            receipt = await runtime.service.receipt(LOCAL_ACCOUNT, crawl_id)
    return Summary(
        crawl_id=crawl_id,
        url=options.url,
        status=crawl.status,
        receipt=receipt,
        elapsed_seconds=time.monotonic() - began,
        browser_seconds=crawl.browser_seconds,
        output=target,
        error=crawl.error,
    )


async def _work(
    runtime: Runtime, crawl_id: str, stop: asyncio.Event, output: Output, display: Display
) -> CrawlView:
    work = asyncio.create_task(runtime.work(stop), name="work")
    try:
        crawl = await _follow(runtime, crawl_id, work, output, display)
    except BaseException:
        # Nobody takes the results any more, so pages in flight need not finish.
        work.cancel()
        raise
    finally:
        stop.set()
        await asyncio.wait({work})
    await work
    return crawl


async def _follow(
    runtime: Runtime, crawl_id: str, work: asyncio.Task[None], output: Output, display: Display
) -> CrawlView:
    """Write every record when it ends, until the crawl or the work on it has ended."""
    follower = Follower(partial(runtime.service.read, LOCAL_ACCOUNT, crawl_id))
    while True:
        is_last = work.done()
        async for record in follower.new_records():
            if record.url not in output.written:
                output.write(record_fields(record))
        crawl = follower.crawl
        assert crawl is not None
        if runtime.stopped:
            raise ConfigurationError("; ".join(runtime.stopped.values()))
        display.show(Snapshot(crawl.finished, crawl.total, crawl.errored, runtime.hosts))
        if is_last or crawl.status is not CrawlStatus.RUNNING:
            return crawl
        await asyncio.wait({work}, timeout=_POLL_SECONDS)
