# SPDX-License-Identifier: BSD-3-Clause
"""The Debian packages: made twice from the same source, judged by lintian and
blhc, and lived with on a Debian system of its own: installed, configured,
upgraded, downgraded, removed, purged."""
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import sqlite3

import pytest

import netlab
from debian_system import APT, DebianSystem, must, run, why_not
from harness import BUILD, TOP, FastSink, until

WHAT = "Debian packages: built, installed, upgraded, purged"
NAMES = ("weir-maild", "weir-netd", "weir-replay", "weirctl", "libweir0",
         "libweir-dev")
UPGRADE = "0.1.0-0weir9"
SPOOL = "/var/lib/weir/spool.db"
BUILD_S = 3600
INSTALL_S = 900

# Takes back what the spool has learnt since the first package (version 9).
FIRST_SCHEMA = """
DROP TABLE alert;
ALTER TABLE inbound_left RENAME TO inbound;
PRAGMA user_version = 9;
"""

SEND = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 2525, timeout=60) as s:
    for rcpt in sys.argv[2:]:
        s.sendmail(sys.argv[1], [rcpt], "Subject: hello\\r\\n\\r\\nhello\\r\\n")
"""


def make_deb(directory, **kw):
    """Its log, in which blhc looks for flags."""
    env = dict(os.environ, DEB_BUILD_OPTIONS="nocheck", LC_ALL="C.UTF-8")
    return must("make", "-C", directory, "deb", env=env, timeout=BUILD_S,
                **kw)


@pytest.fixture(scope="module")
def packages():
    """The directory with the first build, and its log."""
    for tool in ("dh", "dpkg-buildpackage", "po2debconf"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    log = make_deb(BUILD)
    return BUILD / "deb", log


def digests(directory):
    """Of what others may make again; the record of a build names its time."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
            for p in pathlib.Path(directory).iterdir()
            if p.is_file() and p.suffix not in (".buildinfo", ".changes")}


@pytest.mark.long(WHAT)
def test_the_archive_makes_the_same_packages_elsewhere(packages, tmp_path):
    first, _ = packages
    must("tar", "-C", tmp_path, "-xf", *first.glob("*.orig.tar.xz"))
    [tree] = tmp_path.iterdir()
    must("./configure", cwd=tree, timeout=BUILD_S)
    make_deb(tree, umask=0o027)
    assert digests(first) == digests(tree / "deb")
    assert {n.split("_")[0] for n in digests(first)} >= set(NAMES)


@pytest.mark.long(WHAT)
def test_nothing_to_complain_of(packages):
    first, log = packages
    for tool in ("lintian", "blhc"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    [changes] = first.glob("*.changes")
    p = run("lintian", "--pedantic", "--allow-root", "--suppress-tags",
            "initial-upload-closes-no-bugs", "--fail-on",
            "error,warning,pedantic", changes, timeout=INSTALL_S)
    assert p.returncode == 0 and not re.search("^[EWP]:", p.stdout, re.M), \
        p.stdout
    path = first / "build.log"
    path.write_text(log)
    try:
        p = run("blhc", "--all", "--debian", path)
    finally:
        path.unlink()
    assert p.returncode == 0, p.stdout


def newer(source, directory, version):
    """The packages again, as if made from a later version."""
    directory.mkdir()
    for deb in source.glob("*.deb"):
        if "-dbgsym_" in deb.name:
            continue
        tree = directory / "tree"
        must("dpkg-deb", "-R", deb, tree)
        control = tree / "DEBIAN/control"
        text = control.read_text()
        old = re.search("^Version: (.*)$", text, re.M)[1]
        control.write_text(text.replace(old, version))
        must("dpkg-deb", "--root-owner-group", "-b", tree, directory)
        shutil.rmtree(tree)
    return directory


@pytest.fixture(scope="module")
def system(packages):
    why = why_not()
    if why:
        pytest.skip(why)
    s = DebianSystem("weir.test")
    try:
        why = s.make()
        if why:
            pytest.skip(why)
        debs = s.path("/debs")
        debs.mkdir()
        for deb in packages[0].glob("*.deb"):
            if "-dbgsym_" not in deb.name:
                shutil.copy(deb, debs)
        newer(debs, s.path("/newer"), UPGRADE)
        s.fetch(f"{APT} --download-only install /debs/*.deb iptables nftables")
        s.boot()
        yield s
    finally:
        s.stop()


class Site:
    """weir-maild as it runs there, in front of a sink of this machine."""

    def __init__(self, system):
        self.system = system
        self.conf = system.path("/etc/weir/weir.conf")
        self.spool = system.path(SPOOL)

    def send(self, sender, *recipients):
        self.system.beside("/usr/bin/python3", "-c", SEND, sender,
                           *recipients)

    def ctl(self, *argv):
        text = self.system.must(shlex.join(["weirctl", "--json", *argv]))
        return json.loads(text) if text.strip() else None

    def held(self):
        return sorted((m["id"], r["address"]) for m in self.ctl("queue")
                      for r in m["recipients"])

    def frozen(self):
        return [s["sender"] for s in self.ctl("senders", "--frozen")]

    def active(self, unit="weir-maild"):
        return self.system.run(f"systemctl is-active {unit}").stdout.strip()

    def enabled(self, unit):
        return self.system.run(f"systemctl is-enabled {unit}").stdout.strip()

    def pid(self):
        return self.system.must("systemctl show -P MainPID weir-maild").strip()

    def log(self):
        return self.system.must("journalctl -u weir-maild --no-pager")

    def rules(self):
        """Of weir-netd, by whichever program made them."""
        text = self.system.must("nft list ruleset && iptables-save")
        return [line for line in text.splitlines()
                if re.search("queue", line, re.I)]

    def apt(self, *argv):
        return self.system.must(" ".join([APT, *argv]), timeout=INSTALL_S)

    def schema(self, version=None):
        with contextlib.closing(sqlite3.connect(self.spool)) as db:
            if version is not None:
                db.execute(f"PRAGMA user_version = {version}")
            return db.execute("PRAGMA user_version").fetchone()[0]

    def make_old(self):
        """The spool as the first package left it."""
        self.system.must("systemctl stop weir-maild")
        with contextlib.closing(sqlite3.connect(self.spool)) as db:
            db.executescript(FIRST_SCHEMA)
        self.system.must(f"chown weir:weir {SPOOL}*")

    def set(self, was, becomes):
        text = self.conf.read_text()
        assert text.count(was) == 1
        self.conf.write_text(text.replace(was, becomes))


def configure(site):
    """One line; and one that is wrong changes nothing."""
    system = site.system
    pid = site.pid()
    site.set('next_hop = {"127.0.0.1:10025"}', 'next_hop = "nonsense"')
    assert system.run("systemctl reload weir-maild").returncode != 0
    assert site.active() == "active"
    site.set('next_hop = "nonsense"', 'next_hop = {"unix:/srv/sink"}')
    system.must("systemctl reload weir-maild")
    assert site.pid() == pid


def fill(site, sink):
    """Ten strangers pass, others wait; then their sender is frozen by hand.
    One more goes each minute until then."""
    rcpts = [f"r{i:02}@example.com" for i in range(30)]
    site.send("alice@example.org", *rcpts)
    [sender] = {s["sender"] for s in site.ctl("senders")}
    site.ctl("freeze", sender)
    assert site.frozen() == [sender]
    held = site.held()
    assert 0 < len(held) <= 20
    passed = sink.wait_for(30 - len(held))
    assert sorted(passed + [r for _, r in held]) == rcpts
    return held, sender


def refuse_wrong_start(site):
    """A configuration that is wrong is found before the daemon is."""
    system = site.system
    site.set('next_hop = {"unix:/srv/sink"}', 'next_hop = "nonsense"')
    assert system.run("systemctl restart weir-maild").returncode != 0
    until(lambda: site.active() == "failed", "an end of the tries",
          pause_s=0.5)
    assert "nonsense" in site.log()
    assert "Control process exited" in site.log()
    site.set('next_hop = "nonsense"', 'next_hop = {"unix:/srv/sink"}')
    system.must("systemctl reset-failed weir-maild")
    system.must("systemctl start weir-maild")


def take_credential(site):
    """A password that root alone may read, and systemd hands over."""
    system = site.system
    secret = system.path("/etc/weir/next_hop.auth")
    secret.write_text("weir:secret\n")
    secret.chmod(0o600)
    unit = system.path("/etc/systemd/system/weir-maild.service.d")
    unit.mkdir(parents=True)
    (unit / "password.conf").write_text(
        "[Service]\nLoadCredential=next_hop:/etc/weir/next_hop.auth\n"
        "ExecReload=\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n")
    path = "/run/credentials/weir-maild.service/next_hop"
    text = site.conf.read_text()
    site.conf.write_text(f'next_hop_auth = "{path}"\n' + text)
    system.must("systemctl daemon-reload")
    system.must("systemctl restart weir-maild")
    assert site.active() == "active"
    # By an ACL, or where the file system has none, by its owner.
    assert system.must(f"stat -c '%U %a' {path}") in ("root 440\n",
                                                      "weir 400\n")
    # A reload reads it again.
    before = site.log().count("info maild reload file=")
    system.must("systemctl reload weir-maild")
    until(lambda: site.log().count("info maild reload file=") > before,
          "the reload", pause_s=0.2)
    site.conf.write_text(text)
    shutil.rmtree(unit)
    secret.unlink()
    system.must("systemctl daemon-reload")
    system.must("systemctl restart weir-maild")


def run_netd(site):
    """It starts when somebody says so, within its unit's bounds."""
    if netlab.why_not():
        return
    system = site.system
    system.must("systemctl start weir-netd")
    assert site.active("weir-netd") == "active"
    # The other daemon's end takes no socket with it.
    system.must("systemctl restart weir-maild")
    assert site.ctl("-s", "/run/weir/netd.sock", "status")["mode"]
    assert site.rules()
    system.must("systemctl reload weir-netd")
    system.must("systemctl stop weir-netd")
    until(lambda: not site.rules(), "no rules left", pause_s=0.2)


def bounds(site):
    """What systemd thinks of the units."""
    for unit in ("weir-maild", "weir-netd"):
        said = site.system.must(f"systemd-analyze security --no-pager {unit}")
        found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        assert float(found[1]) <= 1.6, said


def run_another(site):
    """The page's chapter about several instances, as it is typed there."""
    system = site.system
    page = (TOP / "doc/install.md").read_text()
    begin = page.index("## Several instances")
    blocks = re.findall("^```\n(.*?)^```", page[begin:page.index(
        "\n## ", begin)], re.M | re.S)
    assert len(blocks) == 2 and "%i.conf" in blocks[0]
    system.must(blocks[0])
    system.write("/etc/weir/lists.conf", blocks[1])
    system.must("systemctl enable --now weir-maild@lists")
    assert site.active("weir-maild@lists") == "active"
    assert site.ctl("-s", "/run/weir-lists/control.sock", "status")
    assert system.must("stat -c '%U %a' /var/lib/weir-lists"
                       ) == "weir 700\n"
    # Each has its own pid, and the end of one is nothing to the other.
    pid = site.pid()
    system.must("systemctl disable --now weir-maild@lists")
    assert site.pid() == pid and site.active() == "active"
    system.must("rm -r /etc/systemd/system/weir-maild@.service"
                " /etc/weir/lists.conf /var/lib/weir-lists")
    system.must("systemctl daemon-reload")


def refuse_downgrade(site, held):
    """Neither the package nor the daemon of an older weir takes the spool of
    a newer one, which stays as it is."""
    system = site.system
    known = site.schema()
    site.schema(known + 1)  # in the log of the database only: weir-maild runs
    p = system.run("dpkg -i /debs/weir-maild_*.deb")
    assert p.returncode != 0, p.stdout
    assert f"written by a newer weir (schema {known + 1};" in p.stdout
    assert UPGRADE in system.must("dpkg-query -W weir-maild")
    assert system.run("systemctl start weir-maild").returncode != 0
    assert "was written by a newer weir" in site.log()
    system.must("systemctl stop weir-maild")
    site.schema(known)
    system.must("systemctl reset-failed weir-maild")
    system.must("systemctl start weir-maild")
    assert site.held() == held
    # What it knows, it takes.
    system.must("dpkg -i /debs/weir-maild_*.deb")
    assert site.held() == held


def remove_and_purge(site, held, sender):
    system = site.system
    site.apt("remove", "weir-maild")
    assert site.active() == "inactive"
    assert "/srv/sink" in site.conf.read_text()
    said = site.apt("purge", "weir-maild")
    assert "held mail stays in /var/lib/weir" in said
    assert not site.conf.exists()
    assert site.spool.exists()
    site.apt("install", "/debs/weir-maild_*.deb")
    assert site.held() == held
    assert site.frozen() == [sender]
    system.must("echo weir-maild weir-maild/purge-spool boolean true |"
                " debconf-set-selections")
    site.apt("purge", "'weir*'", "'libweir*'")
    assert not system.path("/var/lib/weir").exists()
    assert not system.path("/etc/weir").exists()
    assert "weir" not in system.must("dpkg-query -W")
    left = system.must("find /etc /usr /lib/systemd /var/lib/systemd"
                       " -name '*weir*'")
    assert left == "", left


@pytest.mark.long(WHAT)
def test_lived_with(system):
    site = Site(system)
    sink = FastSink(address=f"unix:{system.path('/srv/sink')}")
    system.path("/srv/sink").chmod(0o666)
    try:
        site.apt("install", "/debs/*.deb", "iptables", "nftables")
        assert site.active() == "active"
        assert site.enabled("weir-maild") == "enabled"
        assert site.active("weir-netd") == "inactive"
        assert site.enabled("weir-netd") == "disabled"
        assert "weir-admin" in system.must("id weir")
        assert system.must("stat -c '%U %a' /var/lib/weir") == "weir 700\n"
        bounds(site)
        configure(site)
        run_another(site)
        held, sender = fill(site, sink)
        refuse_wrong_start(site)
        take_credential(site)
        run_netd(site)
        assert site.held() == held

        pid, conf = site.pid(), site.conf.read_text()
        known = site.schema()
        site.make_old()
        site.apt("install", "/newer/*.deb")
        assert site.active() == "active" and site.pid() != pid
        assert site.schema() == known
        assert UPGRADE in system.must("dpkg-query -W weir-maild")
        assert site.active("weir-netd") == "inactive"
        assert site.enabled("weir-netd") == "disabled"
        assert site.conf.read_text() == conf
        assert site.held() == held
        assert site.frozen() == [sender]

        refuse_downgrade(site, held)
        remove_and_purge(site, held, sender)
    finally:
        sink.stop()
