"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic_core import PydanticUndefined

from crawler.settings import Settings
from crawler.store.migrate import head

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / "docs" / "configuration.md"


def row(name: str) -> str:
    """The line of a setting in docs/configuration.md."""
    field = Settings.model_fields[name]
    default = field.default
    match default:
        case _ if default is PydanticUndefined:
            shown = "`~/.local/share/crawl`"
        case "" | () | None:
            shown = "–"
        case tuple():
            shown = f"`{','.join(default)}`"
        case bool():
            shown = "`1`" if default else "`0`"
        case _:
            shown = f"`{default}`"
    bounds = {type(item).__name__: item for item in field.metadata}
    least = next((f"{getattr(bounds[key], key.lower())}" for key in ("Ge", "Gt") if key in bounds), "")
    most = next((f"{getattr(bounds[key], key.lower())}" for key in ("Le", "Lt") if key in bounds), "")
    limits = f"{least}…{most}" if least or most else "–"
    return f"| `CRAWL_{name.upper()}` | {shown} | {limits} | {field.description} |"


def test_every_setting_is_documented_with_its_default() -> None:
    text = CONFIGURATION.read_text()
    missing = [row(name) for name in Settings.model_fields if row(name) not in text]
    assert missing == []


def test_nothing_is_documented_that_is_no_setting() -> None:
    client_side = {"API_URL", "ACCOUNT_ID"}
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`?CRAWL_([A-Z0-9_]+)", path.read_text()):
            known = name.lower() in Settings.model_fields or name in client_side
            assert known or name.startswith("TEST_") or name == "CASES_DIR", f"{path.name}: CRAWL_{name}"


def test_links_between_documents_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")]:
        text = re.sub(r"`[^`]*`", "", path.read_text())
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not target.startswith(("http:", "https:")):
                assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"


def test_there_is_one_newest_migration() -> None:
    assert head()
