# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces for weir-netd's tests: hosts, a net that answers on every
address, gateways and bridges. All names begin with weirtest, all addresses are
in 10.99.0.0/16 and fd99::/64, and everything goes away at the end."""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import BUILD, CtlError, until

CLONE_NEWNET = 0x40000000
HERE = pathlib.Path(__file__).resolve().parent


TOLD = []  # shown at the end of a run; see conftest.py


def tell(text):
    """A line or a table that a person wants to see."""
    TOLD.append(str(text))
    print(text)


def run(*argv, check=True, text=None):
    p = subprocess.run([str(a) for a in argv], input=text, text=True,
                       capture_output=True)
    assert not check or p.returncode == 0, f"{argv}: {p.stderr}{p.stdout}"
    return p


def why_not():
    """None, or why these tests cannot run on this machine."""
    if not (BUILD / "weir-netd").exists():
        return "weir-netd was not built (libnetfilter_queue, libmnl)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "iptables", "ip6tables", "curl", "dig"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    name = f"weirtest{os.getpid()}x"
    if run("ip", "netns", "add", name, check=False).returncode != 0:
        return "this machine lets nobody make network namespaces"
    try:
        p = run("ip", "netns", "exec", name, "iptables", "-t", "mangle", "-A",
                "OUTPUT", "-p", "tcp", "-j", "NFQUEUE", check=False)
        if p.returncode != 0:
            return f"no NFQUEUE target here: {p.stderr.strip()[-200:]}"
    finally:
        run("ip", "netns", "del", name)
    return None


def why_no_sets(kind):
    """None, or why the kernel's sets of this kind are not to be had."""
    tool = "ipset" if kind == "ipset" else "nft"
    if not shutil.which(tool):
        return f"{tool} is not installed"
    name = f"weirtest{os.getpid()}y"
    run("ip", "netns", "add", name)
    try:
        argv = ["ipset", "create", "x", "hash:ip,port,ip"] \
            if kind == "ipset" else \
            ["nft", "add table inet x; add set inet x y "
             "{ type ipv4_addr . ipv4_addr; flags timeout; }"]
        p = run("ip", "netns", "exec", name, *argv, check=False)
        return f"this kernel has no sets of {kind}" if p.returncode else None
    finally:
        run("ip", "netns", "del", name)


class Lab:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.prefix = f"weirtest{os.getpid()}-"
        self.spaces, self.processes, self.daemons = [], [], []
        self.links = 0

    def space(self, name):
        self.ip("netns", "add", self.prefix + name)
        self.spaces.append(name)
        self.ip("-n", self.prefix + name, "link", "set", "lo", "up")
        for key in ("all", "default"):
            self.execute(name, "sysctl", "-qw",
                         f"net.ipv6.conf.{key}.accept_dad=0")
        return name

    def ip(self, *argv):
        return run("ip", *argv)

    def at(self, space, *argv):
        """ip, in the namespace."""
        return run("ip", "-n", self.prefix + space, *argv)

    def execute(self, space, *argv, **kw):
        return run("ip", "netns", "exec", self.prefix + space, *argv, **kw)

    def popen(self, space, *argv, **kw):
        p = subprocess.Popen(
            ["ip", "netns", "exec", self.prefix + space,
             *[str(a) for a in argv]], **kw)
        self.processes.append(p)
        return p

    def link(self, a, a_name, b, b_name):
        self.links += 1
        x, y = f"wt{os.getpid() % 100000}a{self.links}", \
            f"wt{os.getpid() % 100000}b{self.links}"
        self.ip("link", "add", x, "type", "veth", "peer", "name", y)
        for old, space, new in ((x, a, a_name), (y, b, b_name)):
            self.ip("link", "set", old, "netns", self.prefix + space)
            self.at(space, "link", "set", old, "name", new)
            self.at(space, "link", "set", "dev", new, "up")

    def pair(self, host="host", net="net"):
        """A host at 10.99.0.1 and fd99::1, and a net that answers on
        10.99.1.0/24, 10.99.2.0/24, 10.99.3.0/24 and fd99::1:0/112."""
        self.space(host)
        self.space(net)
        self.wire(host, net)
        return host, net

    def wire(self, host, net):
        """The link of a pair, for the first time or again."""
        self.link(host, "eth0", net, "net0")
        self.at(host, "addr", "add", "10.99.0.1/16", "dev", "eth0")
        self.at(host, "addr", "add", "fd99::1/64", "dev", "eth0", "nodad")
        # One neighbour: the kernel's table of them has 1024 places for all
        # namespaces together, and what does not fit is lost.
        for third in (1, 2, 3):
            self.at(host, "route", "add", f"10.99.{third}.0/24", "via",
                    "10.99.0.2")
        self.at(host, "-6", "route", "add", "fd99::1:0/112", "via", "fd99::2")
        self.answers(net)

    def answers(self, net, dev="net0"):
        self.at(net, "addr", "add", "10.99.0.2/16", "dev", dev)
        self.at(net, "addr", "add", "fd99::2/64", "dev", dev, "nodad")
        for third in (1, 2, 3):
            self.at(net, "route", "replace", "local", f"10.99.{third}.0/24",
                    "dev", "lo")
        self.at(net, "-6", "route", "replace", "local", "fd99::1:0/112", "dev",
                "lo")

    def within(self, space, fn, *args):
        """fn, run by a thread that lives in the namespace."""
        result = {}

        def body():
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(f"/run/netns/{self.prefix}{space}", os.O_RDONLY)
            try:
                if libc.setns(fd, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            try:
                result["value"] = fn(*args)
            except Exception as e:  # handed on to the caller
                result["error"] = e

        t = threading.Thread(target=body)
        t.start()
        t.join()
        if "error" in result:
            raise result["error"]
        return result["value"]

    def counted_pair(self):
        """A pair whose net answers, and counts what is new to it."""
        self.pair()
        self.serve("net")
        self.count_new("net")

    def serve(self, space, port=80):
        """An acceptor on every address of the namespace, TCP and UDP."""
        p = self.popen(space, "/usr/bin/python3", HERE / "netserve.py", port,
                       stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"
        return p

    def count_new(self, space, dev="net0"):
        """Counts what arrives from now on; see arrived()."""
        for program in ("iptables", "ip6tables"):
            for match in (["-p", "tcp", "--syn"], ["-p", "udp"]):
                self.execute(space, program, "-t", "raw", "-A", "PREROUTING",
                             "-i", dev, *match)

    def arrived(self, space, protocol="tcp", program="iptables"):
        text = self.execute(space, program, "-t", "raw", "-nvxL",
                            "PREROUTING").stdout
        numbers = {"tcp": "(?:tcp|6)", "udp": "(?:udp|17)"}
        return sum(int(m) for m in re.findall(
            rf"^\s*(\d+)\s+\d+\s+{numbers[protocol]}\s", text, re.M))

    def worm(self, space, protocol="tcp", rate=20, net="10.99.1.0/24",
             port=80, seconds=5, order=True, listen=False, seed=1):
        argv = [BUILD / "tests/worm/worm", "--protocol", protocol, "--rate",
                rate, "--net", net, "--port", port, "--seconds", seconds,
                "--seed", seed]
        argv += ["--order"] if order else []
        argv += ["--listen"] if listen else []
        return self.popen(space, *argv, stdout=subprocess.PIPE, text=True)

    def netd(self, space, **kw):
        d = Netd(self, space, self.dir / f"{space}{len(self.daemons)}", **kw)
        self.daemons.append(d)
        return d

    def close(self):
        failed = []
        for d in self.daemons:
            if d.process is not None and d.stop() != 0:
                failed.append(d.log()[-2000:])
            shutil.rmtree(d.sock.parent, ignore_errors=True)
        for p in self.processes:
            if p.poll() is None:
                p.kill()
            p.wait()
            if p.stdout:
                p.stdout.close()
        for name in self.spaces:
            run("ip", "netns", "del", self.prefix + name, check=False)
        assert not failed, failed


class Netd:
    def __init__(self, lab, space, directory, policy="", sections="",
                 rules=True, start=True, rules_kind=None, **options):
        self.lab, self.space, self.dir = lab, space, directory
        directory.mkdir(parents=True, exist_ok=True)
        self.sock = pathlib.Path(tempfile.mkdtemp(prefix="wn")) / "s"
        self.policy, self.sections, self.rules = policy, sections, rules
        self.options = {"interfaces": '{"eth0"}', **options}
        if rules_kind:
            self.options["rules"] = rules_kind
        if os.environ.get("WEIR_SANITIZED"):
            # The leak check at the end needs calls that are given up.
            self.options.setdefault("seccomp", "false")
        self.config = directory / "weir-netd.conf"
        self.state = directory / "state"
        self.wrap = []  # a program that starts it
        self.log_path = directory / "log"
        self.process = None
        self.write_config()
        if start:
            self.start()

    def write_config(self):
        lines = [f'control = "{self.sock}"', f'state = "{self.state}"']
        lines += [f"{k} = {v}" for k, v in self.options.items() if v]
        # The paper's numbers are what most tests count with.
        policy = self.policy if "profile" in self.policy else \
            "profile = paper\n" + self.policy
        lines += [f'policy "default" {{\n{policy}\n}}', self.sections]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self):
        self.write_config()
        argv = ["ip", "netns", "exec", self.lab.prefix + self.space,
                *self.wrap, BUILD / "weir-netd", "-c", self.config]
        if self.rules:
            argv.append("--install-rules")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stderr=log, stdout=log)
        until(lambda: self.process.poll() is not None or self.is_up(),
              "weir-netd to start")
        assert self.process.poll() is None, self.log()
        return self

    def is_up(self):
        try:
            return bool(self.status())
        except CtlError:
            return False

    def log(self):
        return self.log_path.read_text()

    def stop(self, signo=signal.SIGTERM):
        self.process.send_signal(signo)
        status = self.process.wait(20)
        self.process = None
        shutil.rmtree(self.sock.parent, ignore_errors=True)
        self.sock.parent.mkdir(exist_ok=True)
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def ctl(self, *argv):
        p = run(BUILD / "weirctl", "-s", self.sock, "--json", *argv,
                check=False)
        if p.returncode != 0:
            raise CtlError(p.returncode, p.stderr)
        return json.loads(p.stdout) if p.stdout.strip() else None

    def status(self):
        return self.ctl("status")

    def events(self):
        p = run(BUILD / "weirctl", "-s", self.sock, "--json", "events")
        return [json.loads(line) for line in p.stdout.splitlines()]

    def sender(self, address="10.99.0.1"):
        return self.ctl("show", address)

    def frozen(self, address="10.99.0.1"):
        try:
            return self.sender(address)["frozen"]
        except CtlError:
            return False

    def watch_freeze(self):
        """A Follower: the moment at which it heard of the first freeze."""
        return Follower(self.sock)


class Follower:
    def __init__(self, path):
        self.at = None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.sendall(b'{"command":"events","follow":true}\n')
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self):
        data = b""
        while True:
            try:
                part = self.socket.recv(65536)
            except OSError:
                part = b""
            if not part:
                return
            data += part
            if self.at is None and b'"type":"freeze"' in data:
                self.at = time.monotonic()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def connect(address, port=80, timeout=10):
    """Seconds that a connection took, or the OSError."""
    begin = time.monotonic()
    try:
        s = socket.create_connection((address, port), timeout)
    except OSError as e:
        return e
    s.close()
    return time.monotonic() - begin


def send_udp(address, port=80, data=b"x", timeout=None):
    """Sends; with a timeout the answer, or None."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(data, (address, port))
        if timeout is None:
            return None
        s.settimeout(timeout)
        try:
            return s.recv(65536)
        except OSError:
            return None


def resolve(server, name, timeout=2):
    """Asks for A and AAAA; True when both were answered."""
    question = b"".join(bytes([len(p)]) + p.encode()
                        for p in name.split(".")) + b"\0"
    for kind in (1, 28):
        query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question + \
            bytes([0, kind, 0, 1])
        if not send_udp(server, 53, query, timeout):
            return False
    return True
