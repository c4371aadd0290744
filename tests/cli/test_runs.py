"""`crawl diff`, `retry` and `continue` against a real server."""

from __future__ import annotations

import json

from aiohttp import web

from tests.cli.origin import serving
from tests.cli.process import crawl
from tests.cli.test_remote import client

__all__ = ["client"]

STATIC = ("--no-render", "--source", "links", "--max-age", "0", "--wait", "--quiet", "--json")


async def test_retry_continue_and_diff(client: dict[str, str]) -> None:
    pages = {"/": "<title>t</title><p>Tides<a href=/a>a</a><a href=/b>b</a>", "/b": "<p>High water at noon"}

    async def answer(request: web.Request) -> web.Response:
        if request.path not in pages:
            raise web.HTTPNotFound
        return web.Response(text=pages[request.path], content_type="text/html")

    async with serving(answer) as site:

        async def run(*arguments: str) -> str:
            ended = await crawl(*arguments, env=client)
            assert ended.code in {0, 3}, ended.err
            return ended.out.strip()

        first = json.loads(await run("submit", site, "--limit", "2", *STATIC))
        assert (first["completed"], first["errored"]) == (1, 1)
        pages["/a"] = "<p>Slack water"
        retried = json.loads(await run("retry", first["id"], "--wait", "--quiet", "--json"))
        assert (retried["url"], retried["completed"]) == (f"{site}a", 1)
        rest = json.loads(await run("continue", first["id"], "--limit", "9", "--wait", "--quiet", "--json"))
        assert (rest["url"], rest["completed"]) == (f"{site}b", 1)

        second = json.loads(await run("submit", site, "--limit", "9", *STATIC))["id"]
        # The bell and a direction mark are the page's, and nothing for a terminal.
        pages["/b"] = "<p>High water\a at \u202etwo"
        del pages["/a"]
        third = json.loads(await run("submit", site, "--limit", "9", *STATIC))["id"]
        shown = await crawl("diff", third, env=client)
        assert shown.err == f"0 new, 1 same, 1 changed, 1 removed, 0 unknown, since {second}\n"
        assert shown.out.splitlines() == [
            f"removed  {site}a  (gone)",
            f"changed  {site}b",
            "    @@ -1 +1 @@",
            "    -High water at noon",
            "    +High water\\x07 at \\u202etwo",
        ]
        against = await run("diff", third, first["id"], "--no-diff", "--status", "new", "--json")
        assert json.loads(against)["url"] == f"{site}b"

        refused = await crawl("continue", third, "--limit", "9", env=client)
        assert refused.code == 2
        assert "nothing to go on with" in refused.err
        assert (await crawl("retry", third, "-o", "x", env=client)).code == 2
