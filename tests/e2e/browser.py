# SPDX-License-Identifier: BSD-3-Clause
"""Chromium, driven over the two pipes of its DevTools protocol: no library, no
port, no driver. Keys and clicks are those of a person: they go where the
screen shows something, or nowhere."""
import base64
import collections
import json
import os
import select
import shutil
import signal
import subprocess
import time

from harness import DEADLINE_S

CHROMIUM = ("/usr/lib/chromium/chromium", "chromium")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-dev-shm-usage", "--disable-extensions",
         "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-default-apps",
         "--no-default-browser-check", "--password-store=basic",
         "--disable-features=Translate,OptimizationHints,MediaRouter",
         "--hide-scrollbars", "--remote-debugging-pipe"]
KEYS = {"Backspace": 8, "Tab": 9, "Enter": 13, "Escape": 27, " ": 32}

# The element that a person would take: shown, and with just this name.
FIND = """
(role, name, index) => {
    const tags = {button: "button", link: "a[href]", heading: "h1,h2,h3",
        textbox: "input,textarea", select: "select", summary: "summary",
        checkbox: "input[type=checkbox]", row: "tbody tr", any: "*"};
    const open = document.querySelector("dialog[open]") || document;
    const nameOf = (el) => (el.getAttribute("aria-label") ||
        (el.labels && el.labels[0] && el.labels[0].firstChild.textContent) ||
        el.textContent || "").trim();
    const all = [...open.querySelectorAll(tags[role])].filter((el) =>
        el.checkVisibility() && (name instanceof RegExp
            ? name.test(nameOf(el)) : nameOf(el) === name));
    return all[index] || null;
}
"""


class Browser:
    """One Chromium; each page() is a window with cookies of its own."""

    def __init__(self, directory):
        program = next(p for p in map(shutil.which, CHROMIUM) if p)
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()

        def pipes():
            # 3 and 4, wherever they are now.
            a, b = os.dup(to_read), os.dup(from_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.log = open(os.path.join(directory, "chromium.log"), "wb")
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={directory}/chromium",
             "about:blank"], preexec_fn=pipes, close_fds=False,
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": str(directory), "TZ": "Europe/Berlin"})
        os.close(to_read)
        os.close(from_write)
        self.out, self.into = to_write, from_read
        self.buffer, self.serial = b"", 0
        self.answers, self.pages = {}, {}

    def read(self, deadline):
        left = deadline - time.monotonic()
        assert left > 0, "waited for chromium"
        if not select.select([self.into], [], [], left)[0]:
            return
        some = os.read(self.into, 1 << 20)
        assert some, "chromium has ended"
        self.buffer += some
        while b"\0" in self.buffer:
            one, self.buffer = self.buffer.split(b"\0", 1)
            self.take(json.loads(one))

    def take(self, message):
        if "id" in message:
            self.answers[message["id"]] = message
        elif message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].on_event(
                message["method"], message["params"])

    def call(self, method, session=None, **params):
        self.serial += 1
        one = {"id": self.serial, "method": method, "params": params}
        if session:
            one["sessionId"] = session
        data = json.dumps(one).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data):]
        deadline = time.monotonic() + DEADLINE_S
        while one["id"] not in self.answers:
            self.read(deadline)
        answer = self.answers.pop(one["id"])
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def page(self, **kw):
        return Page(self, **kw)

    def stop(self):
        os.close(self.out)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.into)
        self.log.close()


class Page:
    def __init__(self, browser, scheme="light", width=1100, height=900):
        self.browser = browser
        context = browser.call("Target.createBrowserContext")
        target = browser.call("Target.createTarget", url="about:blank",
                              browserContextId=context["browserContextId"])
        self.session = browser.call(
            "Target.attachToTarget", targetId=target["targetId"],
            flatten=True)["sessionId"]
        browser.pages[self.session] = self
        self.requests, self.complaints = [], []
        self.seen = collections.Counter()
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(domain + ".enable")
        self.look(scheme)
        self.size(width, height)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def on_event(self, method, p):
        self.seen[method] += 1
        if method == "Network.requestWillBeSent":
            self.requests.append(p["request"]["url"])
        elif method == "Log.entryAdded" and p["entry"]["level"] == "error":
            self.complaints.append(p["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(p["exceptionDetails"]))
        elif (method == "Audits.issueAdded" and p["issue"]["code"]
              == "ContentSecurityPolicyIssue"):
            self.complaints.append(json.dumps(p["issue"]))

    # ---- the window ----

    def look(self, scheme, motion="reduce"):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion}])

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    # ---- what is there ----

    def js(self, expression):
        r = self.call("Runtime.evaluate", expression=expression,
                      awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in r, r["exceptionDetails"]
        return r["result"].get("value")

    def text(self):
        return self.js("document.body ? document.body.innerText : ''")

    def until(self, condition, what):
        """condition: JavaScript, or a function."""
        end = time.monotonic() + DEADLINE_S
        while True:
            value = (condition() if callable(condition)
                     else self.js(f"Boolean({condition})"))
            if value:
                return value
            assert time.monotonic() < end, f"no {what}; the page: " + \
                self.text()[:3000] + repr(self.complaints)
            time.sleep(0.03)

    def shows(self, text):
        return self.until(lambda: text in self.text(), f"“{text}”")

    def hides(self, text):
        return self.until(lambda: text not in self.text(),
                          f"end of “{text}”")

    @staticmethod
    def pick(role, name, index=0):
        name = (f"new RegExp({json.dumps(name[1:-1])})"
                if name.startswith("/") and name.endswith("/")
                and len(name) > 2 else json.dumps(name))
        return f"({FIND})({json.dumps(role)}, {name}, {index})"

    def has(self, role, name):
        return self.js(f"Boolean({self.pick(role, name)})")

    def click(self, role, name, index=0):
        """In its middle; it must be what a person would hit there. The page
        draws itself anew meanwhile: what moved is looked for again."""
        find = self.pick(role, name, index)
        self.until(f"{find} !== null", f"{role} “{name}”")

        def hit():
            at = self.js(f"""(() => {{
                const el = {find};
                if (!el)
                    return null;
                el.scrollIntoView({{block: "center", behavior: "instant"}});
                const r = el.getClientRects()[0];
                const x = r.x + r.width / 2, y = r.y + r.height / 2;
                const top = document.elementFromPoint(x, y);
                return el.disabled || !top || !(el.contains(top) ||
                    top.contains(el) || (el.labels && [...el.labels].some(
                        (l) => l.contains(top)))) ? null : [x, y];
            }})()""")
            if not at:
                return False
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=at[0],
                          y=at[1], button="left", clickCount=1)
            return True
        self.until(hit, f"way to click {role} “{name}”")

    def fill(self, name, text, role="textbox"):
        find = self.pick(role, name)
        self.until(f"{find} !== null", f"{role} “{name}”")
        self.js(f"{find}.focus(); {find}.select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.key("Backspace")

    def choose(self, name, value):
        find = self.pick("select", name)
        self.until(f"{find} !== null", f"choice “{name}”")
        self.js(f"(() => {{ const s = {find}; s.value = "
                f"{json.dumps(value)}; s.dispatchEvent(new Event('change', "
                "{bubbles: true})); })()")

    def key(self, key, shift=False):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=KEYS.get(key, 0),
                      modifiers=8 if shift else 0,
                      **({"text": "\r"} if key == "Enter" else
                         {"text": " "} if key == " " else {}))

    def focused(self):
        return self.js("""(() => { const e = document.activeElement;
            return e.getAttribute("aria-label") || (e.labels && e.labels[0]
                && e.labels[0].firstChild.textContent) || e.textContent;
        })()""")

    def keep_downloads(self, directory):
        self.call("Page.setDownloadBehavior", behavior="allow",
                  downloadPath=str(directory))
