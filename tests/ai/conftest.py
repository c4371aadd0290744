"""An extractor on a real database, with one crawl per test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from crawler.ai.client import ModelClient
from crawler.ai.extraction import Extraction, JsonExtractor
from crawler.ai.prompt import PageText
from crawler.ai.providers import Providers
from crawler.options.extraction import JsonOptions
from crawler.settings import Settings
from crawler.store.database import Database
from crawler.store.migrate import upgrade_async
from crawler.store.spend import Spend
from crawler.structured.data import StructuredData
from tests.ai.model_server import ModelServer

LAMP = {"properties": {"name": "string", "price": "number"}, "required": ["name"]}
PAGE = PageText("http://site.test/lamp", "Lamp", "# Lamp\n\nOnly 19 EUR")


@pytest.fixture(scope="session")
async def database(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('ai') / 'crawl.db'}"
    await upgrade_async(url)
    async with Database(url) as opened:
        async with opened.write() as connection:
            await connection.execute(text("INSERT INTO accounts (id, created_at) VALUES ('local', 1)"))
        yield opened


@dataclass
class Bench:
    """An extractor and what it needs."""

    extractor: JsonExtractor
    spend: Spend
    crawl_id: str

    async def ask(
        self,
        *,
        schema: dict[str, Any] | None = LAMP,
        prompt: str | None = None,
        models: list[dict[str, str]] | None = None,
        page: PageText = PAGE,
        data: StructuredData | None = None,
    ) -> Extraction:
        body: dict[str, Any] = {"custom_ai": models or []}
        if prompt is not None:
            body["prompt"] = prompt
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        options = JsonOptions.model_validate_json(json.dumps(body))
        return await self.extractor.extract(self.crawl_id, options, page, data or StructuredData())


@asynccontextmanager
async def bench(database: Database, tmp_path: Path, **changes: Any) -> AsyncIterator[Bench]:
    """An extractor with these settings."""
    settings = Settings.load(data_dir=tmp_path, **changes)
    crawl_id = str(uuid4())
    async with database.write() as connection:
        await connection.execute(
            text(
                "INSERT INTO crawls (id, account_id, status, seed_url, options, kind, url_limit, max_depth,"
                " request_hash, created_at, deadline_at) VALUES"
                " (:id, 'local', 'running', 'http://site.test/', '{}', 'static', 9, 9, '', 1, 2)"
            ),
            {"id": crawl_id},
        )
    spend = Spend(
        database, max_tokens=settings.ai_max_crawl_tokens, max_cost=round(settings.ai_max_crawl_cost * 1e6)
    )
    client = ModelClient(settings)
    try:
        yield Bench(JsonExtractor(settings, Providers.load(settings), client, spend), spend, crawl_id)
    finally:
        await client.close()


def table(**servers: ModelServer | dict[str, Any]) -> str:
    """`CRAWL_AI_PROVIDERS` with these entries."""
    entries = {
        name: {"base_url": entry.base_url} if isinstance(entry, ModelServer) else entry
        for name, entry in servers.items()
    }
    return json.dumps(entries)
