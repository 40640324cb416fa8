/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gate without a kernel, and what it said. At the end every packet has had
 * exactly one verdict.
 */
#ifndef TESTS_NETGATE_RIG_H
#define TESTS_NETGATE_RIG_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netgate/netgate.h"

#define IDS 200000

struct rig {
	struct netpolicies *policies;
	struct netgate_settings settings;
	struct netgate *g;
	uint8_t verdicts[IDS]; /* how many a packet got */
	enum netgate_verdict last;
	uint32_t id, accepted, dropped, rejected, freezes, states, notices;
	uint32_t known, forgotten;
	struct ip hosts[1];
	struct netgate_pair pair; /* the last one known */
};

static void
on_verdict(void *arg, uint64_t id, enum netgate_verdict v)
{
	struct rig *r = arg;

	assert_true(id < IDS);
	assert_int_equal(r->verdicts[id], 0);
	r->verdicts[id]++;
	r->last = v == NETGATE_RELEASE ? NETGATE_ACCEPT : v;
	r->accepted += r->last == NETGATE_ACCEPT;
	r->dropped += v == NETGATE_DROP;
	r->rejected += v == NETGATE_REJECT;
}

static void
on_freeze(void *arg, const struct netgate_freeze *f)
{
	(void)f;
	((struct rig *)arg)->freezes++;
}

static void
on_thaw(void *arg, const struct ip *source, const char *who)
{
	(void)arg;
	(void)source;
	(void)who;
}

static void
on_notice(void *arg, const struct netgate_notice *notice)
{
	(void)notice;
	((struct rig *)arg)->notices++;
}

static void
on_state(void *arg)
{
	((struct rig *)arg)->states++;
}

static void
on_known(void *arg, const struct netgate_pair *pair)
{
	struct rig *r = arg;

	r->known++;
	r->pair = *pair;
}

static void
on_forget(void *arg, const struct netgate_pair *pair)
{
	(void)pair;
	((struct rig *)arg)->forgotten++;
}

static const struct netgate_ops ops = {
    .on_verdict = on_verdict,
    .on_freeze = on_freeze,
    .on_thaw = on_thaw,
    .on_notice = on_notice,
    .on_state = on_state,
    .on_known = on_known,
    .on_forget = on_forget,
};

static inline void
rig_make(struct rig *r, const struct netpolicy_conf *conf)
{
	struct netpolicy_conf paper = {.name = (char[]){"default"},
	    .profile = NETPOLICY_PAPER,
	    .freeze_at = 100};
	char err[256];

	r->policies =
	    netpolicies_new(conf != NULL ? conf : &paper, 1, err, sizeof(err));
	assert_non_null(r->policies);
	r->settings.policies = r->policies;
	if (r->settings.hosts_max == 0)
		r->settings.hosts_max = 1000;
	if (r->settings.held_max == 0)
		r->settings.held_max = 1000;
	r->settings.ipv6_prefix = 128;
	r->g = netgate_new(&r->settings, &ops, r, NULL);
}

static inline int
setup(void **state)
{
	*state = calloc(1, sizeof(struct rig));
	return 0;
}

static inline int
teardown(void **state)
{
	struct rig *r = *state;

	netgate_free(r->g);
	for (uint32_t i = 0; i < r->id; i++)
		assert_int_equal(r->verdicts[i], 1);
	netpolicies_free(r->policies);
	free(r);
	return 0;
}

static inline struct packet
packet(uint32_t src, uint32_t dst, uint8_t protocol)
{
	struct packet p = {.src = {.family = IP_V4},
	    .dst = {.family = IP_V4},
	    .protocol = protocol,
	    .sport = 1000,
	    .dport = 80,
	    .tcp_flags = PACKET_SYN,
	    .tcp_seq = dst};

	memcpy(p.src.bytes, &src, 4);
	memcpy(p.dst.bytes, &dst, 4);
	return p;
}

static const struct netgate_origin proven = {.proven = true};

static inline void
send_packet(struct rig *r, uint32_t src, uint32_t dst, int64_t now)
{
	struct packet p = packet(src, dst, IPPROTO_TCP);

	netgate_packet(r->g, r->id++, &p, proven, now, now + 1000000);
}

#endif
