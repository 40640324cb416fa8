# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Sendmail, unpacked into the build directory (its packages cannot be
installed beside Postfix), on loopback ports: one listener for clients with the
milter, one without it for what weir hands back. All mail goes to a sink."""
import os
import pathlib
import shutil
import signal
import smtplib
import subprocess
import tempfile

from harness import BUILD, free_port, listens, until

PACKAGES = ["sendmail-bin", "sendmail-base", "sendmail-cf", "liblockfile1",
            "libwrap0", "libnsl2"]
ROOT = BUILD / "sendmail"

MC = """divert(-1)
define(`_CF_DIR_', `{cf}/')dnl
include(`{cf}/m4/cf.m4')
VERSIONID(`weir tests')
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mta.test')dnl
define(`QUEUE_DIR', `{dir}/queue')dnl
define(`confPID_FILE', `{dir}/pid')dnl
define(`ALIAS_FILE', `')dnl
define(`STATUS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confSERVICE_SWITCH_FILE', `{dir}/switch')dnl
define(`confDONT_BLAME_SENDMAIL', `GroupReadableSASLDBFile')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `0')dnl
define(`confTRY_NULL_MX_LIST', `True')dnl
define(`confMILTER_MACROS_ENVFROM', `i, {{auth_authen}}, {{client_addr}}')dnl
FEATURE(`nocanonify')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`accept_unqualified_senders')dnl
FEATURE(`no_default_msa')dnl
define(`SMART_HOST', `esmtp:[127.0.0.1]')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {sink}')dnl
define(`SMTP_MAILER_ARGS', `TCP $h {sink}')dnl
MAIL_FILTER(`weir', `S={where}, F={fail}, T=S:10s;R:10s;E:5m')dnl
DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA, InputMailFilters=weir')dnl
DAEMON_OPTIONS(`Port={back}, Addr=127.0.0.1, Name=BACK')dnl
MAILER(`smtp')dnl
"""


def unpack():
    """A sentence that says why Sendmail is not there, or None."""
    if (ROOT / "done").exists():
        return None
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=ROOT,
                         capture_output=True, text=True, timeout=120)
    debs = list(ROOT.glob("*.deb"))
    if got.returncode != 0 or len(debs) < len(PACKAGES):
        return f"apt-get download sendmail-bin failed: {got.stderr[-300:]}"
    for deb in debs:
        subprocess.run(["dpkg", "-x", deb, ROOT], check=True, timeout=60)
    (ROOT / "done").touch()
    return None


class Sendmail:
    def __init__(self, where, sink_port, fail="T"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-sendmail-"))
        self.dir.chmod(0o755)
        self.port, self.back_port = free_port(), free_port()
        self.back = f"127.0.0.1:{self.back_port}"
        (self.dir / "queue").mkdir(mode=0o700)
        (self.dir / "switch").write_text("hosts files\naliases files\n")
        self.process = None
        cf = ROOT / "usr/share/sendmail/cf"
        done = subprocess.run(
            ["m4", "-"], input=MC.format(
                cf=cf, dir=self.dir, sink=sink_port, where=where, fail=fail,
                port=self.port, back=self.back_port),
            capture_output=True, text=True, check=True, timeout=60)
        (self.dir / "sendmail.cf").write_text(done.stdout)
        self.binary = ROOT / "usr/libexec/sendmail/sendmail"
        lib = next(ROOT.glob("usr/lib/*-linux-gnu"))
        self.env = {"PATH": "/usr/bin:/bin",
                    "LD_LIBRARY_PATH": f"{lib}:{ROOT}/lib/{lib.name}"}

    def start(self):
        with open(self.dir / "log", "ab") as log:
            # Sendmail waits a minute where the machine's own name has no
            # domain: it gets one to itself.
            self.process = subprocess.Popen(
                ["unshare", "--uts", "sh", "-c",
                 'hostname mta.test && exec "$@"', "sh", self.binary, "-C", self.dir / "sendmail.cf", "-bD", "-q1s",
                 "-O", "DeliveryMode=b"], env=self.env, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: listens(self.port) and listens(self.back_port) or
              self.process.poll() is not None, "Sendmail to start")
        assert self.process.poll() is None, self.log()
        return self

    def log(self):
        return (self.dir / "log").read_text()

    def kill(self, signo=signal.SIGKILL):
        """The daemon and every child of it."""
        os.killpg(self.process.pid, signo)
        self.process.wait(20)
        self.process = None

    def stop(self):
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def client(self):
        return smtplib.SMTP("127.0.0.1", self.port, "client.test", timeout=30)

    def transact(self, sender, rcpts, text):
        with self.client() as s:
            s.ehlo()
            assert s.mail(sender)[0] == 250
            for r in rcpts:
                code, words = s.rcpt(r)
                assert code == 250, words
            return s.data(text)

    def queue(self):
        return list((self.dir / "queue").glob("[qh]f*"))
