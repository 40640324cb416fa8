/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The decision about packets: which host, which policy, and for each new
 * attempt accept, hold or refuse. Owns the throttle's state for TCP and UDP
 * and knows which packets wait in the kernel; touches no socket. A verdict on
 * every packet is given through ops, at once or later, and exactly once.
 *
 * Memory is bounded: hosts_max hosts (those beyond share one place and are
 * throttled together), held_max waiting packets. `now` is monotonic ms, `wall`
 * is stored and shown. Event loop's thread.
 */
#ifndef NETGATE_NETGATE_H
#define NETGATE_NETGATE_H

#include "base/buf.h"
#include "base/ip_ranges.h"
#include "netgate/netpolicy.h"
#include "os/log.h"
#include "packet/packet.h"

/* RELEASE: an accept of one that waited. */
enum netgate_verdict {
	NETGATE_ACCEPT,
	NETGATE_RELEASE,
	NETGATE_DROP,
	NETGATE_REJECT
};

enum netgate_protocol { NETGATE_TCP, NETGATE_UDP, NETGATE_PROTOCOLS };

/* Whose packet it is: of the address that it names (proven), or of somebody who
 * may have made the address up. What is claimed has a throttle beside the
 * address's own, and never freezes anybody; once its sender is proven it counts
 * as the address's own, if nobody else had a share in it. */
struct netgate_origin {
	bool proven;
	uint64_t sender; /* who sent the frame: its name; 0: not told */
};

struct netgate_freeze { /* borrowed during the callback */
	struct ip source;
	const char *text; /* the address in words */
	const char *policy, *reason;
	uint32_t queue_length, freeze_at;
	int64_t at; /* wall ms */
};

/* What may stay in the kernel: traffic of a host to an address; or, with
 * settings.fast_path_ports, to one port of it by one protocol. */
struct netgate_pair {
	struct ip src, dst;
	uint8_t protocol; /* IPPROTO_TCP, _UDP; 0 and port 0: any */
	uint16_t port;
};

/* What an administrator should hear of, though nobody was frozen. */
enum netgate_notice_kind { NETGATE_NOTICE_DECOY, NETGATE_NOTICE_FULL };

struct netgate_notice { /* borrowed during the callback */
	enum netgate_notice_kind kind;
	const char *text; /* the address in words */
	const char *why;  /* it was not frozen */
	struct ip dst;    /* the decoy; IP_NONE: none */
	int64_t at;       /* wall ms */
};

struct netgate_ops {
	void (*on_verdict)(
	    void *arg, uint64_t packet_id, enum netgate_verdict verdict);
	void (*on_freeze)(void *arg, const struct netgate_freeze *freeze);
	void (*on_thaw)(void *arg, const struct ip *source, const char *who);
	void (*on_notice)(void *arg, const struct netgate_notice *notice);
	/* A frozen host came or went: its state is to be stored. */
	void (*on_state)(void *arg);
	/* It may stay in the kernel for a while / must come by again. May be
	 * NULL. */
	void (*on_known)(void *arg, const struct netgate_pair *pair);
	void (*on_forget)(void *arg, const struct netgate_pair *pair);
};

struct netgate_settings { /* borrowed until the next netgate_reload */
	const struct netpolicies *policies;
	bool observe;
	uint32_t hosts_max, held_max;
	unsigned ipv6_prefix; /* hosts with so many bits in common are one */
	int64_t fast_path_ms; /* how long a pair stays in the kernel; 0: off */
	bool fast_path_ports; /* pairs are of one protocol and port */
	const struct option_rates *aggregate_limit;
	const struct ip_net *never_block;
	size_t never_block_count;
	const struct ip_net *dns_servers; /* whose answers count; none: all */
	size_t dns_server_count;
	const struct ip_net *dns_resolvers; /* who asks for all */
	size_t dns_resolver_count;
	const struct ip_ranges *decoys; /* addresses that nobody uses; NULL */
};

/* X(identifier, "name", "what it counts") */
#define NETGATE_COUNTERS(X)                                                   \
	X(PACKETS, "packets", "packets seen")                                 \
	X(PASSED, "passed_recipients", "packets passed without delay")        \
	X(KNOWN, "passed_known", "of these, to known destinations")           \
	X(DELAYED, "delayed_recipients", "packets held")                      \
	X(RELEASED, "released_recipients", "held packets released")           \
	X(LOST, "lost_packets", "held packets that the kernel dropped")       \
	X(DISCARDED, "discarded_recipients", "held packets discarded")        \
	X(REFUSED, "refused_recipients", "new packets dropped or rejected")   \
	X(OBSERVED, "observed_holds",                                         \
	    "packets that enforce mode would have held or refused")           \
	X(COPIES, "syn_copies", "copies of a waiting SYN dropped")            \
	X(FLOW_DROPPED, "flow_dropped",                                       \
	    "packets dropped because eight of their UDP flow were waiting")   \
	X(DISALLOWED, "disallowed_packets",                                   \
	    "packets to destinations not in allow")                           \
	X(FREEZES, "freezes", "hosts frozen")                                 \
	X(SPARED, "spared_freezes", "full queues of hosts in never_block")    \
	X(DECOYS, "decoy_touches", "packets to decoys")                       \
	X(CLAIMED, "unproven_packets",                                        \
	    "packets whose source address may be forged")                     \
	X(CLAIMED_FULL, "unproven_dropped",                                   \
	    "of these, dropped because their queue was full")                 \
	X(DNS_ANSWERS, "dns_answers", "DNS answers read")                     \
	X(INBOUND, "inbound_contacts", "inbound contacts")                    \
	X(SUCCESSES, "successes", "successful first contacts")                \
	X(FAILURES, "failures", "refused first contacts")                     \
	X(OVERFLOWED, "crowded_packets", "packets of hosts beyond hosts_max") \
	X(OVERFLOW, "held_overflow", "packets dropped at held_max")

enum netgate_counter {
#define NETGATE_ENUM(id, name, doc) NETGATE_COUNT_##id,
	NETGATE_COUNTERS(NETGATE_ENUM)
#undef NETGATE_ENUM
	    NETGATE_COUNT_MAX
};

extern const char *const netgate_counter_name[NETGATE_COUNT_MAX];

struct netgate;

struct netgate *netgate_new(const struct netgate_settings *settings,
    const struct netgate_ops *ops, void *arg, struct log *log);
/* Waiting packets are dropped: their senders try again. */
void netgate_free(struct netgate *g);
void netgate_reload(
    struct netgate *g, const struct netgate_settings *settings, int64_t now);
const uint64_t *netgate_counters(const struct netgate *g);

/* A packet on its way out; packet_id is the caller's name for it. TCP other
 * than a first SYN is accepted, as is what is neither TCP nor UDP. */
void netgate_packet(struct netgate *g, uint64_t packet_id,
    const struct packet *p, struct netgate_origin origin, int64_t now,
    int64_t wall);
/* A packet on its way in, to learn from; it gets no verdict here. An answer
 * belongs to what the host began: DNS answers, SYN-ACK, RST, unreachable. A
 * contact begins something; it may claim to be anything. */
enum netgate_inbound { NETGATE_ANSWER, NETGATE_CONTACT };
void netgate_watch(struct netgate *g, const struct packet *p,
    enum netgate_inbound what, int64_t now);

/* A packet that had waited was let go, and was there no more. */
void netgate_count_lost(struct netgate *g);
/* The kernel has thrown away all that waits. It gets no verdict any more; a SYN
 * keeps its place for its next copy. */
void netgate_lose_held(struct netgate *g, int64_t now);

/* Releases what is due, thaws, forgets idle hosts step by step. */
void netgate_run(struct netgate *g, int64_t now, int64_t wall);
int64_t netgate_next_due(const struct netgate *g); /* INT64_MAX: never */

/* ---- the administrator; text: an address ---- */

struct netgate_host_info {
	char source[IP_TEXT_MAX + 8];
	bool frozen;
	bool proven;               /* a packet of its own came by */
	const char *freeze_reason; /* NULL: not frozen */
	const char *policy;
	uint32_t queue_length, allowance, working_set, credit;
	uint32_t freeze_at, burst, working_set_max; /* of its policy */
	uint32_t waiting[NETGATE_PROTOCOLS];
	uint32_t waiting_claimed; /* of these, not proven */
	int64_t last_seen, frozen_at, thaw_at, next_release; /* wall, 0: none */
};

struct netgate_held_info {
	uint64_t id;
	char source[IP_TEXT_MAX + 8], dst[IP_TEXT_MAX];
	const char *protocol, *stage;
	uint16_t sport, dport;
	int64_t queued_at; /* wall ms */
};

enum netgate_thaw {
	NETGATE_THAW_KEEP,
	NETGATE_THAW_RELEASE,
	NETGATE_THAW_DISCARD
};

size_t netgate_host_count(const struct netgate *g);
size_t netgate_frozen_count(const struct netgate *g);
size_t netgate_held_count(const struct netgate *g);
size_t netgate_memory(const struct netgate *g); /* about, in bytes */
/* Start with *pos = 0. */
bool netgate_host_each(struct netgate *g, size_t *pos, int64_t now,
    int64_t wall, struct netgate_host_info *out);
bool netgate_host_find(struct netgate *g, struct str text, int64_t now,
    int64_t wall, struct netgate_host_info *out);
bool netgate_held_each(
    const struct netgate *g, size_t *pos, struct netgate_held_info *out);
#define NETGATE_NOTE_MAX 200 /* bytes */
/* By hand; note: why, a line of shown text, or NULL. A host never seen may be
 * frozen too. False: not an address, or hosts_max are remembered already. */
MUST_CHECK bool netgate_freeze(struct netgate *g, struct str text,
    const char *note, int64_t now, int64_t wall);
/* False: no such host. count: packets let go or dropped. */
MUST_CHECK bool netgate_thaw(struct netgate *g, struct str text,
    enum netgate_thaw what, const char *who, int64_t now, uint64_t *count);
/* Releases or drops waiting packets: those of ids, or of one host, or all. */
struct netgate_select {
	const uint64_t *ids;
	size_t id_count;
	struct str source; /* empty: none */
	bool all;
};
uint64_t netgate_release(
    struct netgate *g, const struct netgate_select *select, int64_t now);
uint64_t netgate_discard(
    struct netgate *g, const struct netgate_select *select, int64_t now);

/* ---- frozen hosts, across a restart ---- */

/* A line per frozen host. False: out is full. */
MUST_CHECK bool netgate_save(const struct netgate *g, struct buf *out);
/* Read-back text is hostile: a line that cannot be read is counted in *bad and
 * passed over. Returns how many hosts were frozen. */
size_t netgate_load(
    struct netgate *g, struct str text, int64_t now, int64_t wall, size_t *bad);

#endif
