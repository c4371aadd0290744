"""What a crawl of the sample site must find, when it starts at START and may visit both hosts.

URLs are written without the port that the server got: `Site.live` and `Site.plain` translate.
"""

from __future__ import annotations

from dataclasses import dataclass

START = "http://site.test/"

#: The first month of a calendar without end; month N of it is N links further from the start.
CALENDAR = "http://site.test/calendar/2026/11"

#: Linked, but robots.txt asks to leave it alone: no request may reach it.
DISALLOWED = frozenset({"http://site.test/private/roster.html"})

#: Linked, but on other sites.
EXTERNAL = frozenset({"https://harbour.example/", "https://code.example/tidewheel"})

#: Seconds between two requests to the second host, as its robots.txt asks.
DOCS_CRAWL_DELAY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Page:
    """One URL. `depth` counts links from START; None: no page links to it."""

    url: str
    depth: int | None
    #: Of the last answer, when redirects have been followed.
    status: int = 200
    #: Its link exists only after scripts ran.
    rendered_only: bool = False
    in_sitemap: bool = False
    content_type: str = "text/html"
    final_url: str = ""


PAGES = (
    Page(START, 0, in_sitemap=True),
    Page("http://site.test/about.html", 1, in_sitemap=True),
    Page("http://site.test/routes/", 1, in_sitemap=True),
    Page("http://site.test/fleet/", 1, in_sitemap=True),
    Page("http://site.test/handbook/", 1, in_sitemap=True),
    Page("http://site.test/news/", 1),
    Page("http://site.test/timetable.html", 1, in_sitemap=True),
    Page("http://site.test/routes/inner-sound.html", 1),
    Page("http://site.test/routes/night-boat.html", 1),
    Page("http://site.test/app/", 1),
    Page(CALENDAR, 1),
    Page("http://site.test/old-routes", 1, final_url="http://site.test/routes/"),
    Page("http://site.test/hop/1", 1, final_url="http://site.test/about.html"),
    Page("http://site.test/missing.html", 1, status=404),
    Page("http://site.test/broken.html", 1, status=500),
    Page("http://docs.site.test/", 1, in_sitemap=True),
    Page("http://site.test/people/", 2),
    Page("http://site.test/routes/island-hopper.html", 2),
    Page("http://site.test/routes/long-crossing.html", 2),
    Page("http://site.test/routes/winter.html", 2),
    Page("http://site.test/files/routes.csv", 2, content_type="text/csv"),
    Page("http://site.test/fleet/heron.html", 2),
    Page("http://site.test/fleet/curlew.html", 2),
    Page("http://site.test/fleet/dunlin.html", 2),
    Page("http://site.test/fleet/tern.html", 2),
    Page("http://site.test/fleet/sandpiper.html", 2),
    Page("http://site.test/files/deck-plan.pdf", 2, content_type="application/pdf"),
    Page("http://site.test/handbook/boarding.html", 2),
    Page("http://site.test/handbook/tickets.html", 2, in_sitemap=True),
    Page("http://site.test/handbook/luggage.html", 2),
    Page("http://site.test/handbook/bicycles.html", 2),
    Page("http://site.test/handbook/animals.html", 2),
    Page("http://site.test/handbook/access.html", 2),
    Page("http://site.test/handbook/weather.html", 2),
    Page("http://site.test/handbook/safety.html", 2),
    Page("http://site.test/handbook/lost-property.html", 2),
    Page("http://site.test/handbook/complaints.html", 2),
    Page("http://site.test/news/new-engine.html", 2, rendered_only=True),
    Page("http://site.test/news/gangway.html", 2, rendered_only=True),
    Page("http://site.test/news/storm.html", 2, rendered_only=True),
    Page("http://site.test/news/cat.html", 2, rendered_only=True),
    Page("http://site.test/app/marsh-quay.html", 2, rendered_only=True),
    Page("http://site.test/app/great-skerry.html", 2, rendered_only=True),
    Page("http://site.test/app/gull-stack.html", 2, rendered_only=True),
    Page("http://docs.site.test/guide/", 2),
    Page("http://docs.site.test/reference/", 2),
    Page("http://docs.site.test/recipes/", 2),
    Page("http://docs.site.test/faq.html", 2),
    Page("http://docs.site.test/changelog.html", 2, in_sitemap=True),
    Page("http://docs.site.test/install.html", 2, in_sitemap=True),
    Page("http://docs.site.test/quickstart.html", 2, in_sitemap=True),
    Page("http://site.test/people/jose.html", 3),
    Page("http://site.test/people/tanaka.html", 3),
    Page("http://site.test/handbook/safety/life-jackets.html", 3),
    Page("http://site.test/handbook/safety/drills.html", 3),
    Page("http://docs.site.test/guide/tides.html", 3),
    Page("http://docs.site.test/guide/boards.html", 3),
    Page("http://docs.site.test/guide/rules.html", 3),
    Page("http://docs.site.test/guide/exports.html", 3),
    Page("http://docs.site.test/reference/cli.html", 3),
    Page("http://docs.site.test/reference/config.html", 3),
    Page("http://docs.site.test/reference/format.html", 3),
    Page("http://docs.site.test/reference/api.html", 3),
    Page("http://docs.site.test/reference/errors.html", 3),
    Page("http://docs.site.test/recipes/two-ports.html", 3),
    Page("http://docs.site.test/recipes/school-bus.html", 3),
    Page("http://docs.site.test/recipes/fog.html", 3),
    Page("http://docs.site.test/recipes/print.html", 3),
    Page("http://docs.site.test/glossary.html", 3, in_sitemap=True),
    Page("http://site.test/handbook/safety/log.html", 4),
    Page("http://site.test/archive/2024.html", None, in_sitemap=True),
    Page("http://site.test/archive/2025.html", None, in_sitemap=True),
)

#: Something that a page says only after its scripts ran.
RENDERED_TEXT = {
    "http://site.test/news/": "A new engine for the Heron",
    "http://site.test/timetable.html": "All boats sail today.",
    "http://site.test/app/": "Boats leave from 3 piers at this hour.",
}

#: Something on a page that is not in UTF-8.
LEGACY_TEXT = {
    "http://site.test/people/jose.html": "Mi café cuesta 1 €",
    "http://site.test/people/tanaka.html": "海が好きで、霧は嫌いです",
}


def linked(*, rendered: bool, max_depth: int = 99) -> frozenset[str]:
    """The URLs that links lead to, with scripts or without. The calendar counts with its first month only."""
    return frozenset(
        page.url
        for page in PAGES
        if page.depth is not None and page.depth <= max_depth and (rendered or not page.rendered_only)
    )


def in_sitemaps(host: str) -> frozenset[str]:
    """The URLs that the sitemaps of a host list."""
    return frozenset(page.url for page in PAGES if page.in_sitemap and page.url.startswith(f"http://{host}/"))
