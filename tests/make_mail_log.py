#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A made-up mail log of Postfix, for trying weir-replay: people who write to
those they know and now and then to somebody new, a newsletter, a slow sender,
and an account that is stolen towards the end. The same arguments make the same
log."""
import argparse
import datetime
import random


def lines(at, host, number, login, client, recipients):
    """As Postfix 3.7 logs a submission, through rsyslog."""
    queue_id = f"{number:X}".rjust(11, "4")
    head = at.strftime("%Y-%m-%dT%H:%M:%S+00:00") + f" {host} postfix"
    yield (f"{head}/submission/smtpd[{4000 + number % 900}]: {queue_id}: "
           f"client=unknown[{client}], sasl_method=PLAIN, "
           f"sasl_username={login}")
    yield (f"{head}/cleanup[{5000 + number % 90}]: {queue_id}: "
           f"message-id=<{number}@example.org>")
    yield (f"{head}/qmgr[811]: {queue_id}: from=<{login}>, size="
           f"{900 + number % 4000}, nrcpt={len(recipients)} (queue active)")
    for r in recipients:
        yield (f"{head}/smtp[{6000 + number % 90}]: {queue_id}: to=<{r}>, "
               "relay=mx.example.net[198.51.100.7]:25, delay=0.4, "
               "delays=0.1/0/0.1/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: "
               "queued as 7)")
    yield f"{head}/qmgr[811]: {queue_id}: removed"


def people(rng, names, days, rate):
    """(second, login, recipients) of each message of everybody."""
    for i, name in enumerate(names):
        login = f"{name}@example.org"
        known = [f"{rng.choice(names)}@example.org" for _ in range(5)]
        known += [f"contact{i}-{k}@partner{k % 9}.example.net"
                  for k in range(rng.randint(10, 60))]
        count = int(rng.gauss(rate, rate / 4) * days)
        new = 0
        for _ in range(max(1, count)):
            at = (rng.randrange(days) * 86400
                  + int(rng.gauss(12.5, 2.5) * 3600) % 86400)
            to = {known[min(int(rng.paretovariate(0.7)), len(known)) - 1]}
            if rng.random() < 0.12:
                new += 1
                to = {f"new{i}-{new}@somewhere{new % 40}.example.com"}
            elif rng.random() < 0.1:
                to |= set(rng.sample(known, min(len(known), 8)))
            yield at, login, sorted(to)


def others(rng, days):
    for day in range(2, days, 7):       # a newsletter, each week
        for k in range(600):
            yield (day * 86400 + 32400 + k * 4, "news@example.org",
                   [f"reader{k + day}@subscriber.example.com"])
    for day in range(days):             # 14 strangers a day, all year
        for k in range(14):
            yield (day * 86400 + 30000 + k * 2400, "sales@example.org",
                   [f"lead{day}-{k}@prospect.example.com"])
    start = (days - 3) * 86400 + 7400   # stolen: two a second
    for k in range(1200):
        yield (start + k // 2, "mallory@example.org",
               [f"victim{k}@elsewhere{k % 300}.example.edu"])


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--users", type=int, default=40)
    ap.add_argument("--days", type=int, default=75)
    ap.add_argument("--rate", type=float, default=6, help="messages a day")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--first", default="2026-09-01")
    args = ap.parse_args()
    rng = random.Random(args.seed)
    names = ["mallory"] + [f"user{i:02}" for i in range(1, args.users)]
    first = datetime.datetime.fromisoformat(args.first)
    mails = sorted([*people(rng, names, args.days, args.rate),
                    *others(rng, args.days)])
    for number, (second, login, to) in enumerate(mails):
        at = first + datetime.timedelta(seconds=second)
        client = ("192.0.2." + str(sum(login.encode()) % 250)
                  if "victim" not in to[0] else "203.0.113.77")
        for line in lines(at, "mx", number, login, client, to):
            print(line)


if __name__ == "__main__":
    main()
