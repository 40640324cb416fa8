#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What TLS costs: sessions per second (handshake, greeting, QUIT) and MB/s of
large messages over implicit TLS, through weir-maild, haproxy that terminates
TLS (one thread, as weir has one loop) in front of the same sink, and Postfix,
in turn in one run; and memory per idle session. CPU seconds are of the server's
own processes: on few cores they tell more than rates do. smtp-sink reads octet
by octet, and one message to its end before the next: large messages are also
sent to quick_sink, which leaves the relay to be the slowest."""
import argparse
import os
import pathlib
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from harness import BUILD, Weir, free_port, listens, until  # noqa: E402
from pki import Pki  # noqa: E402
from postfix import Postfix  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SOURCE = BUILD / "tests/bench/tls_source"
QUICK_SINK = BUILD / "tests/bench/quick_sink"
HAPROXY = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
frontend smtps
    bind 127.0.0.1:{port} ssl crt {cert}
    default_backend sink
backend sink
    server sink 127.0.0.1:{sink}
frontend smtps_quick
    bind 127.0.0.1:{quick_port} ssl crt {cert}
    default_backend quick
backend quick
    server quick 127.0.0.1:{quick}
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--sessions", type=int, default=2000)
    p.add_argument("--threads", type=int, default=8)
    p.add_argument("--idle", type=int, default=1000)
    return p.parse_args()


def cpu_of(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        fields = text.rsplit(")", 1)[1].split()
        # With the time of children that have ended.
        total += sum(int(f) for f in fields[11:15])
    return total / TICKS


def family(pid):
    """pid and what it started."""
    pids = [pid]
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            pids.append(int(path.parent.name))
    return pids


def rss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def load(port, threads, count, size=0, resume=False):
    done = subprocess.run(
        [SOURCE, *map(str, (port, threads, count, size, int(resume)))],
        check=True, capture_output=True, text=True)
    return float(done.stdout)


class Bench:
    def __init__(self, directory, args):
        self.dir = pathlib.Path(directory)
        self.args = args
        self.cert = Pki(self.dir / "pki").cert("bench", ["bench.test"])
        self.dir.chmod(0o755)
        self.sink_port = free_port()
        self.sink = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-m", "2000",
             f"127.0.0.1:{self.sink_port}", "1000"],
            stdout=subprocess.DEVNULL)
        until(lambda: listens(self.sink_port), "smtp-sink")
        self.quick_port = free_port()
        self.quick = subprocess.Popen([QUICK_SINK, str(self.quick_port)])
        until(lambda: listens(self.quick_port), "quick_sink")
        self.weir, self.tls_port = self.start_weir("weir", self.sink_port)
        self.weir_quick, self.tls_quick_port = self.start_weir(
            "weir_quick", self.quick_port)
        self.start_haproxy()
        self.start_postfix()

    def start_weir(self, name, sink_port):
        port = free_port()
        weir = Weir(
            self.dir / name, f"127.0.0.1:{sink_port}",
            client_sessions_max=5000, sessions_max=5000,
            log_level="warning", tls_cert=f'{{"{self.cert}"}}',
            sections=f'listen "tls" {{ address = "127.0.0.1:{port}"'
                     "  tls = implicit }").start()
        return weir, port

    def start_haproxy(self):
        self.proxy_port, self.proxy_quick_port = free_port(), free_port()
        conf = self.dir / "haproxy.cfg"
        conf.write_text(HAPROXY.format(port=self.proxy_port, cert=self.cert,
                                       sink=self.sink_port,
                                       quick_port=self.proxy_quick_port,
                                       quick=self.quick_port))
        self.haproxy = subprocess.Popen(["haproxy", "-f", conf, "-db"],
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until(lambda: listens(self.proxy_port), "haproxy")

    def start_postfix(self):
        self.postfix = Postfix("bench.test",
                               relayhost=f"[127.0.0.1]:{self.sink_port}",
                               local=False)
        with (self.postfix.dir / "etc/main.cf").open("a") as f:
            f.write(f"smtpd_tls_chain_files = {self.cert}\n"
                    "smtpd_tls_wrappermode = yes\n"
                    "smtpd_tls_security_level = encrypt\n"
                    "smtpd_client_connection_count_limit = 0\n")
        self.postfix.start()
        pid = self.postfix.dir / "queue/pid/master.pid"
        self.postfix_pid = int(pid.read_text())

    def stop(self):
        self.weir.stop()
        self.weir_quick.stop()
        self.haproxy.terminate()
        self.haproxy.wait()
        self.postfix.stop()
        for sink in (self.sink, self.quick):
            sink.kill()
            sink.wait()

    def servers(self):
        return {"weir": (self.tls_port, self.weir.process.pid),
                "haproxy": (self.proxy_port, self.haproxy.pid),
                "postfix": (self.postfix.port, self.postfix_pid)}

    def quick_servers(self):
        return {"weir": (self.tls_quick_port, self.weir_quick.process.pid),
                "haproxy": (self.proxy_quick_port, self.haproxy.pid)}

    def one(self, sink, port, pid, *load_args, **kw):
        """Seconds, the server's of CPU, and the next hop's."""
        before, sink_before = cpu_of(family(pid)), cpu_of([sink.pid])
        took = load(port, self.args.threads, *load_args, **kw)
        return (took, cpu_of(family(pid)) - before,
                cpu_of([sink.pid]) - sink_before)

    def case(self, name, unit, counts, amount, *load_args, quick=False, **kw):
        """counts: how many for each server; amount: units of one."""
        servers = self.quick_servers() if quick else self.servers()
        sink = self.quick if quick else self.sink
        rounds = [{who: self.one(sink, port, pid, counts[who], *load_args, **kw)
                   for who, (port, pid) in servers.items()}
                  for _ in range(self.args.rounds)]
        print(f"\n{name} ({self.args.threads} threads, "
              f"{self.args.rounds} rounds)")
        print(f"  {'':10}{unit + '/s':>12}{'of haproxy':>12}"
              f"{'CPU ms/' + unit:>20}{'next hop busy':>15}")
        for who, count in counts.items():
            done = count * amount
            rate = statistics.median(done / r[who][0] for r in rounds)
            ratio = statistics.median(
                done / r[who][0] /
                (counts["haproxy"] * amount / r["haproxy"][0])
                for r in rounds)
            cpu = statistics.median(r[who][1] / done * 1000 for r in rounds)
            busy = statistics.median(r[who][2] / r[who][0] for r in rounds)
            print(f"  {who:10}{rate:12.0f}{ratio:12.2f}{cpu:20.3f}"
                  f"{busy:15.2f}")

    def idle(self, port, context):
        """kB per session that has said EHLO and waits."""
        self.weir.restart()  # a heap in which nothing was freed yet
        pid = self.weir.process.pid
        made = []

        def one():
            s = socket.create_connection(("127.0.0.1", port))
            if context is not None:
                s = context.wrap_socket(s)
            s.recv(500)
            s.sendall(b"EHLO bench\r\n")
            s.recv(500)
            made.append(s)

        for _ in range(50):  # what the first ones cost is not theirs
            one()
        before = rss_kb(pid)
        for _ in range(self.args.idle):
            one()
        used = rss_kb(pid) - before
        for s in made:
            s.close()
        until(lambda: self.weir.status()["sessions_open"] == 0, "their end")
        return used / self.args.idle

    def memory(self):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        print(f"\nmemory of {self.args.idle} idle sessions, each:"
              f" TLS {self.idle(self.tls_port, context):.1f} kB,"
              f" plain {self.idle(self.weir.port, None):.1f} kB")


def main():
    args = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(directory, 0o755)
    bench = Bench(directory, args)
    try:
        bench.memory()
        n = args.sessions
        some = {"weir": n, "haproxy": n, "postfix": max(n // 8, 50)}
        bench.case("full handshakes", "session", some, 1)
        bench.case("resumed sessions", "session", some, 1, resume=True)
        size = 4 << 20
        bench.case("4 MB messages", "MB",
                   {"weir": 64, "haproxy": 64, "postfix": 16}, 4, size)
        bench.case("4 MB messages to quick_sink", "MB",
                   {"weir": 128, "haproxy": 128}, 4, size, quick=True)
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
