/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What senders spend at one relay, told to the others: new recipients that mail
 * went to, and messages that named one. Each relay decides by itself and takes
 * what the others spent off its own allowance, so no mail waits for an answer;
 * what is on its way, and what nobody could be told during an outage, is what
 * relays may let through beyond one allowance. During an outage it is added up
 * and told afterwards. Event loop's thread.
 */
#ifndef SHARE_SPENDS_H
#define SHARE_SPENDS_H

#include "share/stream.h"

#define SPENDS_TTL_MS (2 * 24 * INT64_C(3600000))
#define SPENDS_SENDERS_MAX 10000 /* not told yet; more are left out */
#define SPENDS_COUNT_MAX 100000  /* of one sender */

struct spends;

typedef void spends_fn(
    void *arg, const char *sender, uint32_t recipients, uint32_t messages);

/* All but prefix are borrowed and live longer. fn hears what other relays'
 * senders spent since this one was there first. */
struct spends *spends_new(struct loop *loop, struct redis_link *link,
    const struct seal *seal, const char *prefix, spends_fn *fn, void *arg);
void spends_free(struct spends *s); /* takes NULL; after the link */
void spends_note(struct spends *s, const char *sender, uint32_t recipients,
    uint32_t messages);
/* The link is up. */
void spends_start(struct spends *s);

/* What is sealed; for tests. False: it is no such text. sender is borrowed. */
struct spend {
	uint64_t relay;
	uint32_t recipients, messages;
	struct str sender;
};
MUST_CHECK bool spend_write(const struct spend *v, struct buf *out);
MUST_CHECK bool spend_read(struct str in, struct spend *out);

#endif
