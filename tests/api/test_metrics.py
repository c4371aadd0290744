"""What Prometheus reads: from the API, from a worker process, and in the documents about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from crawler.metrics import Metrics
from crawler.settings import Settings
from crawler.store.accounts import Accounts, Scope
from crawler.store.database import Database
from tests.api.server import Server
from tests.fetch.origins import Origin, page
from tests.servers import free_port
from workers.exposition import expose

ROOT = Path(__file__).parents[2]
LABELS = {"kind", "state", "status", "code", "le"}

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(server: Server) -> str:
    answer = await server.request("GET", f"{server.origin}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.text


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_only_an_operator_reads_the_metrics(own_server: Server) -> None:
    url = f"{own_server.origin}/metrics"
    assert (await own_server.http.get(url)).status_code == 401
    async with Database(own_server.settings.database) as database:
        accounts = Accounts(database)
        tokens = {scope: (await accounts.create_token("a", scope)).text for scope in Scope}
    statuses = {}
    for scope, token in tokens.items():
        statuses[scope] = (await replace(own_server, token=token).request("GET", url)).status_code
    assert statuses == {Scope.READ: 403, Scope.WRITE: 403, Scope.ADMIN: 200}


async def test_what_a_crawl_did_is_counted(own_server: Server, site: Origin) -> None:
    site.routes = {
        "/robots.txt": page(status="404 Not Found"),
        "/": page(b'<a href="/a">a</a><a href="/gone">b</a>', "Content-Type: text/html"),
        "/a": page(b"a", "Content-Type: text/html"),
    }
    result = await own_server.crawl(url=site.url(), source="links")
    assert result["total"] == 3
    text = await scrape(own_server)
    found = samples(text)
    assert value(found, "crawl_pages_total", kind="static", status="completed", code="") == 2
    assert value(found, "crawl_pages_total", kind="static", status="errored", code="http_error") == 1
    assert value(found, "crawl_fetch_seconds_count") == 3
    assert value(found, "crawl_running_crawls", kind="static") == 0
    assert value(found, "crawl_database_up") == 1
    assert {name for _, labels in found for name, _ in labels} <= LABELS
    assert site.url() not in text
    assert result["id"] not in text


async def test_the_work_in_the_database_is_measured(each_server: Server, endless_seed: str) -> None:
    crawl_id = await each_server.create(url=endless_seed, source="links")

    async def leased() -> Samples:
        return samples(await scrape(each_server))

    found = await leased()
    while value(found, "crawl_open_pages", kind="static", state="leased") != 1:
        found = await leased()
    assert value(found, "crawl_running_crawls", kind="static") == 1
    assert value(found, "crawl_running_crawls", kind="render") == 0
    assert value(found, "crawl_open_pages", kind="static", state="queued") == 0
    assert value(found, "crawl_silent_seconds", kind="static") < each_server.settings.lease_seconds
    await each_server.request("DELETE", f"/{crawl_id}")
    found = await leased()
    assert value(found, "crawl_open_pages", kind="static", state="leased") == 0
    assert value(found, "crawl_running_crawls", kind="static") == 0


def test_a_worker_process_shows_what_it_counts(tmp_path: Path) -> None:
    metrics, port = Metrics(), free_port()
    metrics.note_browser_start()
    metrics.note_render(0.3)
    metrics.note_ring(2.0)
    chosen = Settings.load(data_dir=tmp_path, metrics_port=port)
    end = expose(metrics, chosen, 0)
    try:
        found = samples(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, verify=False).text)
    finally:
        end()
    assert value(found, "crawl_browser_starts_total") == 1
    assert value(found, "crawl_render_seconds_bucket", le="0.5") == 1
    assert value(found, "crawl_render_seconds_bucket", le="0.25") == 0
    assert value(found, "crawl_doorbell_lag_seconds_sum") == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, verify=False)


def test_a_port_that_is_taken_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = Settings.load(data_dir=tmp_path, metrics_port=free_port())
    end = expose(Metrics(), chosen, 0)
    expose(Metrics(), chosen, 0)()
    end()
    assert "no metrics at" in caplog.text


async def test_dashboard_and_documentation_use_the_names_that_there_are(own_server: Server) -> None:
    text = await scrape(own_server)
    types = set(re.findall(r"^# TYPE (crawl_\w+) ", text, re.MULTILINE))
    dashboard = (ROOT / "deploy" / "grafana.json").read_text()
    expressions = [target["expr"] for panel in json.loads(dashboard)["panels"] for target in panel["targets"]]
    used = {re.sub(r"_bucket$", "", name) for line in expressions for name in re.findall(r"crawl_\w+", line)}
    assert used == {name for name in types if not name.endswith("_created")}
    documented = set(
        re.findall(r"^\| `(crawl_\w+)` ", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    assert documented == used
