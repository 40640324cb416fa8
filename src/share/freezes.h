/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is frozen, kept the same at all relays of a site by way of a Redis or
 * Valkey server. Each relay's own disk stays the truth for that relay; the
 * server only carries what changed. A relay that cannot reach it goes on by
 * itself, and what it missed and what the others missed is made up when it
 * comes back:
 *
 *	- what one relay froze and no other has heard of is frozen everywhere,
 *	  also where somebody thawed the same sender at another relay meanwhile;
 *	- a thaw that nobody contradicted reaches all;
 *	- an empty server is filled again from what the relays know.
 *
 * Changes are looked for every POLL ms; an answer that takes longer than the
 * deadline is an outage. Event loop's thread.
 */
#ifndef SHARE_FREEZES_H
#define SHARE_FREEZES_H

#include "share/redis_link.h"
#include "share/seal.h"

#define FREEZES_POLL_MS 250
#define FREEZES_TTL_MS (35 * 24 * INT64_C(3600000)) /* without any relay */
#define FREEZES_SENDER_MAX 512
#define FREEZES_TEXT_MAX 256 /* of who and why */

struct freezes;

struct freezes_settings { /* copied */
	struct redis_link_settings link;
	struct str secret;  /* the site's */
	const char *prefix; /* of keys */
	const char *relay;  /* this one's name, for the others' logs */
};

enum freezes_then { FREEZES_KEEP, FREEZES_RELEASE, FREEZES_DISCARD };

struct freezes_change {     /* borrowed */
	const char *sender; /* key of the source */
	bool is_frozen;
	const char *relay;      /* where it was done */
	const char *who;        /* by whom; "" or NULL: a rule */
	const char *why;        /* of a freeze, in words; NULL: "" */
	enum freezes_then then; /* of a thaw: what becomes of its queue */
	int64_t at;             /* wall ms */
	int64_t thaw_at;        /* wall ms; 0: by hand alone */
};

struct freezes_ops {
	/* At another relay. The owner makes it so here, durably, and then says
	 * freezes_applied; what freezes_note hears of it is no news. */
	void (*on_change)(void *arg, const struct freezes_change *change);
	/* The server is there, and both sides know all; or it was lost, or
	 * could not be reached at the start. Once for each turn of this. */
	void (*on_up)(void *arg);
	void (*on_down)(void *arg, const char *why);
	/* A server of a cluster went up or down, or is in it no more (without
	 * slots). */
	void (*on_node)(void *arg, const struct redis_link_node *node);
	int64_t (*wall)(void *arg);
};

struct freezes *freezes_new(struct loop *loop,
    const struct freezes_settings *settings, const struct freezes_ops *ops,
    void *arg);
void freezes_free(struct freezes *f); /* takes NULL */
/* What this relay's disk knew at the start, before the loop runs. */
void freezes_load(struct freezes *f, const struct freezes_change *change);
/* Something was done here, and is durable. relay is left out. */
void freezes_note(struct freezes *f, const struct freezes_change *change);
/* The change of that sender which on_change told was carried out, or was not
 * (it is told again). */
void freezes_applied(struct freezes *f, const char *sender, bool ok);

struct freezes_info {
	bool is_up;
	int64_t since;   /* wall ms of the last turn */
	const char *why; /* of the outage; "" */
	uint64_t sent, received;
	size_t waiting; /* changes that the server has not heard of */
	size_t frozen;
	struct redis_link_memory memory;
	const struct redis_link *link; /* for redis_link_node */
};
/* For others who share the server. Borrowed. */
struct redis_link *freezes_link(struct freezes *f);
const struct seal *freezes_seal(const struct freezes *f);
void freezes_info(const struct freezes *f, struct freezes_info *out);

#endif
