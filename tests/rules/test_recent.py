"""What a process remembers has an end: what was used least recently goes."""

from __future__ import annotations

from crawler.recent import Recent


def test_the_values_used_last_are_kept() -> None:
    recent = Recent[str, int](3)
    for number, key in enumerate("abc"):
        recent.put(key, number)
    assert recent.get("a") == 0
    recent.put("b", 10)
    recent.put("d", 3)
    assert [recent.get(key) for key in "abcd"] == [0, 10, None, 3]
    assert len(recent) == 3


def test_a_value_that_is_put_again_takes_no_other_ones_place() -> None:
    recent = Recent[str, int](2)
    for number in range(5):
        recent.put("a", number)
        recent.put("b", number)
    assert (recent.get("a"), recent.get("b"), len(recent)) == (4, 4, 2)


def test_what_is_forgotten_makes_room() -> None:
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.forget("b")
    recent.forget("never known")
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]
