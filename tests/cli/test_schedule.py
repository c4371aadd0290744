"""`crawl schedule` against a real `crawl serve`."""

from __future__ import annotations

import json

from cli.printable import printable
from tests.cli.origin import Chain
from tests.cli.process import crawl
from tests.cli.test_remote import client

#: The fixture of a running server.
__all__ = ["client"]

STATIC = ("--no-render", "--source", "links", "--limit", "3")


async def test_a_schedule_from_add_to_remove(client: dict[str, str], chain: Chain) -> None:
    when = ("--cron", "30 3 * * *", "--timezone", "Europe/Berlin", "--name", "docs", "--overlap", "queue")
    added = await crawl("schedule", "add", chain.url, *when, *STATIC, env=client)
    assert added.code == 0, added.err
    schedule_id = added.out.strip()

    ran = await crawl("schedule", "run-now", schedule_id, env=client)
    assert ran.code == 0, ran.err
    watched = await crawl("watch", ran.out.strip(), "--json", "--quiet", env=client)
    assert json.loads(watched.out)["completed"] == 3

    assert (await crawl("schedule", "pause", schedule_id, env=client)).err == "Paused.\n"
    shown = await crawl("schedule", "show", schedule_id, "--json", env=client)
    found = json.loads(shown.out)
    assert (found["paused"], found["cron"], found["crawl"]["limit"]) == (True, "30 3 * * *", 3)
    assert [(run["status"], run["crawlId"]) for run in found["runs"]] == [("ran", ran.out.strip())]
    assert (await crawl("schedule", "resume", schedule_id, env=client)).code == 0

    listed = await crawl("schedule", "list", env=client)
    assert listed.out.startswith(f"{schedule_id}  30 3 * * * Europe/Berlin  ")
    assert listed.out.endswith(f"  {chain.url}  docs\n")

    refused = await crawl("schedule", "add", chain.url, "--every", "30s", env=client)
    assert (refused.code, refused.err) == (2, "crawl: intervalSeconds should be at least 60.\n")

    assert (await crawl("schedule", "remove", schedule_id, env=client)).code == 0
    gone = await crawl("schedule", "show", schedule_id, env=client)
    assert (gone.code, gone.err) == (1, "crawl: Schedule not found\n")


async def test_a_name_that_would_tell_a_terminal_something_is_refused(client: dict[str, str]) -> None:
    name = "Häfen\n\x1b]0;mine\a\x9b\u202e\u2028end"
    ended = await crawl(
        "schedule", "add", "https://example.com/", "--every", "1d", "--name", name, *STATIC, env=client
    )
    assert (ended.code, ended.out) == (2, "")
    assert "name contains control or direction characters" in ended.err
    # A server of another version may have one all the same.
    assert printable(name) == "Häfen\\n\\x1b]0;mine\\x07\\x9b\\u202e\\u2028end"


async def test_a_wrong_duration_is_wrong_usage(env: dict[str, str]) -> None:
    ended = await crawl("schedule", "add", "https://example.com/", "--every", "often", env=env)
    assert ended.code == 2
    assert "write it as 90s, 30m, 6h, 1d or 2w" in ended.err
