#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the README's pictures of the dashboard anew: screenshots.py DIRECTORY.
A daemon, an outbreak and a person who waits, seen in Chromium."""
import pathlib
import smtplib
import subprocess
import sys
import tempfile

from browser import Browser
from harness import TOP, Sink, Weir, free_port

SIZE = (1000, 760)


def main(out):
    with tempfile.TemporaryDirectory() as tmp:
        port = free_port()
        sink = Sink().start()
        w = Weir(pathlib.Path(tmp) / "weir", sink.address,
                 policy="key = envelope",
                 sections=f'http "admin" {{ address = "127.0.0.1:{port}" }}')
        browser = Browser(tmp)
        try:
            w.start()
            with smtplib.SMTP("127.0.0.1", w.port) as s:
                for i in range(14):
                    s.sendmail("alice@example.org", f"guest{i}@example.com",
                               "Subject: Invitation\r\n\r\nYou are invited.")
            subprocess.run(
                [sys.executable, TOP / "tests/outbreak.py", "--server",
                 f"127.0.0.1:{w.port}", "--from", "mallory@example.org",
                 "--strangers", "200"], capture_output=True, check=False)
            token = w.ctl("token", "new", "alice", "--right",
                          "operate")["token"]
            p = browser.page(width=SIZE[0], height=SIZE[1])
            p.open(f"http://127.0.0.1:{port}/#token={token}")
            p.shows("100 of 100")
            p.shows("is thawed")
            for scheme in ("light", "dark"):
                p.look(scheme)
                p.screenshot(out / f"dashboard-{scheme}.png")
        finally:
            browser.stop()
            w.stop()
            sink.stop()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
