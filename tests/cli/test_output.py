"""What is written, and what a continued crawl reads back of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.output import open_output
from crawler.errors import ConfigurationError

PAGE: dict[str, Any] = {"url": "https://a.test/x", "status": "completed", "html": "<p>ä", "markdown": "ä"}
LOST: dict[str, Any] = {
    "url": "https://a.test/lost",
    "status": "errored",
    "reason": "http_error",
    "html": "404",
}


@pytest.mark.parametrize("name", ["out.jsonl", "deep/er/out"])
def test_a_continued_crawl_knows_what_is_written(tmp_path: Path, name: str) -> None:
    target = str(tmp_path / name)
    with open_output(target, scheme="https", continued=False) as output:
        assert output.written == frozenset()
        output.write(PAGE)

    with open_output(target, scheme="https", continued=True) as output:
        assert output.written == {PAGE["url"]}
        output.write(LOST)

    with open_output(target, scheme="https", continued=True) as output:
        assert output.written == {PAGE["url"], LOST["url"]}

    with open_output(target, scheme="https", continued=False) as output:
        assert output.written == frozenset()


@pytest.mark.parametrize("torn", [b"{", b'{"url": "https://a.test/y"}', b"\xc3"])
def test_a_line_without_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(json.dumps(PAGE).encode() + b"\n" + torn)

    with open_output(str(file), scheme="https", continued=True) as output:
        assert output.written == {PAGE["url"]}
        output.write(LOST)

    assert [json.loads(line)["url"] for line in file.read_text().splitlines()] == [PAGE["url"], LOST["url"]]


def test_only_completed_pages_get_files(tmp_path: Path) -> None:
    with open_output(str(tmp_path), scheme="https", continued=False) as output:
        output.write(PAGE)
        output.write(LOST)

    assert (tmp_path / "a.test" / "x.md").read_text(encoding="utf-8") == "ä"
    assert (tmp_path / "a.test" / "x.html").read_text(encoding="utf-8") == "<p>ä"
    assert not (tmp_path / "a.test" / "lost.html").exists()
    lines = [json.loads(line) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert lines == [
        {
            "url": PAGE["url"],
            "status": "completed",
            "files": {"markdown": "a.test/x.md", "html": "a.test/x.html"},
        },
        {"url": LOST["url"], "status": "errored", "reason": "http_error"},
    ]


def test_a_lone_surrogate_does_not_end_the_crawl(tmp_path: Path) -> None:
    with open_output(str(tmp_path), scheme="https", continued=False) as output:
        output.write({**PAGE, "markdown": "\ud800"})

    assert (tmp_path / "a.test" / "x.md").read_text() == "?"


def test_an_output_has_one_writer(tmp_path: Path) -> None:
    target = str(tmp_path / "out.jsonl")
    with (
        open_output(target, scheme="https", continued=False),
        pytest.raises(ConfigurationError, match="another crawl"),
        open_output(target, scheme="https", continued=False),
    ):
        pass


def test_a_file_of_something_else_is_not_continued(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("dear diary\n")
    with (
        pytest.raises(ConfigurationError, match="has been changed"),
        open_output(str(file), scheme="https", continued=True),
    ):
        pass
    assert file.read_text() == "dear diary\n"


def test_a_new_crawl_removes_the_files_of_the_one_before_and_no_others(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with open_output(str(folder), scheme="https", continued=False) as output:
        output.write(PAGE)
        output.write({**PAGE, "url": "https://a.test/deep/er/y"})
        output.write(LOST)
        output.write({**PAGE, "url": "https://b.test/"})
    (folder / "a.test" / "notes.md").write_text("mine")
    (folder / "a.test" / "mine").mkdir()

    with open_output(str(folder), scheme="https", continued=True):
        assert (folder / "a.test" / "x.md").exists()

    with open_output(str(folder), scheme="https", continued=False) as output:
        output.write({**PAGE, "url": "https://a.test/new"})

    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    own = {"a.test", "a.test/notes.md", "a.test/mine"}
    assert left == own | {"index.jsonl", "a.test/new.md", "a.test/new.html"}


@pytest.mark.parametrize(
    "line",
    [
        *(
            json.dumps({"url": "https://a.test/x", "files": {"markdown": name}})
            for name in (
                "../kept.md",
                "a/../../kept.md",
                "linked/kept.md",
                "linked.md",
                "folder.md",
                "index.jsonl",
                "gone.md",
                "",
                ".",
                "\0.md",
                "\ud800.md",
                5,
            )
        ),
        '{"files": {"other": "kept.md"}}',
        '{"files": ["markdown"]}',
        '{"files": null}',
        "[]",
        "7",
        "{",
        "dear diary",
    ],
)
def test_what_is_no_file_of_a_record_is_not_removed(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "out"
    with open_output(str(folder), scheme="https", continued=False) as output:
        output.write(PAGE)
    for kept in (tmp_path / "kept.md", folder / "kept.md"):
        kept.write_text("kept")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "linked.md").symlink_to(tmp_path / "kept.md")
    (folder / "folder.md").mkdir()
    index = folder / "index.jsonl"
    absolute = json.dumps({"files": {"markdown": str(tmp_path / "kept.md")}})
    index.write_text(f"{absolute}\n{line}\n{index.read_text()}{line}")

    with open_output(str(folder), scheme="https", continued=False):
        pass

    left = {path.relative_to(tmp_path).as_posix() for place in (tmp_path, folder) for path in place.iterdir()}
    own = {"kept.md", "linked", "linked.md", "folder.md", "index.jsonl"}
    assert left == {"kept.md", "out", *(f"out/{name}" for name in own)}
    assert index.read_bytes() == b""


def test_a_file_of_lines_is_replaced_alone(tmp_path: Path) -> None:
    with open_output(str(tmp_path), scheme="https", continued=False) as output:
        output.write(PAGE)

    with open_output(str(tmp_path / "index.jsonl"), scheme="https", continued=False):
        pass

    assert (tmp_path / "a.test" / "x.md").exists()
