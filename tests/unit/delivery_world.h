/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of delivery: a real spool in a temporary directory, the scripted
 * next hop, and mail from one to the other.
 */
#ifndef TESTS_UNIT_DELIVERY_WORLD_H
#define TESTS_UNIT_DELIVERY_WORLD_H

#include "delivery/delivery.h"
#include "fake_hop.h"
#include "pump.h"

#define DAY_MS 86400000
#define HOUR_MS 3600000
#define LARGE (1u << 20)

struct world {
	struct loop *loop;
	struct fake *fake;
	char dir[64];
	struct spool *spool;
	struct loop_watch *watch;
	struct nexthop *n;
	struct delivery *d;
	struct events *events;
	struct event_follower follower;
	int events_seen[EVENT_TYPE_MAX];
	char last_detail[512];
	struct counters counters;
	struct nexthop_settings hops;
	struct delivery_settings settings;
	const char *addresses[1];
	bool drained;
};

struct letter {
	const char *from;
	const char *to[4];
	const char *body;
	size_t body_size; /* of LARGE ones, filled by a pattern */
	unsigned notify, body_type, ret;
	bool utf8, require_tls;
	int64_t age_ms;
	uint32_t attempts;
	const char *envid;
};

struct left { /* in the spool; of the last recipient */
	bool is_done;
	size_t messages, rcpts;
	char address[256], error[512];
	enum spool_state state;
	uint32_t attempts;
	int64_t next_try;
};

int setup(void **state);
void start(struct world *w);
int teardown(void **state);
uint64_t put(struct world *w, const struct letter *l);
void kick(struct world *w);
struct left look(struct world *w);
void wait_for(struct world *w, bool (*fn)(void *arg), void *arg);
bool is_quiet(void *arg);
void wait_empty(struct world *w);
void wait_deferred(struct world *w);
void wait_count(struct world *w, const int *what, int least);
struct str body_of(const struct fake_message *m);
bool has(const struct fake_message *m, const char *text);
size_t count_lines(const struct fake_message *m, const char *text);
void expect_bounce(struct world *w, const struct letter *l, const char *text);
char *make_text(const struct letter *l, size_t *n);
void open_spool(struct world *w);

#endif
