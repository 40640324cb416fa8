/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A netfilter queue: packets from the kernel, verdicts back to it. A packet
 * waits in the kernel under its id until its verdict. Verdicts are collected
 * and sent together at the end of a turn of the loop. Needs CAP_NET_ADMIN in
 * the network namespace that it is made in. Event loop's thread.
 */
#ifndef NFQ_NFQUEUE_H
#define NFQ_NFQUEUE_H

#include "base/str.h"
#include "net/loop.h"

/* PASS: the packet is accepted, or with set_repeat goes through the chain
 * again, from its start, with pass_mark set in its mark; a rule of ours there
 * takes the mark off and lets it on to the rules of others, which an accept
 * would pass over. MARKED: it is accepted with reject_mark set. */
/* RELEASE: a pass whose packet waited: should it have gone, on_lost is told. */
enum nfqueue_verdict {
	NFQUEUE_PASS,
	NFQUEUE_RELEASE,
	NFQUEUE_DROP,
	NFQUEUE_MARKED
};

struct nfqueue_options {
	uint16_t number;
	uint32_t length;     /* packets that may wait in the kernel */
	uint32_t copy_bytes; /* of each packet */
	bool fail_open;      /* a full queue accepts */
	uint32_t pass_mark, reject_mark;
};

#define NFQUEUE_MAC 6 /* bytes; an interface without such has none */

struct nfqueue_packet { /* borrowed during the callback */
	uint32_t id;
	uint8_t hook;     /* NF_INET_* */
	struct str bytes; /* from its IP header, cut to copy_bytes */
	uint32_t mark;    /* goes back with the verdict */
	uint32_t indev;   /* index of the interface it came by; 0: none */
	struct str mac;   /* whose frame it was; empty: not told */
};

struct nfqueue_ops {
	void (*on_packet)(
	    void *arg, const struct nfqueue_packet *packet, int64_t now);
	void (*on_lost)(void *arg); /* may be NULL */
	/* Every packet of a turn was handed over. */
	void (*on_turn)(void *arg, int64_t now);
};

struct nfqueue_stats {
	uint64_t packets, verdicts, batches;
	uint64_t overruns; /* ENOBUFS: the socket was full, packets were lost or
			      passed */
	uint64_t loops;    /* packets that came again, since no rule took
			      pass_mark for a pass: they were accepted */
	uint64_t lost;     /* verdicts on packets that the kernel had thrown
			      away */
	uint64_t errors;   /* verdicts that it refused otherwise */
};

struct nfqueue;

/* NULL and a reason in err: no permission, no such feature, queue taken. */
struct nfqueue *nfqueue_new(struct loop *loop,
    const struct nfqueue_options *options, const struct nfqueue_ops *ops,
    void *arg, char *err, size_t cap);
/* Unbinds: the kernel drops what waits. */
void nfqueue_free(struct nfqueue *q);
/* How packets pass; at first they are accepted. */
void nfqueue_set_repeat(struct nfqueue *q, bool repeats);
/* mark: the packet's own. */
void nfqueue_set_verdict(struct nfqueue *q, uint32_t id, uint32_t mark,
    enum nfqueue_verdict verdict);
/* True: packets wait for a verdict of ours, and the kernel has none of them any
 * more. Reads a file of /proc. They are forgotten here. */
bool nfqueue_lost_all(struct nfqueue *q);
const struct nfqueue_stats *nfqueue_get_stats(const struct nfqueue *q);

#endif
