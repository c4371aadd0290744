"""Which Chromium is launched, and how: executable, switches, environment.

Nothing may leave the browser except through the proxy of a context. `selftest` proves that at each start; the
switches here are what makes it so.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from crawler.errors import ConfigurationError
from crawler.settings import Settings

#: A closed port. What belongs to no context with a proxy of its own has no network at all.
DEAD_PROXY = "http://127.0.0.1:1"
#: Chromium sends loopback and link-local directly, whatever the proxy, unless this rule takes that back.
PROXY_EVERYTHING = "<-loopback>"

#: Before names from PATH: Debian's /usr/bin/chromium is a shell script that sources switches from a folder.
_DEBIAN = Path("/usr/lib/chromium")
_HEADLESS_SHELL = ("chromium-headless-shell", "chrome-headless-shell", "headless_shell")
_FULL_BROWSER = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PLAYWRIGHT_GLOBS = (
    "chromium_headless_shell-*/*/*headless?shell",
    "chromium-*/*/chrome",
    "chromium-*/*/Chromium.app/Contents/MacOS/Chromium",
    "chromium-*/*/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
)

#: Chromium honours only the last `--disable-features`, and ours comes after Playwright's: so this names all of
#: Playwright's as well. A test holds the two lists together.
_DISABLED_FEATURES = (
    # Ways out of the browser that do not ask the proxy.
    "WebTransport",
    "MediaRouter",
    "DialMediaRouteProvider",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "Translate",
    "AutofillServerCommunication",
    "Prerender2",
    # Playwright's own.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "PaintHolding",
    "PreconnectToSearch",
    "TcpPortRandomizationWin",
    "ThirdPartyStoragePartitioning",
    "msEdgeUpdateLaunchServicesPreferredVersion",
    "msForceBrowserSignIn",
)

_SWITCHES = (
    f"--proxy-bypass-list={PROXY_EVERYTHING}",
    # No name is resolved in the browser: not for prefetches, not for WebRTC.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    # WebRTC may not send UDP. The full browser reads the first of these, the headless shell the second.
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-quic",
    "--dns-prefetch-disable",
    "--no-pings",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-gpu",
    # Look for garbage from 8 MB on. Else a tab keeps each page that it has shown until it is replaced itself: 470 MB
    # with eight tabs, and looking costs no time that could be measured.
    "--js-flags=--initial-old-space-size=8",
    "--block-new-web-contents",
    f"--disable-features={','.join(_DISABLED_FEATURES)}",
)


def find_chromium(settings: Settings) -> Path | None:
    """The browser to launch, or None when there is none.

    The one that is set; else an installed headless shell (a third faster, 2.7 times with a context per page); else
    an installed Chromium; else one that `playwright install` brought. Raises ConfigurationError when the one that
    is set cannot be executed.
    """
    if settings.chromium is not None:
        if not os.access(settings.chromium, os.X_OK) or settings.chromium.is_dir():
            message = f"CRAWL_CHROMIUM: {settings.chromium} is not an executable file."
            raise ConfigurationError(message)
        return settings.chromium
    return _installed(_HEADLESS_SHELL) or _installed(_FULL_BROWSER) or _downloaded()


def require_privileges(settings: Settings) -> None:
    """Raise ConfigurationError where rendering would be unsafe: as root, or with the loopback proxy rule taken off.

    Chromium's sandbox does not work for root, and a page that breaks out of its renderer would own the machine.
    """
    if os.environ.get("PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK"):
        raise ConfigurationError(
            "PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK lets pages reach this machine; unset it."
        )
    if _is_root() and not settings.allow_unsandboxed:
        raise ConfigurationError(
            "The browser must not run as root, where it has no sandbox. Use another user, or set "
            "CRAWL_ALLOW_UNSANDBOXED=1 if every page you render is trusted."
        )


def has_sandbox(settings: Settings) -> bool:
    """Whether Chromium is launched with its sandbox."""
    return not (_is_root() and settings.allow_unsandboxed)


def switches(settings: Settings, *, marker: str) -> list[str]:
    """Switches to launch with, after Playwright's own. `marker` is how the process is found again."""
    return [*_SWITCHES, f"--user-agent={settings.user_agent}", f"--crawl-browser={marker}"]


def environment(home: Path) -> dict[str, str]:
    """The whole environment of the browser: nothing of ours, since a page that broke out could read it."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_RUNTIME_DIR": str(home),
    }


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _installed(names: tuple[str, ...]) -> Path | None:
    for name in names:
        path = _DEBIAN / name
        if os.access(path, os.X_OK):
            return path
    for name in names:
        found = shutil.which(name)
        if found and not _is_script(Path(found)):
            return Path(found)
    return None


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def _downloaded() -> Path | None:
    """The newest browser of `playwright install`."""
    folders = [Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")]
    folders.append(Path.home() / "Library" / "Caches" / "ms-playwright")
    for pattern in _PLAYWRIGHT_GLOBS:
        found = sorted(path for folder in folders if folder.is_dir() for path in folder.glob(pattern))
        if found:
            return found[-1]
    return None
