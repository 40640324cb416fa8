/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traffic for weir-netd: who opened a connection or a UDP flow, to whom, and
 * when; from a capture also what came in that weir-netd learns from. A trace in
 * its normal form is
 *
 *	t source destination protocol port	one a line; t in seconds from
 *						the first, with a fraction,
 *						never backwards; a source or
 *						destination is an IP address or
 *						any word that stands for one;
 *						protocol 6 (TCP) or 17 (UDP)
 *
 * Read line by line, checked and bounded. Pure.
 */
#ifndef REPLAY_FLOWS_H
#define REPLAY_FLOWS_H

#include "base/err.h"
#include "base/map.h"
#include "packet/packet.h"

#define FLOWS_SECONDS_MAX 1500000000 /* 47 years */
#define FLOWS_MAX 20000000
#define FLOWS_WORDS_MAX 2000000             /* addresses */
#define FLOWS_WORD_MAX 64                   /* bytes of one */
#define FLOWS_BYTES_MAX (UINT32_C(1) << 30) /* of packets that came in */
#define FLOWS_PACKET_MAX 65535

enum flow_kind {
	FLOW_OPEN,
	/* What came in: of these, bytes is where the packet lies. */
	FLOW_ANSWER,  /* to what the host began */
	FLOW_CONTACT, /* begins something */
};

struct flow {
	int64_t at;        /* ms */
	uint32_t src, dst; /* addresses, numbered from 0; OPEN */
	uint32_t seq;      /* OPEN: of its SYN; else an offset into bytes */
	uint16_t sport, dport;
	uint8_t protocol;
	uint8_t kind; /* enum flow_kind */
};

struct flows {
	struct flow *v;
	uint32_t count, cap;
	uint32_t opened;   /* of these, OPEN */
	struct map *words; /* address to its number, from 1; NULL: none */
	struct ip *ips;    /* by number */
	uint32_t ip_cap;
	uint8_t *bytes; /* each packet behind two bytes of its length */
	uint32_t byte_count, byte_cap;
};

/* False: what is wrong with the line in why. lines_fn. */
MUST_CHECK bool flows_add_line(void *flows, struct str line, struct err *why);
/* A packet that opens something. at is not before that of the last. */
MUST_CHECK bool flows_open(
    struct flows *f, int64_t at, const struct packet *p, struct err *why);
/* One that came in, from its IP header on; at most FLOWS_PACKET_MAX bytes. */
MUST_CHECK bool flows_learn(struct flows *f, int64_t at, enum flow_kind kind,
    struct str packet, struct err *why);
/* The packet of one that came in. */
struct str flows_packet(const struct flows *f, const struct flow *flow);
uint32_t flows_address_count(const struct flows *f);
int64_t flows_length(const struct flows *f); /* ms */
void flows_clear(struct flows *f);

#endif
