"""Cloudflare's own Python SDK against our server, after nothing but a change of base URL (contract F 2, 3, 5, 24, 32,
33, 36, 48 to 51, 75)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import cloudflare
import pytest
from cloudflare import AsyncCloudflare, Cloudflare
from cloudflare.types.browser_rendering import CrawlGetResponse

from tests.api.server import TOKEN, Server, serving, settings
from tests.api.test_crawl import html, lay_out
from tests.fetch.origins import Origin

ACCOUNT = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def sdk(shared_server: Server) -> AsyncIterator[AsyncCloudflare]:
    async with AsyncCloudflare(api_token=TOKEN, base_url=f"{shared_server.origin}/client/v4") as client:
        yield client


@contextmanager
def sync_sdk(server: Server, base: str = "/client/v4", token: str = TOKEN) -> Iterator[Cloudflare]:
    with Cloudflare(api_token=token, base_url=server.origin + base) as client:
        yield client


async def wait(sdk: AsyncCloudflare, crawl_id: str) -> CrawlGetResponse:
    async with asyncio.timeout(60):
        while True:
            result = await sdk.browser_rendering.crawl.get(crawl_id, account_id=ACCOUNT)
            for value in (
                result.id,
                result.status,
                result.browser_seconds_used,
                result.total,
                result.finished,
            ):
                assert value is not None
            assert result.skipped is not None
            assert result.records is not None
            assert result.status in {"running", "completed"}
            if result.status == "completed":
                return result
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("base", ["/client/v4", ""])
async def test_f2_f3_the_sync_sdk_works_with_both_base_urls(
    server: Server, endless_seed: str, base: str
) -> None:
    def use() -> None:
        with sync_sdk(server, base) as client:
            crawl = client.browser_rendering.crawl
            crawl_id = crawl.create(account_id=ACCOUNT, url=endless_seed, render=False)
            assert isinstance(crawl_id, str)
            assert crawl.get(crawl_id, account_id=ACCOUNT).status == "running"
            deleted = crawl.delete(crawl_id, account_id=ACCOUNT)
            assert deleted is not None
            assert deleted.job_id == crawl_id
            assert deleted.message
            with pytest.raises(cloudflare.BadRequestError):
                crawl.delete(crawl_id, account_id=ACCOUNT)
            ended = crawl.get(crawl_id, account_id=ACCOUNT)
            assert (ended.status, [record.status for record in ended.records]) == (
                "cancelled_by_user",
                ["cancelled"],
            )

    await asyncio.to_thread(use)


async def test_f5_a_wrong_token_is_an_authentication_error(server: Server) -> None:
    def use() -> None:
        with (
            sync_sdk(server, token="wrong") as client,
            pytest.raises(cloudflare.AuthenticationError) as caught,
        ):
            client.browser_rendering.crawl.get("x", account_id=ACCOUNT)
        assert [error.code for error in caught.value.errors] == [10000]

    await asyncio.to_thread(use)


async def test_f6_the_sdk_may_use_key_and_email(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, api_key="k" * 32, api_key_email="me@a.test")) as server:
        base = f"{server.origin}/client/v4"
        async with AsyncCloudflare(api_key="k" * 32, api_email="me@a.test", base_url=base) as client:
            with pytest.raises(cloudflare.NotFoundError):
                await client.browser_rendering.crawl.get("x", account_id=ACCOUNT)


async def test_f24_cookies_of_a_static_crawl_are_a_bad_request(sdk: AsyncCloudflare) -> None:
    with pytest.raises(cloudflare.BadRequestError) as caught:
        await sdk.browser_rendering.crawl.create(  # type: ignore[call-overload]
            account_id=ACCOUNT, url="http://127.0.0.2/", render=False, cookies=[{"name": "a", "value": "b"}]
        )
    message = caught.value.errors[0].message
    assert message is not None
    assert 'Unrecognized key: "cookies"' in message


async def test_f32_f33_f36_the_async_sdk_reads_every_record_once(sdk: AsyncCloudflare, site: Origin) -> None:
    links = [f"/p{number}" for number in range(24)]
    lay_out(site, home=html(*links, title="Home"), **{link[1:]: html() for link in links})
    crawl = sdk.browser_rendering.crawl
    crawl_id = await crawl.create(
        account_id=ACCOUNT, url=site.url(), render=False, limit=100, depth=2, formats=["html", "markdown"]
    )
    assert isinstance(crawl_id, str)
    whole = await wait(sdk, crawl_id)
    assert (whole.total, whole.finished, whole.browser_seconds_used) == (25, 25, 0)
    page = await crawl.get(crawl_id, account_id=ACCOUNT, limit=10)
    urls = [record.url for record in page.records]
    while page.cursor is not None:
        assert isinstance(page.cursor, str)
        page = await crawl.get(crawl_id, account_id=ACCOUNT, limit=10, cursor=page.cursor)  # type: ignore[arg-type]
        urls += [record.url for record in page.records]
    assert urls == [site.url()] + [site.url(link) for link in links]
    first = whole.records[0]
    assert first.metadata is not None
    assert (first.metadata.status, first.metadata.url, first.metadata.title) == (200, site.url(), "Home")
    assert first.html is not None
    assert first.markdown is not None
    second = await crawl.get(crawl_id, account_id=ACCOUNT, limit=1.0)
    assert second.cursor is not None
    from_float = await crawl.get(crawl_id, account_id=ACCOUNT, cursor=float(second.cursor), limit=1.0)
    assert [record.url for record in from_float.records] == [urls[1]]


@pytest.mark.browser
async def test_f48_a_rendered_crawl_shows_what_scripts_wrote(sdk: AsyncCloudflare, site: Origin) -> None:
    script = "<p id=p></p><script>document.getElementById('p').textContent = 'written ' + 'late'</script>"
    lay_out(site, home=html(body=script))
    crawl = sdk.browser_rendering.crawl
    static = await wait(
        sdk, await crawl.create(account_id=ACCOUNT, url=site.url(), render=False, source="links")
    )
    rendered = await wait(sdk, await crawl.create(account_id=ACCOUNT, url=site.url(), source="links"))
    assert "written late" not in (static.records[0].html or "")
    assert "written late" in (rendered.records[0].html or "")
    assert static.browser_seconds_used == 0
    assert rendered.browser_seconds_used > 0


async def test_f51_an_unknown_crawl_is_a_not_found_error(sdk: AsyncCloudflare) -> None:
    for call in (sdk.browser_rendering.crawl.get, sdk.browser_rendering.crawl.delete):
        with pytest.raises(cloudflare.NotFoundError) as caught:
            await call("117fee15-4c77-42d7-8adf-8f6fcbd9e235", account_id=ACCOUNT)
        assert caught.value.errors[0].message == "Crawl job not found"


@pytest.mark.slow
async def test_f75_the_sdk_waits_and_succeeds_after_429(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, rate_limit_per_second=1)) as server:
        base = f"{server.origin}/client/v4"
        async with AsyncCloudflare(api_token=TOKEN, base_url=base, max_retries=4) as client:
            for _ in range(3):
                with pytest.raises(cloudflare.NotFoundError):
                    await client.browser_rendering.crawl.get("x", account_id=ACCOUNT)
        async with AsyncCloudflare(api_token=TOKEN, base_url=base, max_retries=0) as client:
            requests = [client.browser_rendering.crawl.get("x", account_id=ACCOUNT) for _ in range(5)]
            answers = await asyncio.gather(*requests, return_exceptions=True)
    limited = [answer for answer in answers if isinstance(answer, cloudflare.RateLimitError)]
    assert limited
    assert limited[0].errors[0].code == 2001
