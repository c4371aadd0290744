"""Our own OpenAPI document: requests made up from it get no 5xx and no answer that it does not name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.api.server import TOKEN, Server, serving, settings

#: Requests per operation, besides those that cover every bound.
_EXAMPLES = 6
_CONFIG = """
[parameters]
"path.account_id" = "acc"
"path.crawl_id" = "{crawl_id}"
"path.schedule_id" = "{schedule_id}"

# A schedule holds a whole crawl, whose every bound is covered where it is posted itself.
[[operations]]
include-path-regex = "/schedules"
phases.coverage.enabled = false
"""
_SCHEDULE = {"cron": "0 0 1 1 *", "crawl": {"url": "http://site.invalid/", "render": False}}


@pytest.mark.slow
async def test_schemathesis_finds_no_5xx_and_no_undocumented_answer(
    tmp_path: Path, endless_seed: str
) -> None:
    # The proxy is not there: whatever is made up as a URL, nothing leaves the machine, not even a DNS question.
    chosen = settings(tmp_path, egress_upstream_proxy="http://127.0.0.1:9", max_body_bytes=20_000)
    async with serving(chosen) as server:
        config = tmp_path / "schemathesis.toml"
        schedule = await server.request("POST", server.base.replace("/crawl", "/schedules"), json=_SCHEDULE)
        ids = {
            "crawl_id": await server.create(url=endless_seed),
            "schedule_id": schedule.json()["result"]["id"],
        }
        config.write_text(_CONFIG.format(**ids))
        status, report = await _run(server, config)
    assert status == 0, report


async def _run(server: Server, config: Path) -> tuple[int, str]:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", f"--config-file={config}", "run", f"{server.origin}/openapi.json"),
        *(f"--header=Authorization: Bearer {TOKEN}", f"--checks={checks}", f"--max-examples={_EXAMPLES}"),
        *(
            "--phases=examples,coverage,fuzzing",
            "--workers=1",
            "--seed=1",
            "--generation-database=none",
            "--no-color",
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=config.parent,
    )
    output, _ = await process.communicate()
    return await process.wait(), output.decode()


async def test_the_document_names_the_body_tokens_and_refusals(server: Server) -> None:
    document = (await server.http.get(f"{server.origin}/openapi.json")).json()
    post = document["paths"]["/client/v4/accounts/{account_id}/browser-rendering/crawl"]["post"]
    assert post["responses"].keys() >= {
        "200",
        "400",
        "401",
        "403",
        "404",
        "408",
        "413",
        "415",
        "429",
        "500",
        "503",
    }
    assert "422" not in post["responses"]
    assert {"token": []} in post["security"]
    schemas = document["components"]["schemas"]
    rendered, static = schemas["RenderedCrawl"], schemas["StaticCrawl"]
    assert rendered["additionalProperties"] is static["additionalProperties"] is False
    assert (
        rendered["properties"].keys()
        > static["properties"].keys()
        >= {"url", "limit", "options", "jsonOptions"}
    )
    assert static["required"] == ["url", "render"]
    assert "setExtraHTTPHeaders" in rendered["properties"]
