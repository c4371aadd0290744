"""The statements of a lease, built once for each kind of work: compiling them is dearer than running them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from crawler.model import Kind, UrlStatus
from crawler.store.circuits import has_circuit, is_paused
from crawler.store.database import Database, now
from crawler.store.schema import crawls, hosts, urls

#: Of so many accounts hosts are claimed at once when accounts take turns.
ACCOUNTS_PER_CLAIM = 4
#: When a host of ours is at its concurrency, look again after so long, milliseconds.
_BUSY_MS = 5
#: A host whose URLs all wait for another try is looked at so often, milliseconds: somebody may queue a new one.
_LOOK_AGAIN_MS = 2_000


class LeaseStatements:
    """Those of one kind."""

    def __init__(self, database: Database, kind: Kind, default_delay_ms: int) -> None:
        waiting = hosts.c.waiting_render if kind is Kind.RENDER else hosts.c.waiting_static
        interval = func.coalesce(hosts.c.crawl_delay_ms, default_delay_ms)
        due = (
            select(hosts.c.id)
            .where(waiting == true(), hosts.c.next_fetch_at <= now())
            .order_by(hosts.c.next_fetch_at)
            .limit(bindparam("slots"))
            .with_for_update(skip_locked=True, key_share=True)
            .cte("due")
        )
        self.claim_hosts = self._claim(select(due.c.id), interval)
        of_account = [
            select(hosts.c.id)
            .where(
                waiting == true(),
                hosts.c.account_id == bindparam(f"account_{number}"),
                hosts.c.next_fetch_at <= now(),
            )
            .order_by(hosts.c.next_fetch_at)
            .limit(bindparam("share"))
            .with_for_update(skip_locked=True, key_share=True)
            .cte(f"of_account_{number}")
            for number in range(ACCOUNTS_PER_CLAIM)
        ]
        self.claim_hosts_of = self._claim(union_all(*(select(due.c.id) for due in of_account)), interval)
        self.name_hosts = (
            update(hosts)
            .where(hosts.c.id == bindparam("host_id"))
            .values(account_id=bindparam("account_of_host"))
        )
        queued = and_(
            urls.c.kind == kind,
            urls.c.status == UrlStatus.QUEUED,
            urls.c.not_before_at <= now(),
            ~is_paused(),
        )
        best = (
            select(urls.c.id)
            .where(urls.c.host_id == hosts.c.id, queued)
            .order_by(urls.c.rank, urls.c.id)
            .limit(1)
            # Who has locked it may want the host's row next, which is ours: a crawl that ends and wakes hosts, for one.
            .with_for_update(skip_locked=True, key_share=True)
            .correlate(hosts)
            .scalar_subquery()
        )
        self.stamp_one_each = self._stamp(
            select(best.label("id"))
            .select_from(hosts)
            .where(hosts.c.id.in_(database.members("host_ids", int)))
        )
        self.stamp_several = self._stamp(
            select(urls.c.id)
            .where(urls.c.host_id == bindparam("host"), queued)
            .order_by(urls.c.rank, urls.c.id)
            .limit(bindparam("share"))
            .with_for_update(skip_locked=True, key_share=True)
        )
        self.count_leased = select(func.count()).where(
            urls.c.host_id == bindparam("host_id"), urls.c.status == UrlStatus.LEASED
        )
        self.next_queued = (
            select(urls.c.host_id, func.min(urls.c.not_before_at).label("at"))
            .where(
                urls.c.host_id.in_(database.members("host_ids", int)),
                urls.c.kind == kind,
                urls.c.status == UrlStatus.QUEUED,
            )
            .group_by(urls.c.host_id)
        )
        one = hosts.c.id == bindparam("host_id")
        self.wait_until = (
            update(hosts)
            .where(one)
            .values(next_fetch_at=_between(bindparam("at"), now() + _BUSY_MS, now() + _LOOK_AGAIN_MS))
        )
        self.park = update(hosts).where(one).values({waiting.name: false()})
        self.next_due = select(func.min(hosts.c.next_fetch_at) - now()).where(waiting == true())

    @staticmethod
    def _claim(
        chosen: Select[tuple[int]] | CompoundSelect[tuple[int]], interval: ColumnElement[int]
    ) -> ReturningUpdate[Any]:
        return (
            update(hosts)
            .where(hosts.c.id.in_(chosen))
            .values(next_fetch_at=now() + interval)
            .returning(
                hosts.c.id,
                hosts.c.name,
                hosts.c.account_id,
                hosts.c.next_fetch_at,
                interval.label("interval_ms"),
                has_circuit().label("has_circuit"),
            )
        )

    @staticmethod
    def _stamp(chosen: Select[tuple[int]]) -> ReturningUpdate[Any]:
        # A CTE is evaluated once; Postgres may run a sub-select anew for each row, past its limit.
        ids = chosen.cte("chosen")
        return (
            update(urls)
            # The status again: between choosing and writing the crawl may have been cancelled.
            .where(urls.c.id.in_(select(ids.c.id)), urls.c.status == UrlStatus.QUEUED)
            .values(
                status=UrlStatus.LEASED,
                lease_token=bindparam("token"),
                leased_until_at=now() + bindparam("lease_ms"),
                attempts=urls.c.attempts + 1,
            )
            .returning(
                urls.c.id,
                urls.c.crawl_id,
                urls.c.seq,
                urls.c.url,
                urls.c.role,
                urls.c.depth,
                urls.c.attempts,
                urls.c.lastmod_at,
                urls.c.host_id,
                select(crawls.c.account_id)
                .where(crawls.c.id == urls.c.crawl_id)
                .scalar_subquery()
                .label("account_id"),
            )
        )


def _between(
    value: ColumnElement[int], least: ColumnElement[int], most: ColumnElement[int]
) -> ColumnElement[int]:
    return case((value < least, least), (value > most, most), else_=value)
