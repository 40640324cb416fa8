# SPDX-License-Identifier: BSD-3-Clause
"""A Postfix with weir's milter or policy service in front of its queue: one
listener for clients, one without the milter for what weir hands back, and
sendmail(1) for local submission."""
import os
import pathlib
import re
import shutil
import signal
import smtplib
import subprocess

from harness import DEADLINE_S, Weir, free_port, listens, until
from postfix import Postfix

SECTION = """listen "mta" {{
    address = "{address}"
    protocol = {protocol}
    socket_mode = "0666"
    {options}
}}"""

CONTRIB = pathlib.Path(__file__).resolve().parents[2] / "contrib"
places = set()  # of the filters that are weir


class Back(str):
    """What next_hop is; rest is milter_next_hop."""


def listener(port, where, name="postfix-master.cf"):
    """The one that contrib has, at this port. Filters behind weir are named
    there, as it says."""
    text = (CONTRIB / name).read_text()
    text = re.sub("127.0.0.1:1002[67] inet", f"127.0.0.1:{port} inet", text)
    filters = [f for f in re.split(r"[,\s]+", where) if f]
    at = [i for i, f in enumerate(filters) if f in places]
    later = filters[at[0] + 1:] if at else []
    if later:
        text = text.replace("smtpd_milters=",
                            "smtpd_milters=" + ",".join(later))
        text = text.replace("no_milters,", "")
    return text

MILTER_CF = """
smtpd_milters = {where}
non_smtpd_milters = {where}
milter_default_action = {default}
"""


class MilterPostfix(Postfix):
    """where: the milter's address as Postfix writes it, or empty. main:
    further lines of main.cf."""

    def __init__(self, where="", main="", default="tempfail", **kw):
        super().__init__("mta.test", **kw)
        self.where = where
        self.back_port = free_port()
        self.back = Back(f"127.0.0.1:{self.back_port}")
        self.back.rest = f"127.0.0.1:{free_port()}"
        etc = self.dir / "etc"
        text = (etc / "main.cf").read_text()
        if where:
            text += MILTER_CF.format(where=where, default=default)
        (etc / "main.cf").write_text(text + main)
        with open(etc / "master.cf", "a") as f:
            f.write(listener(self.back_port, where))
            f.write(listener(self.back.rest.split(":")[1], where,
                             "postfix-master-copies.cf"))

    def kill(self):
        """kill -9: the master and all that it started."""
        pid = int((self.dir / "queue/pid/master.pid").read_text())
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        until(lambda: not listens(self.port) and not listens(self.back_port),
              "Postfix to be gone")

    def stop(self):
        # A client's connection would keep Postfix for seconds.
        self.run("postfix", "abort", check=False)
        pid = self.dir / "queue/pid/master.pid"
        until(lambda: not pid.exists() or not pid.read_text().strip() or
              not os.path.exists(f"/proc/{pid.read_text().strip()}"),
              "Postfix to stop")
        shutil.rmtree(self.dir, ignore_errors=True)

    def sendmail(self, sender, rcpts, text):
        return subprocess.run(
            ["/usr/sbin/sendmail", "-C", self.dir / "etc", "-i", "-f", sender,
             "--", *rcpts],
            input=text, capture_output=True, timeout=DEADLINE_S)

    def client(self):
        return smtplib.SMTP("127.0.0.1", self.port, "client.test",
                            timeout=DEADLINE_S)

    def transact(self, sender, rcpts, text):
        """Each recipient must be taken; the reply to the message."""
        with self.client() as s:
            s.ehlo()
            assert s.mail(sender)[0] == 250
            for r in rcpts:
                code, words = s.rcpt(r)
                assert code == 250, words
            return s.data(text)


def let_others_in(directory):
    """Other users may pass through it to a socket in it."""
    for path in (directory, *directory.parents):
        if path.stat().st_uid == os.geteuid() and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o111)


class MilterWeir(Weir):
    """A Weir with a milter or policy listener beside its relay."""

    def __init__(self, directory, next_hop, protocol="milter", unix=True,
                 mta_options="", **kw):
        self.mta_port = free_port()
        self.mta_socket = f"{directory}/mta.sock"
        address = (f"unix:{self.mta_socket}" if unix
                   else f"127.0.0.1:{self.mta_port}")
        self.where = (f"unix:{self.mta_socket}" if unix
                      else f"inet:127.0.0.1:{self.mta_port}")
        self.is_milter = protocol == "milter"
        places.add(self.where)
        kw["sections"] = kw.get("sections", "") + SECTION.format(
            address=address, protocol=protocol, options=mta_options)
        super().__init__(directory, next_hop, **kw)

    def more_hops(self):
        rest = getattr(self.next_hop, "rest", None)
        return ([f'milter_next_hop = "{rest}"']
                if rest and self.is_milter else [])
