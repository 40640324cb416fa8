# SPDX-License-Identifier: BSD-3-Clause
"""What a newcomer does: ./bootstrap run, the printed address in a browser, the
printed commands in another terminal."""
import os
import re
import shlex
import signal
import subprocess

from browser import Browser
from harness import BUILD, DEADLINE_S, TOP, free_port, listens, until


def free_row(count=3):
    """The first of so many ports in a row that nobody has."""
    while True:
        first = free_port()
        if not any(map(listens, range(first, first + count))):
            return first


def test_try(tmp_path):
    port = free_row()
    printed = tmp_path / "printed"
    # It takes the programs from build/, wherever the tests' are.
    tree = tmp_path / "tree"
    (tree / "tests").mkdir(parents=True)
    (tree / "tests/outbreak.py").symlink_to(TOP / "tests/outbreak.py")
    (tree / "tests/try.sh").write_text((TOP / "tests/try.sh").read_text())
    (tree / "build").symlink_to(BUILD)

    def run(pattern):
        """What is printed for another terminal, typed there."""
        text = printed.read_text().replace("\\\n", "")
        command = re.search(rf"^ +({pattern}.*)$", text, re.MULTILINE)[1]
        return subprocess.run(shlex.split(command), cwd=tree, text=True,
                              capture_output=True, timeout=DEADLINE_S)

    with open(printed, "w") as out:
        demo = subprocess.Popen(
            ["bash", tree / "tests/try.sh"], stdout=out, stderr=out,
            env={**os.environ, "WEIR_TRY_PORT": str(port),
                 "WEIR_TRY_DIR": str(tmp_path / "files")})
    browser = Browser(tmp_path)
    try:
        address = until(lambda: re.search(r"http://\S+#token=\S+",
                                          printed.read_text()), "address")[0]
        until(lambda: "Ctrl-C" in printed.read_text(), "all of it")
        page = browser.page()
        page.open(address)
        page.shows("Nobody is stuck")
        assert run("tests/outbreak.py").returncode == 0
        page.shows("1 sender frozen, 100 recipients waiting")
        page.shows("<mallory@example.org>")
        assert "mallory" in run("build/weirctl .* senders").stdout
        page.click("button", "Thaw <mallory@example.org> and discard 100")
        page.click("button", "Thaw, discard 100")
        page.shows("100 recipients discarded")
        page.shows("Nobody is stuck")
        assert page.complaints == []
    finally:
        browser.stop()
        demo.send_signal(signal.SIGINT)
        demo.wait(DEADLINE_S)
    assert f"What is held stays in {tmp_path}/files/spool" in \
        printed.read_text()
