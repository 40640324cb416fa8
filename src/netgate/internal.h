/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What netgate's files share: hosts, waiting packets, the stages of an attempt.
 * An attempt goes through credit, the host's own throttle and the aggregate
 * limit in this order; it may wait in each, and is accepted behind the last.
 */
#ifndef NETGATE_INTERNAL_H
#define NETGATE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "netgate/credit.h"
#include "netgate/known.h"
#include "netgate/named.h"
#include "netgate/netgate.h"

#define FAST_MAX 64 /* pairs of a host that stay in the kernel */
#define HOST_KEY 17
#define FLOW_PACKETS 8 /* of a UDP flow that wait */

enum stage { STAGE_CREDIT, STAGE_SOURCE, STAGE_AGGREGATE, STAGE_DONE };

struct host;

/* One packet that asks to pass, and those of its flow that came while it
 * waited. It lives on the stack until it must wait. */
struct attempt {
	struct host *host;
	enum netgate_protocol protocol;
	enum stage stage;
	uint64_t destination;
	uint64_t packet_id;
	struct ip src, dst;
	uint16_t sport, dport;
	uint32_t tcp_seq;
	bool known; /* passed as a known destination */
	bool waited;
	/* No verdict: the kernel has it no more, or in observe mode let it go
	 * at once. */
	bool is_lost;
	uint8_t more_count;
	uint64_t more[FLOW_PACKETS - 1]; /* ids */
};

struct held {
	struct attempt a;
	struct list entry;  /* of its host */
	struct list credit; /* of its host, at STAGE_CREDIT */
	uint64_t ticket;
	int64_t queued_at; /* wall */
};

struct fast_pair {
	struct netgate_pair pair;
	int64_t until;
};

/* How a waiting packet ends. */
enum flush {
	FLUSH_RELEASE,
	FLUSH_REFUSE, /* its host is frozen: dropped or rejected */
	FLUSH_DROP,
};

struct host {
	uint32_t index; /* in netgate.hosts */
	struct ip ip; /* IP_NONE: the place that hosts beyond the bound share */
	char text[IP_TEXT_MAX + 8];
	const struct netpolicy *policy;
	/* Packets that only claim to be its own have a host of their own, which
	 * stands in no table: its throttle, queue and credit are apart. All
	 * else (what is known, frozen or not) is the owner's. */
	struct host *claimed; /* NULL: none */
	struct host *owner;   /* of a claimed one; NULL: it is no such */
	uint32_t claim;       /* a claimed one's number */
	uint64_t sender;      /* of all that was claimed; 0: not one alone */
	struct throttle_source *src[NETGATE_PROTOCOLS]; /* NULL: none */
	struct list held, credit_held;
	uint32_t held_count, credit_held_count, aggregate_held_count;
	struct list credit_entry, frozen_entry; /* in netgate's lists */
	struct known known;     /* by DNS, by an inbound contact */
	struct known contacted; /* paid for with credit */
	struct known pending;   /* first contacts without an outcome */
	struct credit credit;
	struct fast_pair *fast; /* FAST_MAX places, NULL: none yet */
	uint32_t fast_count;
	int64_t last_seen; /* mono */
	bool never_block;
	bool is_silent;  /* known by what came in for it alone */
	bool is_proven;  /* a packet of its own came by */
	bool freeze_due; /* the throttle has frozen it */
	enum throttle_freeze_reason throttle_reason;
	bool is_frozen;
	char *freeze_reason;  /* NULL: not frozen */
	int64_t frozen_at;    /* wall */
	int64_t frozen_since; /* mono */
	int64_t thaw_due;     /* mono, INT64_MAX: never */
	int64_t spared_at;    /* mono, of the last line about its queue */
	int64_t decoy_at;     /* mono, of the last line about a decoy */
};

struct netgate {
	struct netgate_settings settings;
	const struct netgate_ops *ops;
	void *arg;
	struct log *log;
	uint64_t seed;
	struct throttle *throttle[NETGATE_PROTOCOLS];
	struct throttle *aggregate; /* NULL: no such limit */
	struct throttle_policy aggregate_policy;
	struct throttle_source *aggregate_source;
	struct map *host_map;
	struct host **hosts;
	uint32_t host_count, host_cap;
	uint32_t silent_count;   /* of them */
	uint32_t unproven_count; /* of them, that nothing proves */
	uint32_t claimed_count;  /* hosts of what is claimed, beside them */
	uint32_t claims;         /* such hosts, ever */
	size_t extra_bytes;      /* of hosts: what is known, pairs */
	struct host *overflow;   /* not in hosts; NULL: never needed */
	struct held **slots;
	uint32_t *free_slots;
	uint32_t slot_count, slot_cap, free_count, held_count;
	uint32_t claimed_held, lost_held; /* of held_count */
	uint32_t more_held;               /* packets beside these */
	uint32_t generation;
	struct map *flows; /* struct held by connection */
	struct dns_streams *dns_streams;
	struct named named; /* by DNS, for everybody */
	struct list credit_hosts, frozen_hosts;
	uint32_t frozen_count;
	int64_t slow_due; /* thaws and credit, at the earliest */
	int64_t expire_due;
	uint32_t expire_pos;
	uint64_t counters[NETGATE_COUNT_MAX];
	int64_t now, wall; /* of the call that runs */
};

static inline void
count(struct netgate *g, enum netgate_counter which)
{
	g->counters[which]++;
}

static inline void
count_packets(
    struct netgate *g, enum netgate_counter which, const struct attempt *a)
{
	g->counters[which] += 1 + (uint64_t)a->more_count;
}

/* Time does not go backwards in here. */
static inline void
gate_enter(struct netgate *g, int64_t now)
{
	if (now > g->now)
		g->now = now;
}

/* ---- host.c ---- */

static inline struct host *
host_owner(struct host *h)
{
	return h->owner != NULL ? h->owner : h;
}

/* Never NULL: beyond the bound, the place that they share. */
struct host *host_get(struct netgate *g, const struct ip *ip);
/* Who answers for a packet: the host itself, or what is claimed in its name. */
struct host *host_get_sender(
    struct netgate *g, const struct ip *ip, struct netgate_origin origin);
struct host *host_find(struct netgate *g, const struct ip *ip); /* or NULL */
/* For what came in. Hosts that sent nothing yet have a share of the table and
 * no more, so that nobody outside can fill it. NULL: no room. */
struct host *host_get_inbound(struct netgate *g, const struct ip *ip);
const struct netpolicy *host_policy(struct netgate *g, const struct ip *ip);
/* known_add, with the memory counted. */
void host_remember(
    struct netgate *g, struct known *k, uint64_t hash, int64_t until);
struct throttle_source *host_source(
    struct netgate *g, struct host *h, enum netgate_protocol protocol);
void host_apply_policy(struct netgate *g, struct host *h);
void host_free(struct netgate *g, struct host *h);
/* Looks at some hosts and forgets those that are idle. */
void host_expire_some(struct netgate *g);
void host_on_source_expired(void *arg, struct throttle_source *src);
uint64_t host_destination(const struct netgate *g, const struct ip *dst);
void host_fast_add(struct netgate *g, const struct attempt *a);
void host_fast_clear(struct netgate *g, struct host *h);

/* ---- held.c ---- */

/* NULL: no room. */
struct held *held_new(struct netgate *g, const struct attempt *a);
struct held *held_find(const struct netgate *g, uint64_t ticket);
void held_free(struct netgate *g, struct held *held);
void held_set_lost(struct netgate *g, struct held *held, bool lost);
void held_set_stage(struct held *held, enum stage stage);
/* The waiting packet of the same connection or flow, or NULL. */
struct held *held_find_flow(const struct netgate *g, const struct attempt *a);
/* One more packet of it waits. False: too many do. */
MUST_CHECK bool held_add(struct netgate *g, struct held *held, uint64_t id);

/* ---- attempt.c ---- */

/* Goes on from its stage. held: where it waits already, or NULL; freed when a
 * verdict was given. */
void attempt_advance(struct netgate *g, struct attempt *a, struct held *held);
void attempt_refuse(struct netgate *g, const struct attempt *a, bool frozen);
void attempt_drop(struct netgate *g, const struct attempt *a);
/* Drops it, or rejects it if its policy says so for frozen hosts. */
void attempt_turn_away(struct netgate *g, const struct attempt *a);
void attempt_accept(struct netgate *g, const struct attempt *a);
/* It went to a decoy. True: its host is frozen, and it was refused. */
bool attempt_touch_decoy(struct netgate *g, const struct attempt *a);
void on_source_release(void *arg, struct throttle_source *src,
    uint64_t destination, uint64_t ticket);
/* Lets go what waits for credit while there is some. */
void attempt_drain_credit(struct netgate *g, struct host *h);

/* ---- freeze.c ---- */

void freeze_host(struct netgate *g, struct host *h, const char *reason);
void freeze_restore(struct netgate *g, struct host *h, const char *reason,
    int64_t frozen_at); /* as it was before a restart */
void freeze_check(struct netgate *g, struct host *h); /* after the throttle */
/* Its queue was another's until now. */
void freeze_check_length(struct netgate *g, struct host *h);
void on_source_freeze(
    void *arg, struct throttle_source *src, enum throttle_freeze_reason reason);
/* Ends all that waits; returns how many. */
uint64_t freeze_flush(struct netgate *g, struct host *h, enum flush how);
/* Ends one that is in no queue of the throttle any more. */
void freeze_end(struct netgate *g, struct held *held, enum flush how);
/* thaw_after may have changed. */
void freeze_set_thaw(struct netgate *g, struct host *h);
/* Takes one out of the queues of the throttle. */
void freeze_unqueue(struct netgate *g, struct held *held);
void thaw_host(struct netgate *g, struct host *h, const char *who);

#endif
