/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Alerts: what is to be told lies in the spool from the moment it is known
 * until it was told, a message for many things at once, one message of a
 * section on its way at a time, tried again until it is taken or retry_for is
 * over. Nothing here waits for a disk or a network.
 *
 * A message that was not surely taken is sent again under the same id. Event
 * loop's thread; `now` is monotonic ms, `wall` wall-clock ms.
 */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include "alert/alert_conf.h"
#include "alert/alert_item.h"
#include "alert/alert_text.h"
#include "os/counters.h"
#include "os/log.h"
#include "spool/spool.h"

#define ALERT_ITEMS_MAX 2000 /* a section, waiting or going on */
#define ALERT_RETRY_MIN_MS 10000
#define ALERT_RETRY_MAX_MS 600000
/* Mail of weir's own in the spool: spool_message.policy. */
#define ALERT_POLICY "alert"
#define ALERT_WARN_AGAIN_MS (24 * INT64_C(3600000)) /* to a sender */

struct alert;

/* How a message ended. */
typedef void alert_sent_fn(void *arg, bool taken, const char *why);

struct alert_ops {
	/* Sends one, which is whatever but mail without a next_hop of its own;
	 * fn once, never from within. */
	void (*send)(void *arg, const struct alert_voice *v,
	    const struct alert_conf *c, const struct alert_batch *b,
	    alert_sent_fn *fn, void *fn_arg);
	/* Mail lies in the spool, due. */
	void (*on_mail)(void *arg);
	/* alert_next_due may have become earlier. */
	void (*on_schedule)(void *arg);
	/* For what comes back from elsewhere. */
	void (*time)(void *arg, int64_t *now, int64_t *wall);
};

struct alert_settings { /* borrowed until the next alert_reload */
	const struct alert_conf *confs; /* checked */
	size_t count;
	struct alert_voice voice;
};

struct alert *alert_new(struct spool *spool, const struct alert_ops *ops,
    void *arg, const struct alert_settings *settings, struct counters *counters,
    struct log *log);
/* No operation may call back after it. */
void alert_free(struct alert *a); /* takes NULL */
/* At the start: what the spool has. *crashed: the daemon before this one did
 * not come to alert_stop. 0 or errno. */
MUST_CHECK int alert_load(
    struct alert *a, int64_t now, int64_t wall, bool *crashed);
/* A clean end is next. */
void alert_stop(struct alert *a);
/* What waits for a section that is gone is dropped. */
void alert_reload(
    struct alert *a, const struct alert_settings *settings, int64_t now);

/* Is anybody to be told of it? */
bool alert_is_wanted(const struct alert *a, enum alert_event event);
/* It happened, or goes on: what goes on already is not told again. to not "":
 * the sender itself is told as well (notify_sender), not the sections alone. */
void alert_raise(struct alert *a, const struct alert_facts *facts, int64_t now,
    int64_t wall);
/* Something that lasted is over. */
void alert_end(struct alert *a, enum alert_event event, const char *subject,
    const char *detail, int64_t now, int64_t wall);
/* The same for all of the event whose subject (alert_shown) is not in the map:
 * they ended while nobody looked. */
struct map;
void alert_end_others(struct alert *a, enum alert_event event,
    const struct map *open, int64_t now, int64_t wall);

int64_t alert_next_due(const struct alert *a); /* monotonic */
void alert_run(struct alert *a, int64_t now, int64_t wall);

/* Sends a test by one section at once. False: there is no such section. */
MUST_CHECK bool alert_test(struct alert *a, const char *name, int64_t now,
    int64_t wall, alert_sent_fn *fn, void *arg);

struct alert_status { /* borrowed */
	const char *name, *channel;
	uint32_t waiting;  /* to be told */
	uint32_t lasting;  /* told, and goes on */
	uint32_t attempts; /* of the message on its way; 0: none, or first */
	bool is_sending;   /* there is such a message */
	const char *last_error; /* "": the last one was taken */
	int64_t last_sent;      /* wall; 0: none since the start */
};
/* The sections in their order: i from 0 until false. */
bool alert_status_of(const struct alert *a, size_t i, struct alert_status *out);

#endif
