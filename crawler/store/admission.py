"""Admission: which of the URLs that were found enter the frontier, and when.

- Never more than `limit` pages, counted under the lock of the crawl's row.
- Sitemaps before links: while sitemaps are being read, links wait in `held_links`.
- Depth is exact: with a depth limit, the links of a page on level n wait until every page above level n is done, so a
  URL is always admitted on its least level.
- At the limit, sitemaps wait too (`crawler.store.waiting_sitemaps`).
- Links beyond the limit are held as well, so that another crawl can go on from there (`crawler.store.continuations`).
- What a crawl continues has its pages already: their URLs are not admitted again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass, field

import zstandard
from sqlalchemy import BindParameter, Select, String, bindparam, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Found, Outcome, Role, UrlStatus
from crawler.store.crawl_row import CrawlRow
from crawler.store.database import Database, encode_rows
from crawler.store.memory import Memory
from crawler.store.schema import crawls, held_links, urls
from crawler.store.waiting_sitemaps import settle_sitemaps

#: A depth from which on the limit does not bind in practice: then links need not wait for their level.
_UNBOUNDED_DEPTH = 100_000
#: One sitemap is leased after so many pages, so that reading many of them does not hold up the pages.
_SITEMAP_STRIDE = 4


@dataclass(slots=True)
class Admitted:
    """What one transaction took in; `learned` is valid only once it has been committed."""

    #: (host, kind) pairs with new work.
    woken: set[tuple[int, str]] = field(default_factory=set)
    #: By crawl: keys that are in its frontier, and those that are held because they are beyond its limit.
    learned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    beyond: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Admission:
    """Statements of admission for one database."""

    def __init__(self, database: Database, *, max_sitemaps: int, max_held_pages: int) -> None:
        self._max_sitemaps = max_sitemaps
        self._max_held_pages = max_held_pages
        self._seen = Memory()
        self._beyond = Memory()
        found = database.rows(
            "found", seq=int, rank=int, role=str, url=str, url_key=str, host_id=int, depth=int, status=str,
            reason=str, lastmod_at=int,
        )  # fmt: skip
        columns = (
            "seq",
            "rank",
            "role",
            "url",
            "url_key",
            "host_id",
            "depth",
            "status",
            "reason",
            "lastmod_at",
        )
        self._insert = insert(urls).from_select(
            ["crawl_id", "kind", *columns],
            select(
                bindparam("crawl_id", type_=String),
                bindparam("kind", type_=String),
                *(found.c[name] for name in columns),
            ),
        )
        self._known_before = select(urls.c.url_key).where(
            urls.c.crawl_id.in_(line_of(bindparam("crawl_id", type_=String))),
            urls.c.role == bindparam("role"),
            urls.c.url_key.in_(database.members("keys", str)),
        )
        self._known = select(urls.c.url_key).where(
            urls.c.crawl_id == bindparam("crawl_id"),
            urls.c.role == bindparam("role"),
            urls.c.url_key.in_(database.members("keys", str)),
        )
        self._lowest = [
            select(urls.c.depth)
            .where(
                urls.c.crawl_id == bindparam("crawl_id"), urls.c.status == status, urls.c.role == Role.PAGE
            )
            # Levels are admitted in order, so the first open page is on the lowest open level.
            .order_by(urls.c.seq)
            .limit(1)
            for status in (UrlStatus.QUEUED, UrlStatus.LEASED)
        ]

    async def admit(
        self,
        connection: AsyncConnection,
        crawl: CrawlRow,
        outcomes: Iterable[Outcome],
        host_ids: Mapping[str, int],
        admitted: Admitted,
    ) -> None:
        """Take in what these URLs of one crawl found. `host_ids` knows every host that is named."""
        intake = _Intake(self, connection, crawl, host_ids, admitted)
        pages = []
        in_order = sorted(outcomes, key=lambda outcome: outcome.lease.seq)
        await intake.ask(item for outcome in in_order for item in outcome.found)
        for outcome in in_order:
            if outcome.lease.role is Role.PAGE:
                if outcome.found and outcome.lease.depth < crawl.max_depth:
                    pages.append(outcome)
            else:
                await intake.take_sitemaps(outcome.sitemaps, outcome.lease.depth + 1)
                await intake.take_pages(outcome.found, depth=1)
                await self._keep(connection, crawl, outcome, intake, host_ids)
        lowest = await self._lowest_open(connection, crawl) if crawl.room and (pages or crawl.held) else None
        for outcome in pages:
            is_its_turn = crawl.sitemaps_open == 0 and (lowest is None or lowest >= outcome.lease.depth)
            if is_its_turn or crawl.room == 0:
                if await intake.take_pages(outcome.found, outcome.lease.depth + 1):
                    lowest = _least(lowest, outcome.lease.depth + 1)
                await self._keep(connection, crawl, outcome, intake, host_ids)
            else:
                await _hold(connection, crawl, outcome, outcome.found, host_ids)
        # While the crawl was full its sitemaps waited: what is known already costs no request.
        if crawl.held and crawl.room and (crawl.sitemaps_open == 0 or crawl.was_full):
            await self._release(connection, crawl, intake, lowest)
        await intake.flush()
        admitted.woken |= await settle_sitemaps(connection, crawl, in_order)

    def learn(self, admitted: Admitted) -> None:
        """Remember, after the commit, what the database knows: most links of a site are found again and again."""
        self._seen.add(admitted.learned)
        self._beyond.add(admitted.beyond)

    async def _keep(
        self,
        connection: AsyncConnection,
        crawl: CrawlRow,
        outcome: Outcome,
        intake: _Intake,
        host_ids: Mapping[str, int],
    ) -> None:
        """Hold the links that were not admitted because the limit was reached, as far as they are remembered."""
        if crawl.room or crawl.held >= self._max_held_pages:
            return
        before, now_held = self._beyond.of(crawl.id), intake.admitted.beyond[crawl.id]
        left = [
            item
            for item in intake.new_of(outcome.found)
            if item.key not in before and item.key not in now_held
        ]
        if left:
            now_held |= {item.key for item in left}
            await _hold(connection, crawl, outcome, left, host_ids)

    async def _release(
        self, connection: AsyncConnection, crawl: CrawlRow, intake: _Intake, lowest: int | None
    ) -> None:
        """Admit held links whose turn has come, level by level: what one level queues holds up the next."""
        of_crawl = held_links.c.crawl_id == crawl.id
        least = select(func.min(held_links.c.depth)).where(of_crawl)
        while crawl.room:
            # There may be very many, and mostly it is not even the turn of the first.
            depth = (await connection.execute(least)).scalar()
            if depth is None or (lowest is not None and lowest < depth):
                break
            lowest = await self._release_level(connection, crawl, intake, depth, lowest)

    async def _release_level(
        self, connection: AsyncConnection, crawl: CrawlRow, intake: _Intake, depth: int, lowest: int | None
    ) -> int | None:
        """Admit the links that pages on level `depth` hold, up to the limit. Returns the lowest open level then."""
        level = (held_links.c.crawl_id == crawl.id) & (held_links.c.depth == depth)
        rows = await connection.execute(select(held_links).where(level).order_by(held_links.c.seq))
        for row in rows.all():
            if crawl.room == 0:
                break
            held = json.loads(zstandard.decompress(row.links))
            found = [Found(*link) for link in held["found"]]
            if await intake.take_pages(found, row.depth + 1, host_ids=held["host_ids"]):
                lowest = _least(lowest, row.depth + 1)
            if crawl.room == 0 and intake.new_of(found):
                break  # the rest of this page's links is beyond the limit, and stays held
            crawl.held -= 1
            await connection.execute(delete(held_links).where(level, held_links.c.seq == row.seq))
        return lowest

    async def _lowest_open(self, connection: AsyncConnection, crawl: CrawlRow) -> int | None:
        """The lowest level with a page that is not done; None also when the depth limit does not bind."""
        if crawl.max_depth >= _UNBOUNDED_DEPTH:
            return None
        lowest = None
        for statement in self._lowest:
            depth = (await connection.execute(statement, {"crawl_id": crawl.id})).scalar()
            lowest = lowest if depth is None else _least(lowest, depth)
        return lowest


class _Intake:
    """Rows taken into one crawl within one transaction."""

    def __init__(
        self,
        admission: Admission,
        connection: AsyncConnection,
        crawl: CrawlRow,
        host_ids: Mapping[str, int],
        admitted: Admitted,
    ) -> None:
        self._admission = admission
        self._connection = connection
        self._crawl = crawl
        self._host_ids = host_ids
        self.admitted = admitted
        #: Page keys that were looked up in this transaction, and those of them that the frontier has.
        self._asked: set[str] = set()
        self._known: set[str] = set()
        self._sitemaps: set[str] = set()
        self._rows: list[dict[str, object]] = []

    async def ask(self, found: Iterable[Found]) -> None:
        """Look up which of these pages the frontier has, all at once."""
        crawl = self._crawl
        keys = {item.key for item in found} - self._admission._seen.of(crawl.id) - self._asked
        if not keys:
            return
        known = await self._find(Role.PAGE, keys)
        self._asked |= keys
        self._known |= known
        self.admitted.learned[crawl.id] |= known

    async def _find(self, role: Role, keys: AbstractSet[str]) -> set[str]:
        crawl = self._crawl
        # Most crawls continue nothing, and are spared the question what that would be.
        statement = self._admission._known if crawl.parent_id is None else self._admission._known_before
        parameters = {"crawl_id": crawl.id, "role": role, "keys": json.dumps(sorted(keys))}
        return set((await self._connection.execute(statement, parameters)).scalars())

    async def flush(self) -> None:
        """Insert what was taken in."""
        if not self._rows:
            return
        crawl = self._crawl
        parameters = {"crawl_id": crawl.id, "kind": crawl.kind, "found": encode_rows(self._rows)}
        await self._connection.execute(self._admission._insert, parameters)
        for row in self._rows:
            if row["role"] is Role.PAGE:
                self.admitted.learned[crawl.id].add(str(row["url_key"]))
            if isinstance(row["host_id"], int):
                self.admitted.woken.add((row["host_id"], crawl.kind))
        self._rows.clear()

    async def take_pages(
        self, found: Iterable[Found], depth: int, *, host_ids: Mapping[str, int] | None = None
    ) -> int:
        """Queue new URLs up to the limit, record new ones that are out of scope. Returns how many were queued."""
        crawl = self._crawl
        host_ids = self._host_ids if host_ids is None else host_ids
        if crawl.room == 0:
            return 0
        found = list(found)
        await self.ask(found)
        seen = self._admission._seen.of(crawl.id)
        queued = 0
        for item in found:
            if crawl.room == 0:
                break
            if item.key in seen or item.key in self._known:
                continue
            if item.skip_reason:
                if crawl.room_for_skipped == 0:
                    continue
                crawl.skipped += 1
            else:
                crawl.queued += 1
                queued += 1
            self._known.add(item.key)
            self._rows.append(self._row(Role.PAGE, item, depth, rank=crawl.next_seq, host_ids=host_ids))
        return queued

    def new_of(self, found: Iterable[Found]) -> list[Found]:
        """Those of these pages, which were asked about, that belong to the crawl and are not in its frontier."""
        seen = self._admission._seen.of(self._crawl.id)
        return [
            item
            for item in found
            if not item.skip_reason and item.key not in seen and item.key not in self._known
        ]

    async def take_sitemaps(self, found: Iterable[Found], level: int) -> None:
        """Queue new sitemaps, as far as the crawl may read more."""
        crawl = self._crawl
        room = self._admission._max_sitemaps - crawl.sitemaps_total
        if room <= 0:
            return
        keys = {item.key: item for item in found}
        known = await self._find(Role.SITEMAP, keys.keys()) | self._sitemaps
        new = [item for key, item in keys.items() if key not in known][:room]
        self._sitemaps |= {item.key for item in new}
        first = crawl.next_seq
        for number, item in enumerate(new):
            rank = first + _SITEMAP_STRIDE * number
            self._rows.append(self._row(Role.SITEMAP, item, level, rank=rank, host_ids=self._host_ids))
        crawl.sitemaps_open += len(new)
        crawl.sitemaps_total += len(new)

    def _row(
        self, role: Role, item: Found, depth: int, *, rank: int, host_ids: Mapping[str, int]
    ) -> dict[str, object]:
        seq = self._crawl.next_seq
        self._crawl.next_seq += 1
        return {
            "seq": seq,
            "rank": rank,
            "role": role,
            "url": item.url,
            "url_key": item.key,
            "host_id": None if item.skip_reason else host_ids[item.host],
            "depth": depth,
            "status": UrlStatus.SKIPPED if item.skip_reason else UrlStatus.QUEUED,
            "reason": item.skip_reason,
            "lastmod_at": item.lastmod_at,
        }


def line_of(crawl_id: str | BindParameter[str]) -> Select[tuple[str]]:
    """The ids of a crawl, of what it continues, of what that continues, and so on."""
    line = select(crawls.c.id, crawls.c.parent_id).where(crawls.c.id == crawl_id).cte("line", recursive=True)
    line = line.union(select(crawls.c.id, crawls.c.parent_id).where(crawls.c.id == line.c.parent_id))
    return select(line.c.id)


def _least(left: int | None, right: int) -> int:
    return right if left is None else min(left, right)


async def _hold(
    connection: AsyncConnection,
    crawl: CrawlRow,
    outcome: Outcome,
    found: Sequence[Found],
    host_ids: Mapping[str, int],
) -> None:
    hosts = {item.host for item in found if not item.skip_reason}
    held = {
        "found": [astuple(item) for item in found],
        "host_ids": {host: host_ids[host] for host in hosts},
    }
    links = json.dumps(held, ensure_ascii=False)
    row = {
        "crawl_id": crawl.id,
        "seq": outcome.lease.seq,
        # What a sitemap lists is on level 1, however deep the sitemap is nested.
        "depth": outcome.lease.depth if outcome.lease.role is Role.PAGE else 0,
        "links": zstandard.compress(links.encode()),
    }
    await connection.execute(insert(held_links), row)
    crawl.held += 1
