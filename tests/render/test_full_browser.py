"""The full browser, for machines without the headless shell: other code reads some of its switches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fetch.origins import Canary
from tests.render.conftest import Origin, Renderers

PRIVATE = "127.0.0.3"
#: Debian's; /usr/bin/chromium there is a script.
_DEBIAN = Path("/usr/lib/chromium/chromium")

pytestmark = pytest.mark.browser


@pytest.fixture
def full_browser() -> Path:
    """The full Chromium or Chrome of this machine."""
    found = shutil.which(_DEBIAN) or shutil.which("google-chrome-stable") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no full Chromium is installed")
    return Path(found)


async def test_the_full_browser_renders_and_does_not_leak(
    renderers: Renderers, full_browser: Path, site: Origin, canary: Canary
) -> None:
    """The launch alone runs the self-test: WebRTC, WebTransport, sockets, frames. The page is a page of a crawl."""
    site.routes |= {
        "/": f"""<!DOCTYPE html><title>static</title><img src="http://{PRIVATE}:{canary.port}/image">
            <script src=/script></script><main></main>""",
        "/script": """
            const calls = new RTCPeerConnection({ iceServers: [{ urls: "stun:127.0.0.3:3478" }] });
            calls.createDataChannel("c");
            calls.createOffer().then((offer) => calls.setLocalDescription(offer));
            fetch("/data").then((answer) => answer.text()).then((text) => {
              document.title = `${text} ${innerWidth}x${innerHeight}`;
            });""",
        "/data": "scripted",
    }
    async with renderers(chromium=full_browser) as renderer:
        rendered = await renderer.page(site.url())
        assert Path(renderer.processes()[0].exe()) == full_browser.resolve()
        assert (await renderer.failure(f"http://{PRIVATE}:{canary.port}/")).code == "blocked_destination"
    assert rendered.title == "scripted 1920x1080"
    assert canary.hits == []
