"""What a process remembers of crawls, so that it need not ask the database again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

#: Keys remembered over all crawls (about 100 bytes each).
MAX_KEYS = 300_000


class Memory:
    """Keys by crawl, those of the crawls used last; more than `MAX_KEYS` only if they are of one crawl."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, set[str]] = OrderedDict()

    def of(self, crawl_id: str) -> AbstractSet[str]:
        """The keys of a crawl."""
        return self._keys.get(crawl_id, frozenset())

    def add(self, keys: Mapping[str, set[str]]) -> None:
        """Remember more."""
        for crawl_id, new in keys.items():
            known = self._keys.setdefault(crawl_id, set())
            self._keys.move_to_end(crawl_id)
            known |= new
        while len(self._keys) > 1 and sum(map(len, self._keys.values())) > MAX_KEYS:
            self._keys.popitem(last=False)
