# SPDX-License-Identifier: BSD-3-Clause
"""Debian's Exim, unpacked into the build directory, on loopback ports. Routes
are (pattern of recipient domains, host, port, tls); it never writes a mailbox.
unknown@example.com is refused."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import DEADLINE_S, free_port, listens, until
from unpacked import accounts, in_namespace, namespaces, root_of, unpack

PACKAGES = ["exim4-daemon-light", "exim4-base"]

CONFIG = """
exim_path = {exim}
spool_directory = {dir}/spool
log_file_path = {dir}/%slog
pid_file_path = {dir}/pid
primary_hostname = {name}
domainlist local_domains =
acl_smtp_rcpt = rcpt
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
deliver_drop_privilege = true
host_lookup =
rfc1413_query_timeout = 0s
disable_ipv6 = true
never_users =
smtp_accept_max = 200
smtp_accept_max_per_connection = 1000
remote_max_parallel = 4
queue_run_max = 20
message_size_limit = 50M
received_headers_max = 60
smtp_enforce_sync = true
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
allow_utf8_domains = true
keep_environment =
{extra}

begin acl
rcpt:
{acl}
  deny    recipients = unknown@example.com
          message = No such person
  accept

begin routers
{routers}

begin transports
{transports}

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = {login}
  server_set_id = $auth2
  server_advertise_condition = {login}
"""

ROUTER = """
route{i}:
  driver = manualroute
  domains = {domains}
  transport = smtp{i}
  route_list = * {host}::{port} byname
  self = send
"""

TRANSPORT = """
smtp{i}:
  driver = smtp
  allow_localhost = true
  hosts_override = true
  helo_data = {name}
  {tls}
"""


def missing():
    return namespaces() or unpack("exim", PACKAGES)


class Exim:
    """cert: a PEM file for STARTTLS; ca: whom to believe as a client. acl: in
    front of what is asked at RCPT. login: anybody may, as whom he likes."""

    def __init__(self, routes, name="exim.test", cert=None, ca=None, acl="",
                 login=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-exim-"))
        self.dir.chmod(0o755)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        (self.dir / "spool").mkdir()
        self.binds, ids = accounts(self.dir, ["Debian-exim"])
        uid = ids["Debian-exim"]
        for path in (self.dir, self.dir / "spool"):
            os.chown(path, uid, uid)
        if cert is not None:
            pem = self.dir / "cert.pem"
            shutil.copy(cert, pem)
            os.chown(pem, uid, uid)
            extra = (f"tls_advertise_hosts = *\ntls_certificate = {pem}\n"
                     f"tls_privatekey = {pem}\n")
        else:
            extra = "tls_advertise_hosts =\n"
        if ca is not None:
            shutil.copy(ca, self.dir / "ca.pem")
        self.exim = root_of("exim") / "usr/sbin/exim4"
        self.config = self.dir / "exim.conf"
        self.config.write_text(CONFIG.format(
            dir=self.dir, exim=self.exim, name=name, port=self.port,
            extra=extra, acl=acl, login="yes" if login else "no",
            routers="".join(ROUTER.format(i=i, domains=r[0], host=r[1],
                                          port=r[2])
                            for i, r in enumerate(routes)),
            transports="".join(
                TRANSPORT.format(i=i, name=name, tls=self.tls(r[3]))
                for i, r in enumerate(routes))))

    def tls(self, wanted):
        if not wanted:
            return "hosts_avoid_tls = *"
        return (f"tls_verify_certificates = {self.dir}/ca.pem\n"
                "  tls_verify_cert_hostnames =\n"
                "  hosts_require_tls = *\n  tls_verify_hosts = *")

    def command(self, *args):
        return in_namespace([self.exim, "-C", self.config, *args], self.binds)

    def run(self, *args):
        return subprocess.run(self.command(*args), capture_output=True,
                              text=True,
                              timeout=DEADLINE_S, stdin=subprocess.DEVNULL)

    def start(self):
        with open(self.dir / "out", "ab") as out:
            self.process = subprocess.Popen(
                self.command("-bdf", "-q1s"), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: listens(self.port) or self.process.poll() is not None,
              "Exim to start")
        assert self.process.poll() is None, self.log()
        return self

    def log(self):
        return "".join(p.read_text(errors="replace") for p in
                       [self.dir / "out", *sorted(self.dir.glob("*log"))])

    def stop(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)
