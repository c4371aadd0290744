"""Admission: which of the URLs that were found enter the frontier, and when.

- Never more than `limit` pages, counted under the lock of the crawl's row.
- Sitemaps before links: while sitemaps are being read, links wait in `held_links`.
- Depth is exact: with a depth limit, the links of a page on level n wait until every page above level n is done, so a
  URL is always admitted on its least level.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from typing import Self

import zstandard
from sqlalchemy import RowMapping, String, bindparam, delete, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Found, Outcome, Role, UrlStatus
from crawler.store.database import Database, encode_rows
from crawler.store.schema import held_links, urls

#: A depth from which on the limit does not bind in practice: then links need not wait for their level.
_UNBOUNDED_DEPTH = 100_000
#: One sitemap is leased after so many pages, so that reading many of them does not hold up the pages.
_SITEMAP_STRIDE = 4
#: Keys remembered per process, over all crawls (about 100 bytes each).
_SEEN_KEYS = 300_000


@dataclass(slots=True)
class CrawlRow:
    """The counters of a locked crawl; changed here, written back at the end of the transaction."""

    id: str
    running: bool
    kind: str
    url_limit: int
    max_depth: int
    next_seq: int
    queued: int
    completed: int
    errored: int
    disallowed: int
    skipped: int
    cancelled: int
    sitemaps_open: int
    sitemaps_total: int
    held: int
    browser_ms: int

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """From a row of `crawls`."""
        names = [name for name in cls.__slots__ if name != "running"]
        return cls(running=row["status"] == "running", **{name: row[name] for name in names})

    def counters(self) -> dict[str, int]:
        """The columns to write back."""
        fixed = {"id", "running", "kind", "url_limit", "max_depth"}
        return {name: getattr(self, name) for name in self.__slots__ if name not in fixed}

    def move(self, status: UrlStatus) -> None:
        """Count one queued page as ended in `status`."""
        self.queued -= 1
        setattr(self, status.value, getattr(self, status.value) + 1)

    @property
    def total(self) -> int:
        return self.queued + self.completed + self.errored + self.disallowed + self.cancelled

    @property
    def room(self) -> int:
        """How many more pages may be admitted."""
        return max(0, self.url_limit - self.total)

    @property
    def room_for_skipped(self) -> int:
        """How many more skipped URLs are recorded: a page of endless links must not fill the disk."""
        return max(0, 4 * self.url_limit + 1_000 - self.total - self.skipped)

    @property
    def exhausted(self) -> bool:
        """Nothing is left to do, now or later."""
        return self.queued == 0 and self.sitemaps_open == 0 and self.held == 0


@dataclass(slots=True)
class Admitted:
    """What one transaction took in; `learned` is valid only once it has been committed."""

    #: (host, kind) pairs with new work.
    woken: set[tuple[int, str]] = field(default_factory=set)
    #: By crawl: keys that are in its frontier.
    learned: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Admission:
    """Statements of admission for one database."""

    def __init__(self, database: Database, *, max_sitemaps: int) -> None:
        self._max_sitemaps = max_sitemaps
        self._seen: OrderedDict[str, set[str]] = OrderedDict()
        found = database.rows(
            "found", seq=int, rank=int, role=str, url=str, url_key=str, host_id=int, depth=int, status=str,
            reason=str,
        )  # fmt: skip
        columns = ("seq", "rank", "role", "url", "url_key", "host_id", "depth", "status", "reason")
        self._insert = insert(urls).from_select(
            ["crawl_id", "kind", *columns],
            select(
                bindparam("crawl_id", type_=String),
                bindparam("kind", type_=String),
                *(found.c[name] for name in columns),
            ),
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
        lowest = await self._lowest_open(connection, crawl) if pages or crawl.held else None
        for outcome in pages:
            if crawl.sitemaps_open == 0 and (lowest is None or lowest >= outcome.lease.depth):
                if await intake.take_pages(outcome.found, outcome.lease.depth + 1):
                    lowest = _least(lowest, outcome.lease.depth + 1)
            else:
                await _hold(connection, crawl, outcome, host_ids)
        if crawl.held and crawl.sitemaps_open == 0:
            await self._release(connection, crawl, intake, lowest)
        await intake.flush()
        if crawl.room == 0:
            await _drop_the_rest(connection, crawl)

    def learn(self, admitted: Admitted) -> None:
        """Remember, after the commit, what the database knows: most links of a site are found again and again."""
        for crawl_id, keys in admitted.learned.items():
            seen = self._seen.setdefault(crawl_id, set())
            self._seen.move_to_end(crawl_id)
            seen |= keys
        while len(self._seen) > 1 and sum(map(len, self._seen.values())) > _SEEN_KEYS:
            self._seen.popitem(last=False)

    async def _release(
        self, connection: AsyncConnection, crawl: CrawlRow, intake: _Intake, lowest: int | None
    ) -> None:
        """Admit held links whose turn has come, level by level: what one level queues holds up the next."""
        of_crawl = held_links.c.crawl_id == crawl.id
        statement = select(held_links).where(of_crawl).order_by(held_links.c.depth, held_links.c.seq)
        for row in (await connection.execute(statement)).all():
            if crawl.room == 0 or (lowest is not None and lowest < row.depth):
                break
            held = json.loads(zstandard.decompress(row.links))
            found = [Found(*link) for link in held["found"]]
            if await intake.take_pages(found, row.depth + 1, host_ids=held["host_ids"]):
                lowest = _least(lowest, row.depth + 1)
            crawl.held -= 1
            await connection.execute(delete(held_links).where(of_crawl, held_links.c.seq == row.seq))

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
        self._admitted = admitted
        #: Page keys that were looked up in this transaction, and those of them that the frontier has.
        self._asked: set[str] = set()
        self._known: set[str] = set()
        self._sitemaps: set[str] = set()
        self._rows: list[dict[str, object]] = []

    async def ask(self, found: Iterable[Found]) -> None:
        """Look up which of these pages the frontier has, all at once."""
        crawl = self._crawl
        seen = self._admission._seen.get(crawl.id, set())
        keys = {item.key for item in found} - seen - self._asked
        if not keys:
            return
        parameters = {"crawl_id": crawl.id, "role": Role.PAGE, "keys": json.dumps(sorted(keys))}
        known = set((await self._connection.execute(self._admission._known, parameters)).scalars())
        self._asked |= keys
        self._known |= known
        self._admitted.learned[crawl.id] |= known

    async def flush(self) -> None:
        """Insert what was taken in."""
        if not self._rows:
            return
        crawl = self._crawl
        parameters = {"crawl_id": crawl.id, "kind": crawl.kind, "found": encode_rows(self._rows)}
        await self._connection.execute(self._admission._insert, parameters)
        for row in self._rows:
            if row["role"] is Role.PAGE:
                self._admitted.learned[crawl.id].add(str(row["url_key"]))
            if isinstance(row["host_id"], int):
                self._admitted.woken.add((row["host_id"], crawl.kind))
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
        seen = self._admission._seen.get(crawl.id, set())
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

    async def take_sitemaps(self, found: Iterable[Found], level: int) -> None:
        """Queue new sitemaps, as far as the crawl may read more."""
        crawl = self._crawl
        room = self._admission._max_sitemaps - crawl.sitemaps_total
        if room <= 0 or crawl.room == 0:
            return
        keys = {item.key: item for item in found}
        parameters = {"crawl_id": crawl.id, "role": Role.SITEMAP, "keys": json.dumps(list(keys))}
        known = set((await self._connection.execute(self._admission._known, parameters)).scalars())
        known |= self._sitemaps
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
        }


def _least(left: int | None, right: int) -> int:
    return right if left is None else min(left, right)


async def _hold(
    connection: AsyncConnection, crawl: CrawlRow, outcome: Outcome, host_ids: Mapping[str, int]
) -> None:
    hosts = {item.host for item in outcome.found if not item.skip_reason}
    held = {
        "found": [astuple(item) for item in outcome.found],
        "host_ids": {host: host_ids[host] for host in hosts},
    }
    links = json.dumps(held, ensure_ascii=False)
    row = {
        "crawl_id": crawl.id,
        "seq": outcome.lease.seq,
        "depth": outcome.lease.depth,
        "links": zstandard.compress(links.encode()),
    }
    await connection.execute(insert(held_links), row)
    crawl.held += 1


async def _drop_the_rest(connection: AsyncConnection, crawl: CrawlRow) -> None:
    """The limit is reached: what could only find more URLs is no longer needed."""
    if crawl.sitemaps_open:
        await connection.execute(
            update(urls)
            .where(
                urls.c.crawl_id == crawl.id,
                urls.c.status.in_([UrlStatus.QUEUED, UrlStatus.LEASED]),
                urls.c.role != Role.PAGE,
            )
            .values(status=UrlStatus.CANCELLED, lease_token=null(), leased_until_at=null())
        )
        crawl.sitemaps_open = 0
    if crawl.held:
        await connection.execute(delete(held_links).where(held_links.c.crawl_id == crawl.id))
        crawl.held = 0
