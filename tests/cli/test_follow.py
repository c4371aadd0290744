"""Following a crawl: every record once, whatever the order in which they end."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.follow import Follower
from crawler.model import CrawlStatus, CrawlView, Record, RecordPage, UrlStatus

RUNNING = CrawlView("id", CrawlStatus.RUNNING, "https://a.test/", 0, 0, 0, 0, 0, 0, 0, 0, None, None)


class Listing:
    """Records as the service lists them: in order of discovery, some waiting, more to come."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.crawl = RUNNING
        #: Ended records in all answers.
        self.read_ended = 0

    def discover(self, seq: int) -> None:
        self.records.append(
            Record(
                seq,
                f"https://a.test/{seq}",
                UrlStatus.QUEUED,
                "",
                None,
                None,
                None,
                None,
                None,
                None,
                None,
                {},
            )
        )

    def end(self, position: int) -> None:
        record = self.records[position % len(self.records)]
        self.records[position % len(self.records)] = replace(record, status=UrlStatus.COMPLETED)

    async def read(self, *, cursor: int, limit: int) -> RecordPage:
        after = [record for record in self.records if record.seq > cursor]
        # Answers are cut short by their size as well.
        shown = tuple(after[: min(limit, 7)])
        self.read_ended += sum(record.status is not UrlStatus.QUEUED for record in shown)
        return RecordPage(self.crawl, shown, shown[-1].seq if shown and len(after) > len(shown) else None)


#: Rounds: how many records are discovered (with what gaps in their places), which ones end.
ROUNDS = st.lists(
    st.tuples(st.lists(st.integers(1, 3), max_size=30), st.lists(st.integers(0, 500), max_size=40)),
    max_size=12,
)


@given(ROUNDS, st.integers(1, 40))
@settings(max_examples=300)
async def test_every_record_is_handed_out_once(
    rounds: list[tuple[list[int], list[int]]], waiting: int
) -> None:
    listing = Listing()
    follower = Follower(listing.read, max_waiting=waiting)
    seen: list[int] = []
    seq = 0
    for gaps, endings in rounds:
        for gap in gaps:
            seq += gap
            listing.discover(seq)
        for position in endings:
            if listing.records:
                listing.end(position)
        seen += [record.seq async for record in follower.new_records()]
        assert follower.crawl == RUNNING

    for position in range(len(listing.records)):
        listing.end(position)
    listing.crawl = replace(RUNNING, status=CrawlStatus.COMPLETED)
    seen += [record.seq async for record in follower.new_records()]

    assert follower.crawl == listing.crawl
    assert sorted(seen) == [record.seq for record in listing.records]
    assert listing.read_ended == len(seen), "contents were read more than once"


async def test_a_slow_record_does_not_hold_up_those_behind_it() -> None:
    listing = Listing()
    for seq in range(1, 50):
        listing.discover(seq)
    for position in range(1, 49):
        listing.end(position)
    follower = Follower(listing.read)

    assert [record.seq async for record in follower.new_records()] == list(range(2, 50))
