"""Finish leases, fenced: a page's result, its links, the counters and the crawl's end in one transaction.

A lease that is no longer ours changes nothing. Several pages may share one transaction, which is what makes a static
crawl fast; each is still all or nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json
from sqlalchemy import Executable, bindparam, case, func, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import CrawlStatus, Outcome, Role, UrlStatus
from crawler.store.admission import Admission, Admitted
from crawler.store.circuits import Circuits
from crawler.store.contents import Contents, pack
from crawler.store.crawl_row import CrawlRow
from crawler.store.database import Database, encode_rows, now
from crawler.store.hosts import Hosts, hand_back_turns, wake
from crawler.store.schema import crawls, urls
from crawler.store.transitions import append_event, end_crawl

#: Bytes of JSON around a record's texts, rounded up.
_RECORD_OVERHEAD = 600


@dataclass(slots=True)
class Finished:
    """What a finish did."""

    #: Ids of the URLs whose lease was still ours; for the others nothing was written.
    accepted: frozenset[int] = frozenset()
    #: New URLs may be waiting: ring the doorbell.
    queued: bool = False
    ended: list[str] = field(default_factory=list)


class Finisher:
    """Writes outcomes. `retention_ms` is how long an ended crawl's results are kept."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        admission: Admission,
        circuits: Circuits,
        *,
        retention_ms: int,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._admission = admission
        self._circuits = circuits
        self._retention_ms = retention_ms
        self._contents = Contents(database)
        self._settle = _settle_statement(database)
        self._lock = (
            select(urls.c.id)
            .where(urls.c.id.in_(database.members("ids", int)))
            .order_by(urls.c.id)
            .with_for_update(key_share=True)
        )

    async def finish(self, outcomes: Sequence[Outcome]) -> Finished:
        """Write these outcomes. Raises Unavailable when the database is away: then nothing was written, or all
        of it; asking again with the same outcomes is safe, because a lease is only finished once."""
        rows = [_row(outcome) for outcome in outcomes]
        packed = {outcome.lease.url_id: pack(outcome) for outcome in outcomes}
        crawl_ids = sorted({outcome.lease.crawl_id for outcome in outcomes})
        names = {
            item.host
            for outcome in outcomes
            for item in (*outcome.found, *outcome.sitemaps)
            if not item.skip_reason
        }
        host_ids = await self._hosts.ensure(names)
        done = Finished()
        admitted = Admitted()
        async with self._database.write() as connection:
            locked = await lock_crawls(connection, crawl_ids)
            await self._lock_urls(connection, outcomes)
            result = await connection.execute(self._settle, {"settled": encode_rows(rows)})
            done.accepted = frozenset(result.scalars())
            accepted = [outcome for outcome in outcomes if outcome.lease.url_id in done.accepted]
            if not accepted:
                return done
            texts = [packed[outcome.lease.url_id] for outcome in accepted]
            await self._contents.store(connection, [page for page in texts if page is not None])
            by_crawl: dict[str, list[Outcome]] = defaultdict(list)
            for outcome in accepted:
                by_crawl[outcome.lease.crawl_id].append(outcome)
            for crawl_id, group in by_crawl.items():
                crawl = locked[crawl_id]
                _count(crawl, group)
                await self._admission.admit(connection, crawl, group, host_ids, admitted)
                admitted.woken |= {
                    (outcome.lease.host_id, outcome.lease.kind)
                    for outcome in group
                    if outcome.status is UrlStatus.QUEUED
                }
                await self._store_crawl(connection, crawl, group)
                if crawl.exhausted:
                    await end_crawl(connection, crawl.id, CrawlStatus.COMPLETED, self._retention_ms)
                    done.ended.append(crawl.id)
            unused = [outcome.lease for outcome in accepted if outcome.unused_turn]
            admitted.woken |= {(lease.host_id, lease.kind) for lease in unused}
            # Last, so that the hosts' rows are locked for as short as can be: the frontier wants them.
            failing = {outcome.lease.host_id for outcome in accepted if _has_failed(outcome)}
            if failing:
                await self._hosts.lock(connection, failing | {host_id for host_id, _ in admitted.woken})
            await self._circuits.note_signs(connection, accepted)
            await wake(connection, self._database, admitted.woken)
            await hand_back_turns(connection, unused)
        self._admission.learn(admitted)
        done.queued = bool(admitted.woken)
        return done

    async def _lock_urls(self, connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
        """In the order of a heartbeat, which may hold some of them; the settling statement has an order of its own."""
        if not self._database.is_sqlite:
            ids = json.dumps([outcome.lease.url_id for outcome in outcomes])
            await connection.execute(self._lock, {"ids": ids})

    async def _store_crawl(
        self, connection: AsyncConnection, crawl: CrawlRow, group: Sequence[Outcome]
    ) -> None:
        await connection.execute(
            update(crawls)
            .where(crawls.c.id == bindparam("crawl_id"))
            .values(
                {
                    name: bindparam(name)
                    for name in (
                        "next_seq", "queued", "completed", "errored", "disallowed", "skipped", "cancelled",
                        "sitemaps_open", "sitemaps_total", "held", "browser_ms",
                    )
                }
            ),
            {"crawl_id": crawl.id, **crawl.counters()},
        )  # fmt: skip
        pages = [
            {"seq": outcome.lease.seq, "status": outcome.status, "httpStatus": outcome.http_status}
            for outcome in group
            if outcome.lease.role is Role.PAGE and outcome.status is not UrlStatus.QUEUED
        ]
        if pages:
            await append_event(connection, crawl.id, "updated", {"pages": pages})


async def lock_crawls(connection: AsyncConnection, crawl_ids: Iterable[str]) -> dict[str, CrawlRow]:
    """The crawls' rows, locked in the order of their ids until the end of the transaction."""
    statement = select(crawls).where(crawls.c.id == bindparam("crawl_id")).with_for_update(key_share=True)
    locked = {}
    for crawl_id in crawl_ids:
        row = (await connection.execute(statement, {"crawl_id": crawl_id})).first()
        if row is not None:
            locked[crawl_id] = CrawlRow.of(row._mapping)
    return locked


def _has_failed(outcome: Outcome) -> bool:
    return outcome.host_sign is not None and outcome.host_sign.failure is not None


def _count(crawl: CrawlRow, group: Sequence[Outcome]) -> None:
    for outcome in group:
        crawl.browser_ms += round(outcome.browser_seconds * 1000)
        if outcome.status is UrlStatus.QUEUED:
            continue
        if outcome.lease.role is Role.PAGE:
            crawl.move(outcome.status)
        else:
            crawl.sitemaps_open -= 1


def _row(outcome: Outcome) -> Mapping[str, object]:
    """One row of the settle statement. NUL is stripped: Postgres cannot store it."""
    terminal = outcome.status is not UrlStatus.QUEUED
    details = _details(outcome)
    return {
        "id": outcome.lease.url_id,
        "token": outcome.lease.token,
        "status": outcome.status,
        "reason": outcome.reason[:64],
        "given_back": int(outcome.give_attempt_back),
        "delay_ms": round(outcome.retry_after_seconds * 1000),
        "http_status": outcome.http_status,
        "final_url": _clean(outcome.final_url),
        "title": _clean(outcome.title),
        "last_modified": _clean(outcome.last_modified),
        "browser_ms": round(outcome.browser_seconds * 1000),
        "record_bytes": _record_bytes(outcome, details) if terminal else 0,
        "terminal": int(terminal),
        "details": details,
        "etag": _clean(outcome.etag),
        "content_hash": outcome.content_hash,
        "reuse_key": outcome.reuse_key,
        "confirmed": outcome.confirmed,
        "steady_ms": outcome.steady_ms,
        "asked_at": outcome.asked_at,
    }


def _clean(value: str | None) -> str | None:
    return None if value is None else value.replace("\0", "").encode("utf-8", "replace").decode()


def _details(outcome: Outcome) -> str | None:
    if not outcome.details:
        return None
    return _clean(json.dumps(dict(outcome.details), ensure_ascii=False, separators=(",", ":")))


def _record_bytes(outcome: Outcome, details: str | None) -> int:
    """Size of this record in an answer: its texts as JSON. Exact for the bodies, so that a page of records can be
    cut at its limit without reading them."""
    texts = (
        outcome.lease.url, outcome.final_url, outcome.title, outcome.html, outcome.markdown, outcome.json,
        details,
    )  # fmt: skip
    return _RECORD_OVERHEAD + sum(len(to_json(text)) for text in texts if text)


def _settle_statement(database: Database) -> Executable:
    settled = database.rows(
        "settled",
        id=int,
        token=str,
        status=str,
        reason=str,
        given_back=int,
        delay_ms=int,
        http_status=int,
        final_url=str,
        title=str,
        last_modified=str,
        browser_ms=int,
        record_bytes=int,
        terminal=int,
        details=str,
        etag=str,
        content_hash=str,
        reuse_key=str,
        confirmed=int,
        steady_ms=int,
        asked_at=int,
    )
    new = settled.c
    return (
        update(urls)
        .where(
            urls.c.id == new.id,
            urls.c.lease_token == new.token,
            urls.c.status == UrlStatus.LEASED,
        )
        .values(
            status=new.status,
            reason=new.reason,
            attempts=urls.c.attempts - new.given_back,
            not_before_at=now() + new.delay_ms,
            lease_token=null(),
            leased_until_at=null(),
            http_status=new.http_status,
            final_url=new.final_url,
            title=new.title,
            last_modified=new.last_modified,
            browser_ms=urls.c.browser_ms + new.browser_ms,
            record_bytes=new.record_bytes,
            details=new.details,
            etag=new.etag,
            content_hash=new.content_hash,
            reuse_key=new.reuse_key,
            confirmed=new.confirmed,
            steady_ms=new.steady_ms,
            asked_at=case((new.steady_ms.is_not(None), func.coalesce(new.asked_at, now())), else_=null()),
            finished_at=case((new.terminal == 1, now()), else_=null()),
        )
        .returning(urls.c.id)
    )
