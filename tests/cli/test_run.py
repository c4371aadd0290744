"""`crawl run` from its command line to its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.origin import Chain, serving, serving_pages
from tests.cli.process import ROOT, crawl, end_of, interrupt, read_until, running

STATIC = ("--no-render", "--source", "links", "--limit", "100")


async def lines_of(file: Path, *, at_least: int) -> None:
    """Wait until the file has so many lines."""
    async with asyncio.timeout(30):
        while not file.exists() or file.read_bytes().count(b"\n") < at_least:
            await asyncio.sleep(0.02)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_folder_mirrors_the_site(chain: Chain, env: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "out"

    ended = await crawl("run", chain.url, *STATIC, "-f", "markdown", "-f", "html", "-o", str(folder), env=env)

    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "13 pages completed" in ended.err
    host = chain.url.removeprefix("http://").rstrip("/").replace(":", "_")
    assert "This is page 3" in (folder / host / "3.md").read_text()
    assert "<p>This is page 0" in (folder / host / "index.html").read_text()
    index = read_lines(folder / "index.jsonl")
    assert [record["url"] for record in index] == chain.urls
    assert index[3]["metadata"]["title"] == "Page 3"
    assert index[3]["files"] == {"markdown": f"{host}/3.md", "html": f"{host}/3.html"}
    assert "html" not in index[3]


async def test_a_jsonl_file_has_every_record_with_its_contents(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("what was here before\n")

    ended = await crawl("run", chain.url, *STATIC, "--output", str(file), env=env)

    assert ended.code == 0, ended.err
    records = read_lines(file)
    assert [record["url"] for record in records] == chain.urls
    assert "This is page 7" in records[7]["markdown"]


async def test_records_go_to_standard_output_and_the_summary_to_standard_error(
    chain: Chain, env: dict[str, str]
) -> None:
    ended = await crawl("run", chain.url, *STATIC, "--json", "--quiet", env=env)

    assert ended.code == 0, ended.err
    assert [json.loads(line)["url"] for line in ended.out.splitlines()] == chain.urls
    summary = json.loads(ended.err)
    assert summary["status"] == "completed"
    assert (summary["completed"], summary["errored"], summary["url"]) == (13, 0, chain.url)


async def test_with_an_output_the_summary_is_the_data(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    ended = await crawl("run", chain.url, *STATIC, "--json", "-q", "-o", str(tmp_path / "out"), env=env)

    assert ended.err == ""
    assert json.loads(ended.out)["output"] == str(tmp_path / "out")


async def test_a_crawl_replaces_the_output_of_the_one_before(env: dict[str, str], tmp_path: Path) -> None:
    pages = {"/": "<p>all of it<a href=/gone>a</a><a href=/lost>b</a>", "/gone": "<p>old", "/lost": "<p>old"}
    folder = tmp_path / "out"
    async with serving_pages(pages) as site:
        command = ("run", site, *STATIC, "-o", str(folder))
        assert (await crawl(*command, env=env)).code == 0
        assert {path.name for path in folder.rglob("*.md")} == {"index.md", "gone.md", "lost.md"}
        pages["/"] = "<p>less of it<a href=/lost>b</a>"
        del pages["/lost"]
        ended = await crawl(*command, env=env)

    assert ended.code == 0, ended.err
    assert {path.name for path in folder.rglob("*.md")} == {"index.md"}


async def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    command = ("run", chain.url, *STATIC, "--output", str(folder))
    chain.hold("/6")
    async with running(*command, env=env) as first:
        await chain.arrival()
        interrupt(first)
        await read_until(first.stderr, "Stopping")
        chain.release()
        ended = await end_of(first)

    assert ended.code == 130, ended.err
    assert "goes on from here" in ended.err
    done = [record["url"] for record in read_lines(folder / "index.jsonl")]
    assert done == chain.urls[: len(done)]
    assert len(done) >= 6

    second = await crawl(*command, env=env)

    assert second.code == 0, second.err
    assert "Going on" in second.err
    assert [record["url"] for record in read_lines(folder / "index.jsonl")] == chain.urls
    assert {path: count for path, count in chain.requests.items() if path[1:].isdecimal()} == {
        f"/{number}": 1 for number in range(1, 13)
    }

    assert list(Path(env["CRAWL_DATA_DIR"], "runs").iterdir()) == []
    third = await crawl(*command, env=env)

    assert third.code == 0
    assert "Going on" not in third.err
    assert chain.requests["/12"] == 2
    assert [record["url"] for record in read_lines(folder / "index.jsonl")] == chain.urls


async def test_a_killed_run_goes_on_and_doubles_nothing(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "out.jsonl"
    command = ("run", chain.url, *STATIC, "--output", str(file))
    chain.hold("/6")
    async with running(*command, env=env) as first:
        await chain.arrival()
        await lines_of(file, at_least=6)
        first.kill()
        await first.wait()
    chain.release()
    # Killed in the middle of a line, as it may well be.
    with file.open("ab") as torn:
        torn.write(b'{"url": "http://127.0.0.1/tor')

    ended = await crawl(*command, env=env)

    assert ended.code == 0, ended.err
    assert [record["url"] for record in read_lines(file)] == chain.urls
    assert chain.requests["/3"] == 1


async def test_the_same_command_cannot_run_twice_at_once(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    command = ("run", chain.url, *STATIC)
    chain.hold("/3")
    async with running(*command, env=env):
        await chain.arrival()

        second = await crawl(*command, env=env)

        assert second.code == 1
        assert second.err == "crawl: This very crawl is running already; stop that one first.\n"
        chain.release()


async def test_two_commands_cannot_write_the_same_output(
    chain: Chain, env: dict[str, str], tmp_path: Path
) -> None:
    output = ("--output", str(tmp_path / "out"))
    chain.hold("/3")
    async with running("run", chain.url, *STATIC, *output, env=env):
        await chain.arrival()

        second = await crawl("run", chain.url, "--no-render", "--limit", "2", *output, env=env)

        assert second.code == 1
        assert "is being written by another crawl" in second.err
        chain.release()


async def test_only_errored_pages_are_exit_code_3(env: dict[str, str]) -> None:
    async with serving_pages({}) as url:
        ended = await crawl("run", url, "--no-render", "--json", "-q", env=env)

    assert ended.code == 3, ended.err
    assert json.loads(ended.err)["reasons"] == {"errored": {"http_error": 1}}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run",), "Missing argument 'URL'"),
        (("run", "https://example.com", "--colour"), "No such option '--colour'"),
        (("run", "example.com"), "url: This is not an absolute URL"),
        (("run", "https://example.com", "--limit", "0"), "limit should be greater than or equal to 1"),
        (("run", "https://example.com", "--no-render", "--cookie", "a=b"), "cookies"),
        (("run", "https://example.com", "--cookie", "ab"), "write it as name=value"),
        (("dance",), "No such command"),
    ],
)
async def test_wrong_usage_is_exit_code_2(
    env: dict[str, str], arguments: tuple[str, ...], sentence: str
) -> None:
    ended = await crawl(*arguments, env=env)

    assert ended.code == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err


async def test_only_the_typed_host_may_be_private(env: dict[str, str]) -> None:
    async with serving_pages({"/": "<p>private</p>"}) as private:
        other = private.replace("127.0.0.1", "127.0.0.2")
        async with serving_pages({"/": f"<a href='{other}'>elsewhere</a>"}) as url:
            ended = await crawl("run", url, "--no-render", "--external", env=env)

    records = {record["url"]: record for record in map(json.loads, ended.out.splitlines())}
    assert records[url]["status"] == "completed"
    assert records[other]["reason"] == "blocked_destination"


async def test_a_reader_that_leaves_ends_the_crawl_without_a_stack_trace(
    chain: Chain, env: dict[str, str]
) -> None:
    chain.hold("/6")
    async with running("run", chain.url, *STATIC, env=env) as process:
        await chain.arrival()
        transport = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        chain.release()
        _, err = await process.communicate()

    assert process.returncode == 1
    assert "Traceback" not in err.decode()


@pytest.mark.browser
async def test_pages_are_rendered_unless_told_otherwise(env: dict[str, str]) -> None:
    page = "<title>before</title><script>document.title = 'after'</script><p>text"
    async with serving_pages({"/": page}) as url:
        ended = await crawl("run", url, "--json", env=env)

    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["metadata"]["title"] == "after"


async def test_root_does_not_render_unless_told_so(chain: Chain, env: dict[str, str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is refused")
    del env["CRAWL_ALLOW_UNSANDBOXED"]

    ended = await crawl("run", chain.url, env=env)

    assert ended.code == 1
    assert "must not run as root" in ended.err
    assert "--no-render" in ended.err
    assert not chain.requests


async def test_x35_pages_wait_while_no_file_descriptor_is_left(env: dict[str, str], tmp_path: Path) -> None:
    """Eighty connections at once, of which there are not even fifty: no page fails and the host is not to blame."""
    pages, held = 80, 20
    waiting: set[str] = set()
    enough = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path not in ("/", "/robots.txt"):
            waiting.add(request.path)
            if len(waiting) >= held:
                enough.set()
            await enough.wait()
        links = "".join(f"<a href='/{number}'>x</a>" for number in range(pages))
        return web.Response(
            text=links, content_type="text/html", status=404 if "robots" in request.path else 200
        )

    async with serving(answer) as url:
        limit = 'ulimit -n 70; exec "$0" -m cli run "$@"'
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", limit, sys.executable, url, *STATIC, "-o", str(tmp_path / "out.jsonl")),
            cwd=ROOT,
            env={**env, "CRAWL_STATIC_SLOTS": "100", "CRAWL_HOST_CONCURRENCY": "100"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = await end_of(process)
    assert ended.code == 0, ended.err
    records = read_lines(tmp_path / "out.jsonl")
    assert [record["status"] for record in records] == ["completed"] * (pages + 1)
    assert "no file descriptor left" in ended.err
