/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the alerts' files share: a route and its batch (alert.c, alert_batch.c),
 * how items come and go (alert_raise.c), and how all of it is stored
 * (alert_store.c).
 */
#ifndef ALERT_ALERT_PRIVATE_H
#define ALERT_ALERT_PRIVATE_H

#include "alert/alert.h"

enum batch_state {
	BATCH_NONE,
	BATCH_STORING, /* the spool is at it */
	BATCH_WAITING, /* for its (next) try */
	BATCH_SENDING,
};

struct alert_route {
	struct list entry;
	struct alert *alert;
	char *name;
	const struct alert_conf *conf; /* NULL: gone, or to senders */
	bool is_senders;
	bool is_gone; /* waits for the end of what it sends */
	struct list items;
	size_t item_count;
	uint32_t omitted; /* past ALERT_ITEMS_MAX */
	int64_t first_at; /* when the oldest waiting one came; now */

	struct alert_batch *batch;
	bool is_stored; /* the batch, as a row */
	enum batch_state state;
	int64_t due; /* WAITING; now */
	uint32_t attempts;
	char *last_error;
	int64_t last_sent;

	int64_t window_at; /* group_limit's, now */
	uint32_t window_count;
};

struct grave { /* a row to be removed */
	struct list entry;
	uint64_t row;
};

struct alert {
	struct spool *spool;
	const struct alert_ops *ops;
	void *arg;
	struct alert_settings settings;
	struct counters *counters;
	struct log *log;
	struct list routes; /* in the order of the file, senders last */
	struct alert_route *senders;
	struct list graves;
	struct list savings, tests; /* under way */
	bool is_saving, is_dirty;
	int64_t save_at; /* now; INT64_MAX: nothing to save */
	int64_t now, wall;
};

/* A commit under way. */
struct alert_saving {
	struct list entry;
	struct alert *alert;
	uint64_t *graves; /* to be dug again */
	size_t grave_count;
	struct alert_route *batch; /* whose batch is in it; NULL: none's */
	alert_sent_fn *fn;         /* of a test by mail */
	void *arg;
};

static inline struct alert_item *
item_of(struct list *e)
{
	return LIST_ITEM(e, struct alert_item, entry);
}

/* alert.c */
void alert_route_free(struct alert_route *r);
bool alert_route_wants(const struct alert_route *r, enum alert_event event);
/* By weir's own delivery. */
bool alert_route_is_by_spool(const struct alert_route *r);
enum alert_channel alert_route_channel(const struct alert_route *r);
/* One more of the counter of its channel. */
void alert_route_count_result(struct alert *a, const struct alert_route *r,
    enum counter mail, enum counter webhook, enum counter command);
void alert_set_now(struct alert *a, int64_t now, int64_t wall);
/* The time of whoever comes back from elsewhere. */
void alert_refresh(struct alert *a);
void alert_schedule(struct alert *a);

/* alert_store.c */
void alert_bury(struct alert *a, uint64_t row); /* the row is to go */
void alert_route_drop_item(struct alert_route *r, struct alert_item *item);
void alert_start_save(struct alert *a, int64_t now);
/* What differs from the spool. r: whose batch waits for this, as a row or as
 * mail; NULL: none's. */
void alert_save(struct alert *a, struct alert_route *r,
    const struct spool_message *mail, struct str text);
void alert_on_saved(void *arg, int error); /* arg: struct alert_saving */
struct alert_saving *alert_saving_new(
    struct alert *a, struct alert_route *batch);
void alert_saving_free(struct alert_saving *s);

/* alert_raise.c */
bool alert_route_is_waiting(
    const struct alert_route *r); /* something is to be told */
void alert_route_want(
    struct alert_route *r, struct alert_item *item, enum alert_want what);

/* alert_batch.c */
struct alert_batch *alert_make_batch(struct alert *a);
/* What waits, or a batch that could not be stored, becomes a batch that is. */
void alert_route_begin_batch(struct alert_route *r);
void alert_route_send_batch(struct alert_route *r);
void alert_route_on_stored(struct alert_route *r, int error);
/* As a message of weir's own; test: not the route's batch. */
void alert_route_put_mail(struct alert_route *r, const struct alert_batch *b,
    struct alert_saving *test);

#endif
