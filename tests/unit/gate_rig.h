/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gate over the real throttle and a real spool in a directory of its own,
 * with a clock that the test turns. Used by the tests of the gate.
 */
#ifndef TESTS_GATE_RIG_H
#define TESTS_GATE_RIG_H

#include "gate/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RIG_WALL 1767261600000 /* 2026-01-01T10:00:00Z */
#define RIG_TEXT 512

struct rig {
	char dir[64];
	struct gate_settings settings;
	struct spool *spool;
	struct events *events;
	struct counters counters;
	struct gate *gate;
	int64_t now, wall;
	uint32_t outstanding_max; /* of the spool, from the next start */
	uint32_t load_page;       /* the same */
	bool loads_late;          /* rig_restart does not wait for queues */

	/* what the gate called back */
	unsigned released, schedules;
	unsigned freezes, stops;
	char freeze_sender[128], freeze_policy[64], freeze_reason[RIG_TEXT];
	uint32_t freeze_length, freeze_at, freeze_passed;

	unsigned spent_recipients, spent_messages;
	char spent_sender[128];

	/* the last answer */
	enum throttle_verdict verdict;
	bool observed;
	unsigned code;
	char why[RIG_TEXT], text[RIG_TEXT], enhanced[16];
	unsigned answers;

	/* the last gate_done_fn */
	unsigned done;
	int error;
	uint64_t count;
};

/* policies: the text of policy sections. */
void rig_open(struct rig *r, const char *policies);
void rig_close(struct rig *r);
/* As a crash has it: nothing is saved that was not yet. */
void rig_restart(struct rig *r);
void rig_reload(struct rig *r, const char *policies, bool observe);
struct policies *rig_policies(const char *text);

void rig_pass_time(struct rig *r, int64_t ms);
/* Turns the clock to each moment at which the gate is due, up to ms later. */
void rig_run(struct rig *r, int64_t ms);
/* Until the spool has nothing to do. */
void rig_pump(struct rig *r);

/* An authenticated user's transaction. */
struct gate_txn *rig_begin(struct rig *r, const char *user);
void rig_sender(struct rig *r, struct gate_txn *txn);
enum throttle_verdict rig_ask(
    struct rig *r, struct gate_txn *txn, const char *address);
/* Stores what is held (all of it when whole) and commits. Returns the id, or 0
 * when nothing was stored. */
uint64_t rig_commit(struct rig *r, struct gate_txn *txn);
/* The whole of it, for one recipient. */
enum throttle_verdict rig_send(
    struct rig *r, const char *user, const char *address);
/* rig_send to "<prefix><i>@example.com" for each i < n; counts verdicts. */
struct rig_counts {
	unsigned passed, held, refused;
};
struct rig_counts rig_send_many(
    struct rig *r, const char *user, const char *prefix, unsigned n);

/* Claims everything that was released and calls it delivered; appends the
 * addresses, in order, with a blank after each. Returns how many. */
unsigned rig_deliver(struct rig *r, struct buf *addresses);
uint64_t rig_stored(struct rig *r, enum spool_state state);

bool rig_info(struct rig *r, const char *sender, struct gate_sender_info *out);
uint32_t rig_queue(struct rig *r, const char *sender);
bool rig_is_frozen(struct rig *r, const char *sender);
uint64_t rig_counter(const struct rig *r, enum counter id);
unsigned rig_events(struct rig *r, enum event_type type);
/* Detail of the last event of that type. */
void rig_last_event(struct rig *r, enum event_type type, char out[RIG_TEXT]);

void rig_on_done(void *arg, int error, uint64_t count);
/* A thaw, release or discard by "admin", waited for. Returns the error. */
int rig_thaw(struct rig *r, const char *sender, enum gate_thaw then);
int rig_freeze(struct rig *r, const char *sender);
int rig_release(struct rig *r, const struct spool_select *select);
int rig_discard(struct rig *r, const struct spool_select *select);
/* "who action target detail\n" for each, the newest first. */
void rig_audit(struct rig *r, struct buf *out);

#endif
