/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way out for released mail: claims due messages from the spool, sends
 * them to the next hop over several connections, records the results, tries
 * again with growing pauses, bounces what is refused for good (RFC 5321
 * section 4.5.4, RFC 3464). Event loop's thread.
 */
#ifndef DELIVERY_DELIVERY_H
#define DELIVERY_DELIVERY_H

#include "delivery/nexthop.h"
#include "delivery/report_limit.h"
#include "os/events.h"
#include "spool/spool.h"

#define DELIVERY_WHY_MAX 256
#define DELIVERY_PROBLEM_MAX 512
#define DELIVERY_ENVID_MAX (SMTP_ENVID_MAX + 1)

struct delivery;
struct handed;
struct let_go;

struct delivery_settings {
	const char *hostname;   /* Reporting-MTA, bounce's From */
	const char *postmaster; /* who can help; NULL: postmaster@hostname */
	uint32_t concurrency;   /* messages under way at once */
	int64_t retry_min_ms, retry_max_ms; /* doubled from one to other */
	/* Then a bounce, but not before four tries: mail that was held for
	 * longer has its chance as well. 5 days. */
	int64_t max_age_ms;
	/* The sender of mail that waits for so long is told, once a message;
	 * 0: nobody is. */
	int64_t notify_after_ms;
	/* Notices to one address in so long; count 0: any number. */
	struct option_rate notify_limit;
	/* Reports of all kinds, for mail of one source and to one address. */
	struct option_rate report_rate, report_rate_address;
	/* Why this message's held recipients wait and for how long, to its
	 * sender: a sentence without a full stop, in ASCII. NULL: no words for
	 * it. Returns out. */
	const char *(*why_held)(void *arg, const struct spool_message *m,
	    char out[DELIVERY_WHY_MAX]);
	/* The next hop has taken a recipient of m (reply NULL), or has refused
	 * it for good, in answer to RCPT or to the text. NULL: nobody wants to
	 * know. */
	void (*on_end)(void *arg, const struct spool_message *m, size_t rcpt,
	    const struct smtp_reply *reply, bool to_rcpt);
	/* The ENVID of mail that came with none and has an envelope sender;
	 * false: it needs none. NULL: nothing does. */
	bool (*envid)(void *arg, const struct spool_message *m,
	    char out[DELIVERY_ENVID_MAX]);
	void *why_arg; /* of all three */
};

struct delivery *delivery_new(struct loop *loop, struct spool *spool,
    struct nexthop *nexthop, const struct delivery_settings *settings,
    struct events *events, struct counters *counters, struct log *log);
/* The next hop of messages of which the mail server kept a part (borrowed;
 * NULL: the same as of all). Before the first kick. */
void delivery_set_rest(struct delivery *d, struct nexthop *rest);
/* Notes what the next hop has taken under a queue id (borrowed; NULL: nobody
 * wants to know). */
void delivery_set_let_go(struct delivery *d, struct let_go *let_go);
void delivery_reload(
    struct delivery *d, const struct delivery_settings *settings);
/* Something was released, or the daemon has started. */
void delivery_kick(struct delivery *d, int64_t now, int64_t wall);
/* The source was frozen: of its mail what has no connection yet goes back to
 * the spool; what has one may end. */
void delivery_stop(struct delivery *d, const char *source, int64_t now);
/* An administrator says that the next hop is back: its rest is over. */
void delivery_try_now(struct delivery *d, int64_t now);
/* Claims nothing more; fn when the last message under way has ended. */
void delivery_drain(struct delivery *d, void (*fn)(void *arg), void *arg);
/* Whatever is under way is dropped; the spool sends it again after a restart.
 * No spool_dispatch may follow: answers to delivery would come to nobody. */
void delivery_free(struct delivery *d);
/* What keeps released mail waiting and wants an administrator, "" if nothing
 * does: the next hop asks for a login or for TLS that it does not get. */
const char *delivery_problem(const struct delivery *d);
/* What it handed to the next hop lately. */
struct handed *delivery_handed(struct delivery *d);
/* Messages under way. */
uint32_t delivery_active(const struct delivery *d);

#endif
