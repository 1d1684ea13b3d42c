"""Chromium without a window, told over a pipe which pages to look at (the Chrome DevTools Protocol)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
"""How long an answer is waited for."""
READ, WRITE = 3, 4
"""The file descriptors that Chromium speaks over."""


def command() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Seen:
    """What happened while a page was looked at."""

    errors: list[str] = field(default_factory=list)
    """Exceptions, and what the console calls errors or warnings, such as what the page's policy refuses."""
    requests: list[str] = field(default_factory=list)
    """Addresses beside the page's own and what it holds itself (data:)."""


class Browser:
    """One Chromium with one tab.

    >>> with Browser() as browser:  # doctest: +SKIP
    ...     browser.visit(Path("report.html"), width=360, dark=True)
    ...     browser.ask("document.title")
    """

    def __init__(self) -> None:
        self._number, self._rest, self._session, self.seen = 0, b"", "", Seen()

    def __enter__(self) -> Browser:
        path = command()
        assert path is not None, "there is no Chromium"
        self._folder = tempfile.mkdtemp(prefix="browser-")
        # high numbers, so that neither end is where Chromium wants the other
        ends = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for pair in (os.pipe(), os.pipe()) for one in pair]
        theirs_in, self._out, self._in, theirs_out = ends

        def place() -> None:
            os.dup2(theirs_in, READ)
            os.dup2(theirs_out, WRITE)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
        self._process = subprocess.Popen(
            [path, *flags, f"--user-data-dir={self._folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=place,  # noqa: PLW1509  # nothing else gives a child its numbers
            pass_fds=(READ, WRITE),
        )
        os.close(theirs_in)
        os.close(theirs_out)
        made = self.call("Target.createTarget", url="about:blank")
        self._session = self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)["sessionId"]
        for name in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{name}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._folder, ignore_errors=True)

    def visit(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> Seen:
        """Opens a page in a window of so many CSS pixels, and waits until it has loaded."""
        self.seen = Seen()
        wanted = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[wanted])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=page.resolve().as_uri())
        end = time.monotonic() + SECONDS
        while self._read(end).get("method") != "Page.loadEventFired":
            pass
        return self.seen

    def ask(self, code: str) -> Any:
        """The value of JavaScript in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, whole: bool = True) -> bytes:
        """The page as PNG, `whole`: beyond the window as well."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"captureBeyondViewport": True, "clip": {**size, "scale": 1}} if whole else {}
        return base64.b64decode(self.call("Page.captureScreenshot", **clip)["data"])

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """What a method of the protocol answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            found = self._read(end)
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])

    def _read(self, end: float) -> dict[str, Any]:
        """The next message; what it tells of the page is kept."""
        while b"\0" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise TimeoutError("Chromium does not answer")
            more = os.read(self._in, 1 << 20)
            if not more:
                raise ConnectionError("Chromium has ended")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message = dict(json.loads(line))
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.seen.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.seen.errors.append(told["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.seen.errors.append(" ".join(str(one.get("value")) for one in told["args"]))
        elif method == "Network.requestWillBeSent":
            url, page = told["request"]["url"], told.get("documentURL")
            if not url.startswith(("data:", "blob:")) and url != page:
                self.seen.requests.append(url)
