# SPDX-License-Identifier: BSD-3-Clause
"""A real Redis cluster on loopback: masters, and a replica of each."""
import subprocess

from harness import free_port, until
from redis_server import Redis

SLOTS = 16384


class Cluster:
    def __init__(self, directory, *options, masters=3, tls=None):
        self.nodes = []
        self.tls = tls
        for i in range(2 * masters):
            bus = free_port()  # for what the nodes say to each other
            self.nodes.append(Redis(
                directory / f"node{i}", "--cluster-enabled", "yes",
                "--cluster-port", str(bus),
                "--cluster-node-timeout", "1000",
                "--repl-diskless-sync-delay", "0",
                *(["--tls-cluster", "yes", "--tls-replication", "yes",
                   "--tls-ca-cert-file", str(tls[1])] if tls else []),
                "--cluster-require-full-coverage", "no",
                *options, tls=tls[0] if tls else None))
            self.nodes[-1].bus = bus
        self.masters = self.nodes[:masters]
        self.replicas = self.nodes[masters:]

    @property
    def url(self):
        """The first is not there; the others are enough."""
        hosts = [f"127.0.0.1:{free_port()}"] + [
            f"127.0.0.1:{n.port}" for n in self.nodes[1:3]]
        return f"redis{'s' if self.tls else ''}+cluster://{','.join(hosts)}"

    def start(self):
        for n in self.nodes:
            n.start()
            n.id = n.call("CLUSTER", "MYID").decode()
        share = SLOTS // len(self.masters)
        for i, n in enumerate(self.masters):
            last = SLOTS - 1 if n is self.masters[-1] else (i + 1) * share - 1
            n.call("CLUSTER", "ADDSLOTSRANGE", i * share, last)
            # Their own order, so that no two have the same epoch.
            n.call("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for n in self.nodes[1:]:
            n.call("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port,
                   self.nodes[0].bus)
        until(lambda: all(self.knows_all(n) for n in self.nodes),
              "the nodes to know each other", deadline_s=60)
        for of, n in zip(self.masters, self.replicas):
            n.call("CLUSTER", "REPLICATE", of.id)
        until(lambda: all(self.is_ok(n) for n in self.nodes),
              "the cluster", deadline_s=60)
        until(lambda: all(b"master_link_status:up" in n.call(
            "INFO", "replication") for n in self.replicas), "the replicas",
            deadline_s=60)
        return self

    def knows_all(self, n):
        text = n.call("CLUSTER", "NODES").decode()
        return text.count(" connected") == len(self.nodes) and \
            "handshake" not in text

    @staticmethod
    def is_ok(n):
        return b"cluster_state:ok" in n.call("CLUSTER", "INFO")

    def slot_of(self, key):
        return int(self.nodes[0].call("CLUSTER", "KEYSLOT", key)[1:])

    def masters_now(self):
        """Of those that answer; some may have become replicas."""
        return [n for n in self.nodes
                if n.process is not None and not n.is_paused and
                b"role:master" in n.call("INFO", "replication")]

    def owner(self, slot):
        """The master that has it, as another node sees it."""
        asked = next(n for n in self.living() if not n.is_paused)
        for line in asked.call("CLUSTER", "NODES").decode().splitlines():
            words = line.split()
            if "master" not in words[2] or "fail" in words[2].split(","):
                continue
            for piece in words[8:]:
                ends = piece.split("-")
                if not piece.startswith("[") and \
                        int(ends[0]) <= slot <= int(ends[-1]):
                    return next(n for n in self.nodes if n.id == words[0])
        return None

    def living(self):
        return [n for n in self.nodes if n.process is not None]

    def find(self, pattern="{weir:*:*}:state"):
        """Key, slot and master of each; where they lie now."""
        found = []
        for n in self.masters_now():
            for key in n.call(
                    "EVAL", "return table.concat(redis.call('KEYS', "
                    "ARGV[1]), ' ')", 0, pattern).decode().split():
                found.append((key, self.slot_of(key), n))
        return found

    def begin_move(self, slot, to):
        was = self.owner(slot)
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", was.id)
        was.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
        return was

    def carry(self, was, to, *keys):
        for key in keys:
            assert was.call("MIGRATE", "127.0.0.1", to.port, key, 0,
                            5000) == b"+OK"

    def end_move(self, slot, to):
        for n in (to, *(m for m in self.masters_now() if m is not to)):
            n.call("CLUSTER", "SETSLOT", slot, "NODE", to.id)

    def reshard(self, slots, was, to):
        """As an administrator does it."""
        done = subprocess.run(
            ["redis-cli", "--cluster", "reshard", f"127.0.0.1:{was.port}",
             "--cluster-from", was.id, "--cluster-to", to.id,
             "--cluster-slots", str(slots), "--cluster-yes"],
            capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self):
        for n in self.living():
            n.go_on()
        for n in self.nodes:
            n.kill()
