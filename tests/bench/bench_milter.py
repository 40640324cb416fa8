#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What weir costs inside Postfix: smtp-source to a Postfix that discards, with
no milter, with one that does nothing (it asks for nothing, or for the envelope
alone), with weir and known recipients, with weir and all held, and with rspamd's
ratelimit where rspamd and redis-server are installed. Each round measures all of
them in turn; medians and ratios to the milter that does nothing."""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from harness import BUILD, free_port, listens, until  # noqa: E402
from milter import MilterPostfix, MilterWeir  # noqa: E402

DISCARD = "in_flow_delay = 0\ndefault_transport = discard:\nrelay_transport = discard:\n" \
    "virtual_mailbox_domains =\nsmtpd_recipient_restrictions = " \
    "permit_mynetworks, reject\n"
RSPAMD = """
options {{ pidfile = "{dir}/pid"; filters = ""; dns {{ nameserver = "127.0.0.1"; }} }}
logging {{ type = "file"; filename = "{dir}/log"; level = "error"; }}
redis {{ servers = "127.0.0.1:{redis}"; }}
ratelimit {{ rates {{ user = {{ bucket = {{ burst = 1000000; rate = "1000000 / 1min"; }} }} }} }}
modules {{ path = "/usr/share/rspamd/plugins/ratelimit.lua"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
worker "rspamd_proxy" {{ bind_socket = "{dir}/milter.sock mode=0666"; milter = yes;
    timeout = 60s; count = 1; upstream "local" {{ default = yes; self_scan = yes; }} }}
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--messages", type=int, default=3000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sessions", type=int, default=20)
    return p.parse_args()


def source(port, args, many):
    command = ["smtp-source", "-s", str(args.sessions), "-m",
               str(args.messages), "-l", "1024", "-f", "alice@example.org",
               "-t", "bob@example.com", f"127.0.0.1:{port}"]
    if many:
        command.insert(1, "-d")
    begin = time.monotonic()
    subprocess.run(command, check=True, timeout=300)
    return args.messages / (time.monotonic() - begin)


class Null:
    def __init__(self, directory, *args):
        self.where = f"unix:{directory}/null{len(args)}.sock"
        self.process = subprocess.Popen(
            [BUILD / "null-milter", self.where, *args])
        path = self.where.partition(":")[2]
        until(lambda: os.path.exists(path), "the milter")
        os.chmod(path, 0o666)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Rspamd:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory) / "rspamd"
        self.dir.mkdir(mode=0o777)
        port = free_port()
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--bind",
             "127.0.0.1"], stdout=subprocess.DEVNULL)
        until(lambda: listens(port), "redis")
        conf = self.dir / "rspamd.conf"
        conf.write_text(RSPAMD.format(dir=self.dir, redis=port))
        self.process = subprocess.Popen(
            ["rspamd", "-i", "-f", "-c", conf, "--var", f"DBDIR={self.dir}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.where = f"unix:{self.dir}/milter.sock"
        until(lambda: (self.dir / "milter.sock").exists() or
              self.process.poll() is not None, "rspamd")

    def stop(self):
        for p in (self.process, self.redis):
            p.terminate()
            p.wait(20)


def candidates(directory, made):
    def weir(name, policy):
        w = MilterWeir(f"{directory}/{name}", "127.0.0.1:1", policy=policy,
                       log_level="warning")
        w.dir.chmod(0o755)
        made.append(w.start())
        return w.where

    null, envelope = Null(directory), Null(directory, "envelope")
    made += [null, envelope]
    found = {"no milter": "", "null": null.where,
             "null, envelope": envelope.where,
             "weir, known": weir("known", "burst = 10"),
             "weir, all held": weir(
                 "held", 'interval = "1h"  burst = 1  initial = 0  '
                 "freeze_at = 0  queue_max = 1000000")}
    if shutil.which("rspamd") and shutil.which("redis-server"):
        rspamd = Rspamd(directory)
        made.append(rspamd)
        found["rspamd ratelimit"] = rspamd.where
    else:
        print("rspamd and redis-server are not installed: not measured")
    return found


def main():
    args = arguments()
    tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made, figures = [], {}
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        os.chmod(directory, 0o755)
        try:
            mtas = {}
            for name, where in candidates(directory, made).items():
                mta = MilterPostfix(where, main=DISCARD, local=False)
                made.append(mta.start())
                mtas[name] = mta
                source(mta.port, argparse.Namespace(
                    sessions=args.sessions, messages=200), True)
            for _ in range(args.rounds):
                for many in (False, True):
                    for name, mta in mtas.items():
                        figures.setdefault((name, many), []).append(
                            source(mta.port, args, many))
        finally:
            for m in reversed(made):
                m.stop()
    print(f"{args.messages} messages of 1 KB, {args.sessions} sessions, "
          f"median of {args.rounds} rounds; messages a second, and the ratio "
          "to the milter that does nothing (null, envelope)")
    print(f"{'':18}{'one a connection':>22}{'many':>22}")
    for name in mtas:
        line = f"{name:18}"
        for many in (False, True):
            mine = figures[name, many]
            base = figures["null, envelope", many]
            ratio = statistics.median(a / b for a, b in zip(mine, base))
            line += f"{statistics.median(mine):15.0f}{ratio:7.2f}"
        print(line)


if __name__ == "__main__":
    main()
