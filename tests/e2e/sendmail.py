# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Sendmail, unpacked into the build directory (its packages cannot be
installed beside Postfix), on loopback ports: one listener for clients with the
milter, one without it for what weir hands back. All mail goes to a sink. With
users it asks for a login (Cyrus SASL); sendmail(1) hands in by submit.cf."""
import grp
import os
import pathlib
import pwd
import shutil
import signal
import smtplib
import subprocess
import tempfile

import unpacked
from harness import BUILD, DEADLINE_S, free_port, listens, until

PACKAGES = ["sendmail-bin", "sendmail-base", "sendmail-cf", "liblockfile1",
            "libwrap0", "libnsl2", "sasl2-bin"]
ROOT = BUILD / "sendmail"
CF = ROOT / "usr/share/sendmail/cf"

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
define(`confDONT_BLAME_SENDMAIL', `GroupReadableSASLDBFile,TrustStickyBit')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `0')dnl
define(`confREFUSE_LA', `10000')dnl a busy machine is no reason
define(`confQUEUE_LA', `10000')dnl
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
MAIL_FILTER(`weir', `S={where}, F={fail}, T={times}')dnl
{login}DAEMON_OPTIONS(`Port={port}, Addr=127.0.0.1, Name=MTA, InputMailFilters=weir')dnl
DAEMON_OPTIONS(`Port={back}, Addr=127.0.0.1, Name=BACK')dnl
MAILER(`smtp')dnl
LOCAL_CONFIG
ESASL_CONF_PATH={dir}/sasl
"""

LOGIN = """define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl
TRUST_AUTH_MECH(`PLAIN LOGIN')dnl
"""

SASL = """pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {dir}/sasl/db
mech_list: PLAIN LOGIN
"""

SUBMIT = """divert(-1)
define(`_CF_DIR_', `{cf}/')dnl
include(`{cf}/m4/cf.m4')
VERSIONID(`weir tests')
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mta.test')dnl
define(`confTIME_ZONE', `USE_TZ')dnl
define(`confDONT_INIT_GROUPS', `True')dnl
define(`confSERVICE_SWITCH_FILE', `{dir}/switch')dnl
define(`MSP_QUEUE_DIR', `{dir}/submit')dnl
define(`STATUS_FILE', `')dnl
define(`confPID_FILE', `{dir}/submit.pid')dnl
define(`confLOG_LEVEL', `0')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
define(`confRUN_AS_USER', `nobody:nogroup')dnl
define(`confQUEUE_LA', `10000')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {port}')dnl
FEATURE(`msp', `[127.0.0.1]')dnl
"""


def unpack():
    """A sentence that says why Sendmail is not there, or None."""
    return unpacked.unpack("sendmail", PACKAGES)


class Sendmail:
    """fail, times: F= and T= of the filter. users: name -> password."""

    def __init__(self, where, sink_port, fail="T",
                 times="S:10s;R:10s;E:5m", users=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-sendmail-"))
        self.dir.chmod(0o755)
        self.port, self.back_port = free_port(), free_port()
        self.back = f"127.0.0.1:{self.back_port}"
        (self.dir / "queue").mkdir(mode=0o700)
        (self.dir / "switch").write_text("hosts files\naliases files\n")
        self.process = None
        self.write_cf("sendmail.cf", MC.format(
            cf=CF, dir=self.dir, sink=sink_port, where=where, fail=fail,
            times=times, login=LOGIN if users else "", port=self.port,
            back=self.back_port))
        self.binary = ROOT / "usr/libexec/sendmail/sendmail"
        lib = next(ROOT.glob("usr/lib/*-linux-gnu"))
        self.env = {"PATH": "/usr/bin:/bin",
                    "LD_LIBRARY_PATH": f"{lib}:{ROOT}/lib/{lib.name}"}
        if users:
            self.write_sasl(users)

    def write_cf(self, name, mc):
        done = subprocess.run(["m4", "-"], input=mc, capture_output=True,
                              text=True, check=True, timeout=DEADLINE_S)
        (self.dir / name).write_text(done.stdout)

    def write_sasl(self, users):
        (self.dir / "sasl").mkdir(mode=0o700)
        conf = self.dir / "sasl/Sendmail.conf"
        conf.write_text(SASL.format(dir=self.dir))
        conf.chmod(0o600)
        for name, word in users.items():
            subprocess.run(
                [ROOT / "usr/sbin/saslpasswd2", "-p", "-c", "-f",
                 self.dir / "sasl/db", "-u", "mta.test", name],
                input=word, text=True, env=self.env, check=True,
                timeout=DEADLINE_S)

    def start(self):
        with open(self.dir / "log", "ab") as log:
            # Sendmail waits a minute where the machine's own name has no
            # domain: it gets one to itself.
            self.process = subprocess.Popen(
                ["unshare", "--uts", "sh", "-c",
                 'hostname mta.test && exec "$@"', "sh", self.binary, "-C",
                 self.dir / "sendmail.cf", "-bD", "-q1s", "-O",
                 "DeliveryMode=b"], env=self.env, stdout=log,
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
        return smtplib.SMTP("127.0.0.1", self.port, "client.test",
                            timeout=DEADLINE_S)

    def transact(self, sender, rcpts, text):
        with self.client() as s:
            s.ehlo()
            assert s.mail(sender)[0] == 250
            for r in rcpts:
                code, words = s.rcpt(r)
                assert code == 250, words
            return s.data(text)

    def sendmail(self, user, text, *args):
        """sendmail -t, as a user of the machine runs it. nobody:nogroup stands
        for smmsp, which only an installed Sendmail has."""
        entry, group = pwd.getpwnam(user), grp.getgrnam("nogroup").gr_gid
        if not (self.dir / "submit.cf").exists():
            (self.dir / "submit").mkdir()
            (self.dir / "submit").chmod(0o770)
            shutil.chown(self.dir / "submit", "nobody", "nogroup")
            self.write_cf("submit.cf", SUBMIT.format(
                cf=CF, dir=self.dir, port=self.port))
        return subprocess.run(
            ["unshare", "--uts", "sh", "-c", 'hostname mta.test && exec "$@"',
             "sh", "setpriv", f"--reuid={entry.pw_uid}",
             f"--regid={group}", "--clear-groups", self.binary, "-C",
             self.dir / "submit.cf", "-i", "-t", *args],
            env=self.env, input=text, capture_output=True, timeout=DEADLINE_S)

    def queue(self):
        return list((self.dir / "queue").glob("[qh]f*"))
