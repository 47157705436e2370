# SPDX-License-Identifier: MIT
"""A headless Chromium, driven through its DevTools protocol with only Python's standard library."""
import base64
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

SKIPPED = 77
NAMES = ["chromium", "chromium-browser", "google-chrome"]
KEYS = {"Enter": 13, "Tab": 9, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}


def find_browser():
    """Its path, or None."""
    return os.environ.get("MIRILLA_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


class Socket:
    """The parts of RFC 6455 that the protocol needs."""
    def __init__(self, url, timeout_s):
        host, path = url.removeprefix("ws://").split("/", 1)
        address, port = host.split(":")
        self.socket = socket.create_connection((address, int(port)), timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(4096)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert b" 101 " in head.split(b"\r\n")[0], head

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        head = bytes([0x81, 0x80 | size]) if size < 126 else (
            bytes([0x81, 0xFE]) + size.to_bytes(2, "big") if size < 65536 else bytes([0x81, 0xFF]) + size.to_bytes(8, "big"))
        repeated = mask * (size // 4 + 1)
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(repeated[:size], "big")).to_bytes(size, "big") if size else b""
        self.socket.sendall(head + mask + masked)

    def take(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 16)
            assert more, "the browser closed the connection"
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self):
        text = b""
        while True:
            first, second = self.take(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
            piece = self.take(size)
            if first & 15 in (0, 1):
                text += piece
                if first & 128:
                    return text.decode()


class Browser:
    """One page of a fresh profile, until close(). Logged errors, exceptions and network requests of the page are recorded."""
    def __init__(self, width=1280, height=900, scale=1, timeout_s=180):
        self.profile = tempfile.mkdtemp(prefix="mirilla-browser-")
        self.timeout_s = timeout_s
        self.process = subprocess.Popen(
            [find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
             "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
             "--remote-debugging-port=0", f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        self.socket, self.next, self.events, self.errors, self.requests = None, 0, [], [], []
        port = self.wait_for_port()
        self.socket = Socket(self.page_url(port), timeout_s)
        for domain in ("Page", "Runtime", "Network", "Log", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")
        self.resize(width, height, scale)

    def close(self):
        if self.socket:
            self.socket.socket.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def wait_for_port(self):
        file = pathlib.Path(self.profile) / "DevToolsActivePort"
        end = time.time() + self.timeout_s
        while time.time() < end:
            if self.process.poll() is not None:
                raise RuntimeError("the browser ended before it had begun")
            if file.exists() and file.read_text().count("\n"):
                return int(file.read_text().split("\n")[0])
            time.sleep(.05)
        raise RuntimeError("the browser did not begin")

    def page_url(self, port):
        import urllib.request
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=self.timeout_s) as answer:
                pages = [one for one in json.load(answer) if one["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]

    def call(self, method, **parameters):
        self.next += 1
        self.socket.send(json.dumps({"id": self.next, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.receive())
            if message.get("id") == self.next:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.note(message)

    def note(self, message):
        name, what = message.get("method"), message.get("params", {})
        if name == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "assert"):
            self.errors.append(str([one.get("value", one.get("description")) for one in what["args"]]))
        elif name == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.errors.append(what["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    def js(self, expression):
        """Its value; waits for it if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "") + "\nin " + expression)
        return result["result"].get("value")

    def open(self, url, ready="document.readyState === 'complete'"):
        self.call("Page.navigate", url=url)
        self.wait(ready)

    def wait(self, condition, what=""):
        end = time.time() + self.timeout_s
        while time.time() < end:
            if self.js(condition):
                return
            time.sleep(.05)
        raise AssertionError(f"it did not come to this: {what or condition}")

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 500)

    def prefer(self, **features):
        """prefer(prefers_color_scheme="dark")"""
        self.call("Emulation.setEmulatedMedia", features=[{"name": n.replace("_", "-"), "value": v} for n, v in features.items()])

    def middle(self, selector, x=.5, y=.5):
        box = self.js(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
                      " const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()")
        return {"x": box[0] + x * box[2], "y": box[1] + y * box[3]}

    def move(self, selector, x=.5, y=.5):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **self.middle(selector, x, y))

    def click(self, selector, x=.5, y=.5):
        at = self.middle(selector, x, y)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def key(self, key, times=1, shift=False):
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                more = {"text": text} if text and kind == "keyDown" else {}
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=8 if shift else 0, **more)

    def screenshot(self, path, whole=False):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def accessible(self):
        """Every node that assistive technology sees: (role, name)."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(one.get("role", {}).get("value", ""), one.get("name", {}).get("value", "")) for one in nodes if not one.get("ignored")]
