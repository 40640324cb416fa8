/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A capture (pcap, pcapng) as flows: what the hosts of some networks open, and
 * what comes in to them that weir-netd learns from. Connection tracking is
 * imitated, as weir-netd's rules ask the kernel's: only what begins something
 * counts, an answer is one to what a host began. Packet by packet, bounded: a
 * table of fixed size in which the oldest flow gives way.
 */
#ifndef REPLAY_CAPTURE_H
#define REPLAY_CAPTURE_H

#include "replay/flows.h"

struct capture_stats {
	uint64_t packets;
	uint64_t not_ip, broken, foreign; /* foreign: no side is ours */
	uint64_t broadcast;      /* and multicast, which weir-netd never sees */
	uint64_t opened, copies; /* copies of a SYN */
	uint64_t answers, contacts, followed;
};

struct capture;

/* nets: whose hosts are throttled; borrowed, NULL: private addresses. */
struct capture *capture_new(
    struct flows *flows, const struct ip_net *nets, size_t net_count);
void capture_free(struct capture *c);
/* A frame; type: a DLT_ of libpcap. Times that run backwards are those of the
 * frame before. False: what is wrong in why. */
MUST_CHECK bool capture_take(struct capture *c, int type, int64_t at_ms,
    struct str frame, struct err *why);
const struct capture_stats *capture_stats(const struct capture *c);

/* The file, packed or not, is a capture by its first bytes. False also: it
 * cannot be read. */
bool capture_is(const char *path);
/* 0, or a sysexits status with why in err. */
MUST_CHECK int capture_read(
    const char *path, struct capture *c, struct err *err);

#endif
