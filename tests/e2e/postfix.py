# SPDX-License-Identifier: BSD-3-Clause
"""A private Postfix on loopback ports, beside whatever the machine runs: its
own configuration, queue and data directories. Mail for example.com lands in a
maildir, everything else goes to its relayhost. Needs root."""
import email
import email.policy
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

from harness import DEADLINE_S, free_port, listens, until

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}/log
myhostname = {name}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
alias_maps =
alias_database =
local_recipient_maps =
relayhost = {relayhost}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtpd_client_connection_rate_limit = 0
message_size_limit = 50000000
virtual_mailbox_limit = 0
mailbox_size_limit = 0
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{unknown@example.com = 550 5.1.1 No such person}} }}
    permit_mynetworks
    reject
{local}
"""

LOCAL = """virtual_mailbox_domains = example.com
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
error     unix  - - n - - error
retry     unix  - - n - - error
showq     unix  n - n - - showq
discard   unix  - - n - - discard
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, name, relayhost="", local=True, extra=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-postfix-"))
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.maildir = self.dir / "mail/all"
        self.dir.chmod(0o755)
        for part in ("etc", "queue", "data", "mail", "log"):
            (self.dir / part).mkdir(mode=0o755)
        user, nobody = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
        os.chown(self.dir / "data", user.pw_uid, user.pw_gid)
        os.chown(self.dir / "mail", nobody.pw_uid, nobody.pw_gid)
        last = LOCAL.format(dir=self.dir, uid=nobody.pw_uid,
                            gid=nobody.pw_gid) if local else ""
        (self.dir / "etc/main.cf").write_text(MAIN_CF.format(
            dir=self.dir, name=name, relayhost=relayhost, local=last) + extra)
        (self.dir / "etc/master.cf").write_text(
            MASTER_CF.format(port=self.port))

    def run(self, *command, check=True):
        return subprocess.run(
            [command[0], "-c", self.dir / "etc", *command[1:]],
            capture_output=True, text=True, timeout=DEADLINE_S, check=check,
            stdin=subprocess.DEVNULL)

    def scan_maildrop(self):
        """Has pickup look at once, not within a minute. One that happens to
        be on its way out drops the request, and postkick dies of SIGPIPE."""
        def kick():
            done = self.run("postkick", "public", "pickup", "W", check=False)
            assert done.returncode in (0, -signal.SIGPIPE), done
            return done.returncode == 0

        until(kick, "a pickup that stays", pause_s=0.2)

    def drop_doubles(self):
        """Of a parameter that main.cf gives twice the last counts; the others
        go. Each of Postfix's programs would warn of them when it starts, and
        postlogd hangs when its own socket, to which it logs, is full."""
        path = self.dir / "etc/main.cf"
        entries = re.split(r"\n(?=[^\s#])", path.read_text())
        last = {entry.split("=")[0].strip(): entry for entry in entries}
        path.write_text("\n".join(last.values()) + "\n")

    def start(self):
        self.drop_doubles()
        self.run("postfix", "start")
        until(lambda: listens(self.port), f"Postfix: {self.log()[-2000:]}")
        return self

    def stop(self):
        self.run("postfix", "stop", check=False)
        pid = self.dir / "queue/pid/master.pid"
        until(lambda: not pid.exists() or not pid.read_text().strip() or
              not os.path.exists(f"/proc/{pid.read_text().strip()}"),
              "Postfix to stop")
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        path = self.dir / "log/mail.log"
        return path.read_text() if path.exists() else ""

    def mail(self):
        """The messages that arrived, with their envelope in X-Original-To
        and Return-Path."""
        return [email.message_from_bytes(p.read_bytes(),
                                         policy=email.policy.default)
                for p in sorted((self.maildir / "new").glob("*"))]

    def raw(self):
        return [p.read_bytes()
                for p in sorted((self.maildir / "new").glob("*"))]

    def recipients(self):
        return [m["X-Original-To"] for m in self.mail()]

    def wait_for(self, count, deadline_s=DEADLINE_S):
        until(lambda: len(list((self.maildir / "new").glob("*"))) >= count,
              f"{count} mails in Postfix's maildir\n{self.log()[-1500:]}",
              deadline_s)
        return self.recipients()

    def clear(self):
        for part in ("new", "cur"):
            for path in (self.maildir / part).glob("*"):
                path.unlink()

    def queue(self):
        return self.run("postqueue", "-j").stdout.splitlines()

    def wait_queue_empty(self):
        """A file of the queue goes after the mail is delivered, and after the
        client had its 250 for one that a milter discards."""
        until(lambda: self.queue() == [], "Postfix's queue to be empty")
