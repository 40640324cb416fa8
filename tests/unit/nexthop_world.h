/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the pool: two scripted next hops, and users of connections.
 */
#ifndef TESTS_UNIT_NEXTHOP_WORLD_H
#define TESTS_UNIT_NEXTHOP_WORLD_H

#include "delivery/nexthop.h"
#include "fake_hop.h"
#include "pump.h"

struct world {
	struct loop *loop;
	struct fake *fake, *second;
	struct nexthop *n;
	struct counters counters;
	struct nexthop_settings settings;
	const char *addresses[4];
};

/* An owner of a hop, and what it heard. */
struct user {
	struct world *w;
	struct hop *hop;
	bool inside; /* a call of the pool is on the stack */
	bool ready, failed, ended, put_at_end, reused;
	unsigned code;
	char text[512];
	char name[256];
};

int setup(void **state);
void start(struct world *w);
int teardown(void **state);
void get(struct user *u, struct world *w, bool fresh);
void wait_ready(struct user *u);
void put(struct user *u);
void send_message(struct user *u);
bool is_over(void *arg);
bool is_gone(void *arg);
void wait_count(struct world *w, const int *what, int wanted);

#endif
