"""A headless Chromium over the DevTools protocol's pipe (fd 3 and 4, messages end in a zero byte);
no extra package.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
}


class Chromium:
    """One browser with one page; ``errors`` holds the page's exceptions, console errors and failed
    loads.
    """

    def __init__(self, width=1100, height=900):
        path = (
            shutil.which("chromium")
            or shutil.which("chromium-browser")
            or shutil.which("google-chrome")
        )
        if path is None:
            raise RuntimeError(
                "these tests click in a real browser and found no chromium: install it (apt-get "
                "install chromium), "
                "or leave them out with VLMGYM_NO_BROWSER=1"
            )
        self._folder = tempfile.mkdtemp(prefix="vlmgym-chromium-")
        ends = [*os.pipe(), *os.pipe()]
        commands, self._to, self._from, answers = (
            fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in ends
        )
        for fd in ends:
            os.close(fd)
        options = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--remote-debugging-pipe", f"--user-data-dir={self._folder}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(  # bash, for dash knows no descriptors above 9
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", path, *options],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._buffer, self._number, self._session, self.errors = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def close(self):
        try:
            self._session = None
            self.call("Browser.close")
        except (OSError, RuntimeError):
            pass
        finally:
            for fd in (self._to, self._from):
                os.close(fd)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _receive(self, limit):
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0, limit - time.monotonic()))[0]:
                raise RuntimeError("chromium does not answer")
            data = os.read(self._from, 1 << 16)
            if not data:
                raise RuntimeError("chromium has ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + 20
        while True:
            answer = self._receive(limit)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        name, values = event.get("method"), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.errors.append(
                values["exceptionDetails"].get("exception", {}).get("description", str(values))
            )
        elif name == "Runtime.consoleAPICalled" and values["type"] in (
            "error",
            "assert",
            "warning",
        ):
            self.errors.append(str(values["args"]))
        elif name == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.errors.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")

    def resize(self, width, height):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, url):
        self.call("Page.navigate", url=url)

    def run(self, expression):
        """The value of a JavaScript expression; promises are awaited."""
        got = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in got:
            raise RuntimeError(f"{expression}: {got['exceptionDetails'].get('exception', got)}")
        return got["result"].get("value")

    def wait(self, expression, seconds=15):
        """Wait until an expression is true; an error in it (the page is not there yet) counts as
        false.
        """
        limit = time.monotonic() + seconds
        while not self.run(
            f"(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        ):
            if time.monotonic() > limit:
                raise AssertionError(
                    f"did not become true: {expression}; page: "
                    f"{self.run('document.body.innerText')!r}"
                )
            time.sleep(0.02)

    def click(self, x, y):
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            button = "none" if kind == "mouseMoved" else "left"
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button=button,
                buttons=buttons,
                clickCount=1,
            )

    def click_on(self, selector):
        """Click into the middle of an element, scrolled into view."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            f"e.scrollIntoView({{block: 'nearest'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] "
            "})()"
        )
        self.click(*box)

    def key(self, key):
        code = KEYS.get(key) or ord(key.upper())
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        name = key if len(key) > 1 else "Space" if key == " " else f"Key{key.upper()}"
        both = {"key": key, "code": name, "windowsVirtualKeyCode": code}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **both, **text
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", **both)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
