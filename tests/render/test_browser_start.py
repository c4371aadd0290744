"""How a browser is started: by whom, with what, and that nothing gets out of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from crawler.errors import ConfigurationError
from crawler.fetch import chromium, selftest
from tests.render.conftest import Renderers, Rendering, command_of, settings_for
from tests.render.processes import WorkerDied, worker

# --- how it is started ----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
async def test_b1_root_may_not_render_unless_told_to(renderers: Renderers) -> None:
    async with renderers(allow_unsandboxed=False) as renderer:
        with pytest.raises(ConfigurationError, match="must not run as root"):
            await renderer.renderer.check()
    async with renderers(allow_unsandboxed=True) as renderer:
        assert (await renderer.renderer.check()).endswith("without its sandbox")


async def test_a47_the_switch_that_opens_loopback_is_refused(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK", "1")
    async with renderers() as renderer:
        with pytest.raises(ConfigurationError, match="PROXIED_LOOPBACK"):
            await renderer.renderer.check()


async def test_b2_b4_the_command_line_is_ours(renderer: Rendering) -> None:
    await renderer.renderer.check()
    main, *children = renderer.processes()
    command = main.cmdline()
    # Not Debian's wrapper script, which adds the switches of a folder.
    assert Path(main.exe()) == chromium.find_chromium(renderer.settings)
    forbidden = ("--disable-web-security", "--remote-debugging-port", "--ignore-certificate-errors",
                 "--single-process", "--disable-popup-blocking")  # fmt: skip
    for process in (main, *children):
        words = command_of(process)
        assert not [word for word in words if word.startswith(forbidden)]
        if chromium.has_sandbox(renderer.settings):
            assert "--no-sandbox" not in words
    lists = [
        set(word.partition("=")[2].split(",")) for word in command if word.startswith("--disable-features=")
    ]
    playwrights, ours = lists
    assert playwrights <= ours, "Chromium honours the last list only; add what Playwright disables"
    assert "WebTransport" in ours


@pytest.mark.browser
async def test_b2_renderers_run_in_the_sandbox() -> None:
    # Root has no sandbox, so it gives up being root, and keeps only the right to read its own interpreter.
    rights = "-all,+dac_read_search"
    user = ["setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to stop being root")
    try:
        async with worker(*(user if os.geteuid() == 0 else ())) as (_, browser):
            renderers = [process for process in browser if "--type=renderer" in command_of(process)]
            assert renderers
            for process in renderers:
                status = Path(f"/proc/{process.pid}/status").read_text()
                fields = dict(line.split(":", 1) for line in status.splitlines())
                assert fields["Seccomp"].strip() == "2"
                assert len(fields["NSpid"].split()) > 1, "not in a process namespace of its own"
    except WorkerDied as error:
        pytest.skip(f"no sandbox on this machine: {error}")


async def test_b3_the_environment_has_nothing_of_ours(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_MARKER", "s3cret")
    async with renderers() as renderer:
        await renderer.renderer.check()
        main = renderer.processes()[0]
        zygotes = [child for child in main.children() if "--type=zygote" in command_of(child)]
        assert zygotes, "all renderers are forks of these"
        for process in (main, *zygotes):
            assert "SECRET_MARKER" not in process.environ()
        driver = main.parent()
        assert driver is not None
        assert driver.environ()["NODE_OPTIONS"] == "--max-semi-space-size=2"
        names = main.environ()
        assert names["HOME"].startswith(tempfile.gettempdir())
        assert {name for name in names if not name.startswith("XDG_")} <= {
            "PATH",
            "HOME",
            "TMPDIR",
            "LANG",
            "TZ",
        }


async def test_the_named_browser_has_to_be_executable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CRAWL_CHROMIUM"):
        chromium.find_chromium(settings_for(chromium=tmp_path / "none"))


async def test_a_browser_that_does_not_start_is_named(renderers: Renderers, folder: Path) -> None:
    broken = folder / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    async with renderers(chromium=broken) as renderer:
        with pytest.raises(Exception, match=r"Chromium at .*/chromium does not start"):
            await renderer.renderer.check()
    assert [path.name for path in folder.iterdir()] == ["chromium"]


# --- the self-test can fail -----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize(
    ("dropped", "dead_proxy", "leak"),
    [
        ((), True, None),
        (("--webrtc", "--force-webrtc"), True, "UDP"),
        ((), False, "TCP"),
    ],
)
async def test_a62_the_self_test_sees_what_gets_out(
    dropped: tuple[str, ...], dead_proxy: bool, leak: str | None
) -> None:
    settings = settings_for()
    switches = [
        word for word in chromium.switches(settings, marker="x") if not word.startswith(dropped or "-- ")
    ]
    executable = chromium.find_chromium(settings)
    if executable is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=executable,
            args=switches,
            proxy={"server": chromium.DEAD_PROXY, "bypass": chromium.PROXY_EVERYTHING}
            if dead_proxy
            else None,
            chromium_sandbox=chromium.has_sandbox(settings),
        )
        found = await selftest.find_leak(browser)
        await browser.close()
    assert (found is None) == (leak is None)
    assert (leak or "") in (found or "")


async def test_x45_a62_a_browser_that_has_lost_switches_is_refused(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(word for word in chromium._SWITCHES if "webrtc" not in word)
    monkeypatch.setattr(chromium, "_SWITCHES", kept)
    async with renderers() as renderer:
        with pytest.raises(ConfigurationError, match="cannot be used safely"):
            await renderer.renderer.check()


def test_b4_a_wrapper_script_is_never_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "chromium"
    wrapper.write_text("#!/bin/sh\nexec /usr/lib/chromium/chromium --no-sandbox\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(chromium, "_DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert chromium.find_chromium(settings_for()) is None
