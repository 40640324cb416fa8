# SPDX-License-Identifier: BSD-3-Clause
"""Many held messages of one sender in no time: one that the daemon held is
copied in its spool, while the daemon is down."""
import contextlib
import sqlite3

from harness import hello, message

# So that nothing of a sender goes by itself, and nothing freezes it.
HOLD = ('key = envelope  interval = "300d"  burst = 1  initial = 0\n'
        "freeze_at = 0  queue_max = 1000000")
ROOM = {"held_max": 2000000}
STEP = 4096  # of ids: spool.h


def hold(weir, sender, to):
    client = hello(weir.port)
    client.transact(sender, [to], message())
    client.close()


def columns(db, table, leave_out):
    return ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})")
                     if row[1] not in leave_out)


def multiply(weir, count):
    """Of the newest message, in the spool of a daemon that is down: count in
    all, to r0@example.net and so on."""
    with contextlib.closing(
            sqlite3.connect(weir.spool / "spool.db")) as db, db:
        last = db.execute("SELECT max(id) FROM message").fetchone()[0]
        message_columns = columns(db, "message", ("id",))
        rcpt_columns = columns(db, "rcpt", ("ticket", "address",
                                            "destination"))
        numbers = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                   f" FROM n WHERE i < {count - 1}) ")
        db.execute(f"{numbers} INSERT INTO message (id, {message_columns})"
                   f" SELECT id + i * {STEP}, {message_columns}"
                   f" FROM n, message WHERE id = {last}")
        db.execute(f"{numbers} INSERT INTO rcpt (ticket, address, destination,"
                   f" {rcpt_columns}) SELECT ticket + i * {STEP},"
                   " 'r' || i || '@example.net', destination + i,"
                   f" {rcpt_columns} FROM n, rcpt WHERE ticket = {last}")
