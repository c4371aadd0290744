"""Records on the wire: what we add never takes the place of what Cloudflare sends (contract A.5)."""

from __future__ import annotations

from dataclasses import replace

from api.results import record_fields
from crawler.model import Record, UrlStatus

RECORD = Record(
    seq=1, url="https://a.test/", status=UrlStatus.COMPLETED, reason="", http_status=200, final_url=None,
    title="T", last_modified=None, html="<p>", markdown=None, json='{"a": [1]}', details={},
)  # fmt: skip
WIRE = {
    "url": "https://a.test/",
    "status": "completed",
    "metadata": {"status": 200, "url": "https://a.test/", "title": "T"},
    "html": "<p>",
    "json": {"a": [1]},
}


def test_details_are_members_of_their_own() -> None:
    record = replace(RECORD, details={"cacheStatus": "hit", "age": 0})
    assert record_fields(record) == WIRE | {"cacheStatus": "hit", "age": 0}


def test_details_neither_replace_a_field_of_the_contract_nor_stand_in_for_one() -> None:
    names = ("url", "status", "metadata", "html", "markdown", "json", "reason", "message")
    record = replace(RECORD, details=dict.fromkeys(names, "ours"))
    assert record_fields(record) == WIRE
