"""Accounts share the workers by turn when these cannot keep up (`docs/adr/0022-accounts-take-turns.md`)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Kind
from crawler.store.database import now
from crawler.store.lease_statements import ACCOUNTS_PER_CLAIM
from crawler.store.schema import hosts

#: Workers cannot keep up when a host has been due for so long, milliseconds.
_LATE_MS = 1_000
#: How often the hosts are looked at for that.
_LOOK_SECONDS = 1.0
#: Accounts that take turns; of more, the rest follows when some of these have nothing left.
_MAX_ACCOUNTS = 1_000


class AccountTurns:
    """Whose hosts one process claims next. One for each kind of work."""

    def __init__(self, kind: Kind, *, monotonic: Callable[[], float]) -> None:
        waiting = (hosts.c.waiting_render if kind is Kind.RENDER else hosts.c.waiting_static) == true()
        self._late = select(now() - func.min(hosts.c.next_fetch_at)).where(waiting)
        # From one account to the next in the index: no host is read that is not an account's first.
        first = select(hosts.c.account_id).where(waiting).order_by(hosts.c.account_id).limit(1)
        found = select(first.scalar_subquery().label("account_id")).cte("found", recursive=True)
        following = first.where(hosts.c.account_id > found.c.account_id).correlate(found).scalar_subquery()
        found = found.union_all(select(following).where(found.c.account_id.is_not(None)))
        self._waiting = select(found.c.account_id).where(found.c.account_id.is_not(None)).limit(_MAX_ACCOUNTS)
        self._monotonic = monotonic
        self._looked_at = float("-inf")
        #: Those that take turns, the next one first; none while the workers keep up.
        self._accounts: list[str] = []

    def next(self, slots: int) -> list[str]:
        """The accounts whose turn it is; none: claim whatever is due."""
        if len(self._accounts) < 2:
            return []
        chosen = self._accounts[: min(ACCOUNTS_PER_CLAIM, slots)]
        self._accounts = self._accounts[len(chosen) :] + chosen
        return chosen

    async def look(self, connection: AsyncConnection) -> None:
        """There may be more than the workers can take: find out, at most once a second."""
        if self._monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = self._monotonic()
        late_ms = (await connection.execute(self._late)).scalar()
        if late_ms is None or late_ms < _LATE_MS:
            self._accounts = []
            return
        waiting = list((await connection.execute(self._waiting)).scalars())
        there = set(waiting)
        known = [account for account in self._accounts if account in there]
        self._accounts = [account for account in waiting if account not in known] + known

    def rest(self) -> None:
        """Nothing is due: the workers keep up."""
        self._accounts = []
