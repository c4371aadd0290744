"""Finding a property in what a page says: by its name, or by the words that vocabularies have for the same thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crawler.structured.coercion import normal
from crawler.structured.data import Item

#: How deep inside an item a property is looked for: the price of a product is that of its offer.
_SEARCH_DEPTH = 3

_ALIKE = tuple(
    tuple(words.split())
    for words in (
        "title name headline h1",
        "description summary abstract",
        "image imageurl thumbnail thumbnailurl photo",
        "url link canonical href",
        "author authors creator byline",
        "datepublished published publishedat publishedtime publisheddate publicationdate pubdate date uploaddate",
        "datemodified modified modifiedat modifiedtime modifieddate updated updatedat lastmodified lastupdated",
        "price lowprice priceamount amount cost",
        "currency pricecurrency",
        "availability instock stock stockstatus",
        "rating ratingvalue stars",
        "reviewcount ratingcount numberofreviews",
        "brand manufacturer",
        "language inlanguage lang locale",
        "phone telephone phonenumber tel",
        "publisher sitename site",
        "keywords tags",
        "city addresslocality town",
        "zip postalcode zipcode",
        "state region addressregion",
        "street streetaddress",
        "country addresscountry",
        "ingredients recipeingredient",
        "instructions recipeinstructions steps",
        "salary basesalary",
        "company hiringorganization",
    )
)
#: Every item has these, so those of items inside it are not its own.
GENERAL = frozenset({*_ALIKE[0], *_ALIKE[1], *_ALIKE[2], *_ALIKE[3]})
#: One text may hold several of these, with commas between them.
LISTED_IN_TEXT = frozenset({"keywords", "tags"})
#: Items about the site, not about what the page shows.
_ABOUT_SITE = frozenset(
    {
        "Organization",
        "WebSite",
        "WebPage",
        "BreadcrumbList",
        "ImageObject",
        "SiteNavigationElement",
        "SearchAction",
    }
)


def alike(wanted: str) -> tuple[str, ...]:
    """The name itself first, then its singular, then the words that mean the same."""
    singular = wanted.removesuffix("s")
    group = next((words for words in _ALIKE if wanted in words or singular in words), ())
    return tuple(dict.fromkeys((wanted, singular, *group)))


def types(item: Item) -> set[str]:
    """The types of an item, for comparison."""
    return {normal(str(kind)) for kind in item.get("@type", ())}


def is_about_site(item: Item) -> bool:
    """Whether an item is about the site, not about what the page shows."""
    return bool(_ABOUT_SITE & set(item.get("@type", ())))


def by_fit(items: Iterable[Item], names: Sequence[str]) -> list[Item]:
    """Items that have more of the names first; those about the site last."""

    def fit(item: Item) -> tuple[bool, int]:
        return is_about_site(item), -sum(1 for name in names if next(look_up(name, [item]), None) is not None)

    return sorted(items, key=fit)


def look_up(wanted: str, items: Sequence[Item]) -> Iterator[Any]:
    """The values of a property in the first item that has it, by the best of its names."""
    for item in items:
        own = {normal(key): values for key, values in item.items() if not key.startswith("@")}
        prefixes = types(item)
        words = [
            *alike(wanted),
            *(wanted.removeprefix(kind) for kind in prefixes if wanted.startswith(kind)),
        ]
        for word in words:
            if word in own:
                yield from own[word]
                return
        for key, values in own.items():
            rest = wanted.removeprefix(key.removesuffix("s"))
            nested = [value for value in values if isinstance(value, Mapping)]
            if nested and rest != wanted and (inner_values := list(look_up(rest, nested))):
                yield from inner_values
                return
        if wanted not in GENERAL:
            inner = _inside(item, _SEARCH_DEPTH)
            found = next((values for nested in inner if (values := list(_own(wanted, nested)))), None)
            if found:
                yield from found
                return


def _own(wanted: str, item: Item) -> Iterator[Any]:
    own = {normal(key): values for key, values in item.items() if not key.startswith("@")}
    word = next((word for word in alike(wanted) if word in own), None)
    if word is not None:
        yield from own[word]


def _inside(item: Item, levels: int) -> Iterator[Item]:
    """The items inside an item, those less deep first."""
    level = [item]
    for _ in range(levels):
        level = [
            value
            for outer in level
            for key, values in outer.items()
            if not key.startswith("@")
            for value in values
            if isinstance(value, Mapping)
        ]
        yield from level


def look_through(entry: Item) -> Item:
    """A `ListItem` stands for what it lists."""
    inner = next((value for value in entry.get("item", ()) if isinstance(value, Mapping)), None)
    return inner or entry


def of_meta(wanted: str, values: Mapping[str, str]) -> Iterator[str]:
    """By the whole name or what follows its prefix: `og:title` is a title, `product:price:amount` a price amount."""
    for word in alike(wanted):
        for name, value in values.items():
            if word in (normal(name), normal(name.partition(":")[2])):
                yield value
