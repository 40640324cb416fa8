# SPDX-License-Identifier: BSD-3-Clause
"""A private Dovecot that speaks LMTP: its own configuration, sockets and mail
in a directory of the test. It needs root, as Dovecot's master does."""
import os
import pathlib
import shutil
import subprocess

from harness import free_port, listens, until

CONFIG = """
base_dir = {dir}/run
log_path = {dir}/dovecot.log
protocols = lmtp
listen = 127.0.0.1
{ssl}
mail_location = maildir:{dir}/mail/%n
mail_home = {dir}/mail/%n
first_valid_uid = 1
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
lmtp_rcpt_check_quota = no
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
{userdb}
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = quota
}}
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage=100M
}}
"""


LISTED = """  driver = passwd-file
  args = username_format=%n {dir}/users"""
ANYBODY = """  driver = static
  args = uid=mail gid=mail home={dir}/mail/%n allow_all_users=yes"""


class Dovecot:
    """Users are name -> quota in bytes, or None; without a table everybody is
    one. cert: a PEM file for STARTTLS. extra: further lines of the
    configuration."""

    def __init__(self, directory, users=None, cert=None, extra=""):
        self.dir = pathlib.Path(directory)
        self.port = free_port()
        self.users = users
        self.cert = cert
        self.extra = extra
        self.process = None

    @property
    def address(self):
        return f"lmtp:127.0.0.1:{self.port}"

    @property
    def unix_address(self):
        return f"lmtp:unix:{self.dir}/lmtp.sock"

    def start(self):
        self.dir.mkdir(parents=True)
        # The mail is nobody's: the test's own directories let nobody in.
        for path in [self.dir, *self.dir.parents]:
            if path.stat().st_uid == os.geteuid() and path != path.parent:
                path.chmod(path.stat().st_mode | 0o111)
        mail = self.dir / "mail"
        mail.mkdir()
        shutil.chown(mail, "mail", "mail")
        lines = []
        for name, quota in (self.users or {}).items():
            extra = (f"userdb_quota_rule=*:bytes={quota}" if quota is not None
                     else "")
            lines.append(f"{name}::mail:mail::{mail}/{name}::{extra}")
        users = self.dir / "users"
        users.write_text("\n".join(self.uids(line) for line in lines) + "\n")
        users.chmod(0o644)
        conf = self.dir / "dovecot.conf"
        ssl = (f"ssl = yes\nssl_cert = <{self.cert}\nssl_key = <{self.cert}"
               if self.cert else "ssl = no")
        userdb = ANYBODY if self.users is None else LISTED
        conf.write_text(CONFIG.format(
            dir=self.dir, port=self.port, ssl=ssl,
            userdb=userdb.format(dir=self.dir), user="nobody",
            group="nogroup") + self.extra)
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: listens(self.port) or self.process.poll() is not None,
              "Dovecot to start")
        assert self.process.poll() is None, self.log()
        return self

    @staticmethod
    def uids(line):
        import grp
        import pwd
        return line.replace(":mail:mail:", f":{pwd.getpwnam('mail').pw_uid}:"
                            f"{grp.getgrnam('mail').gr_gid}:")

    def log(self):
        path = self.dir / "dovecot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mail(self, user):
        """The messages in a mailbox."""
        return [p.read_bytes() for p in sorted(
            (self.dir / "mail" / user / "new").glob("*"))]

    def wait_for(self, user, count):
        until(lambda: len(self.mail(user)) >= count,
              f"{count} messages for {user}")
        return self.mail(user)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None
