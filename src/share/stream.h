/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream in the server that all relays of a site write to and read, one
 * sealed record after the other. It keeps the last so many for so long, for
 * relays that were away; each reads on from its mark. What a relay missed,
 * since the server has dropped it or was emptied, is said.
 *
 * One batch is on its way at a time; what is to be added is the owner's until
 * then. Entries that are not sealed by this site are passed over. Event loop's
 * thread.
 */
#ifndef SHARE_STREAM_H
#define SHARE_STREAM_H

#include "share/redis_link.h"
#include "share/seal.h"

#define STREAM_POLL_MS 250
#define STREAM_KEPT 100000 /* in the server */
#define STREAM_BATCH 48    /* records of one stream_add */

struct stream;

struct stream_mark {    /* all up to here was given to on_entry */
	uint64_t epoch; /* of the server's contents; 0: nothing was read */
	uint64_t at;
};

struct stream_settings {
	const char *name;  /* of the keys */
	const char *about; /* what the seal binds a record to */
	size_t plain_max;  /* bytes of a record */
	int64_t ttl_ms;    /* after the last one was added */
	bool is_from_now;  /* begins with what is added later, not at mark */
	struct stream_mark mark;
};

struct stream_ops {
	void (*on_entry)(void *arg, struct str plain);
	/* So many were missed; 0: it cannot be said how many. May be NULL. */
	void (*on_gap)(void *arg, uint64_t missed);
	/* is_all: there is no more now. False: nobody knows. */
	void (*on_read)(void *arg, bool is_all, int64_t now);
	/* Of stream_add. False: it may be there or not. */
	void (*on_added)(void *arg, bool is_there, int64_t now);
};

/* All but name, about and prefix are borrowed and live longer. */
struct stream *stream_new(struct loop *loop, struct redis_link *link,
    const struct seal *seal, const char *prefix,
    const struct stream_settings *settings, const struct stream_ops *ops,
    void *arg);
void stream_free(struct stream *s);  /* takes NULL; after the link */
void stream_start(struct stream *s); /* the link is up: it is read */
/* The link is up, and no batch is on its way. */
bool stream_is_ready(const struct stream *s);
/* n: 1 to STREAM_BATCH; records of up to plain_max. False: it is not ready, or
 * the link takes no more; on_added does not come. */
MUST_CHECK bool stream_add(
    struct stream *s, const struct str *records, size_t n);
/* One record, if the meter has room for it: count at once, then as many in each
 * window_ms, evenly (GCRA), for all relays together, by the server's time. It
 * need not be ready. fn: of redis_link_run; an integer, 1: it was added, 0: it
 * was not. False: the link is down, or takes no more. */
struct stream_meter {
	const char *domain; /* what is metered, also in the key's name */
	struct str name;    /* whose; hashed */
	uint32_t count;     /* 1 at least */
	int64_t window_ms;
};
MUST_CHECK bool stream_add_metered(struct stream *s, struct str record,
    const struct stream_meter *meter, redis_link_fn *fn, void *arg);
struct stream_mark stream_mark(const struct stream *s);

#endif
