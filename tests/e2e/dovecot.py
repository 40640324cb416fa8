# SPDX-License-Identifier: BSD-3-Clause
"""A private Dovecot that does nothing but check logins, on a Unix socket in a
directory of its own. Needs root, as Dovecot's processes change their user."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import until

CONF = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
auth_debug = yes
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0
auth_username_format = {form}
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {dir}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={dir}
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
  {extra}
}}
"""


class Dovecot:
    def __init__(self, users, extra="", form="%Lu"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-dovecot-"))
        self.dir.chmod(0o755)
        self.socket = self.dir / "auth"
        (self.dir / "users").write_text(
            "".join(f"{name}:{{PLAIN}}{word}\n" for name, word in
                    users.items()))
        (self.dir / "users").chmod(0o644)
        self.conf = self.dir / "dovecot.conf"
        self.conf.write_text(CONF.format(dir=self.dir, socket=self.socket,
                                         extra=extra, form=form))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", self.conf], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        until(self.answers, "Dovecot to start")
        return self

    def answers(self):
        assert self.process.poll() is None, self.log()
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1)
            return (self.socket.exists() and
                    s.connect_ex(str(self.socket)) == 0)

    def log(self):
        path = self.dir / "dovecot.log"
        return path.read_text() if path.exists() else ""

    def halt(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            # Its auth process stays for the clients that it has.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def stop(self):
        self.halt()
        shutil.rmtree(self.dir, ignore_errors=True)
