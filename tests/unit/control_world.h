/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the control socket: a daemon with a real gate and spool, mail in
 * it, and clients. Functions fail the test when something goes wrong.
 */
#ifndef TESTS_UNIT_CONTROL_WORLD_H
#define TESTS_UNIT_CONTROL_WORLD_H

#include "maild/control_private.h"
#include "os/clock.h"
#include "pump.h"

#define ALICE "<alice@example.org>"
#define BURST 10 /* new recipients that pass at once */

struct world {
	char dir[64], socket[96];
	struct loop *loop;
	struct spool *spool;
	struct loop_watch *watch;
	struct events *events;
	struct problems *problems;
	struct counters counters;
	struct policies *policies;
	struct gate *gate;
	struct nexthop *nexthop;
	struct delivery *delivery;
	struct control *control;
	bool reload_works;
	int reloads;
};

struct client {
	int fd;
	struct buf in;
	bool closed;
};

int setup(void **state); /* *state: struct world */
int teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- clients ---- */

void client_open(struct world *w, struct client *c);
void client_close(struct client *c);
void client_send(struct client *c, const char *line);
void client_read(struct client *c);
/* The last line is {"done"... or {"error"... */
bool is_answered(void *arg);
bool is_closed(void *arg);
/* All lines as an array; the buffer is emptied. */
json_t *client_take(struct client *c);
/* The answer to one request. */
json_t *ask(struct world *w, const char *line);
const json_t *last(const json_t *lines);
const json_t *row(const json_t *lines, size_t i);
const char *text(const json_t *o, const char *name);
json_int_t number(const json_t *o, const char *name);
/* recipients: as the answer has it, -1: none is looked at. */
void expect_done(struct world *w, const char *line, json_int_t recipients);
void expect_error(
    struct world *w, const char *line, int status, const char *part);
size_t count_rows(struct world *w, const char *line);

/* ---- mail ---- */

void take_verdict(void *arg, const struct gate_answer *answer);
void on_put(void *arg, int error);
/* One message to `to`, in the spool when the gate holds it: its id. */
uint64_t submit(
    struct world *w, const char *from, const char *to, struct str body);
/* BURST recipients pass, then so many are held, one a message: n0@example.net,
 * n1@... Returns the first held one's id. */
uint64_t submit_many(struct world *w, const char *from, int held);
/* To watch the spool again. */
void on_spool(void *arg, int64_t now);

#endif
