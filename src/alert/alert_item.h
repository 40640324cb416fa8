/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One thing that is to be told, or was told and goes on; and a message of one
 * or many of them. As they lie in the spool: JSON, read back as hostile.
 */
#ifndef ALERT_ALERT_ITEM_H
#define ALERT_ALERT_ITEM_H

#include "alert/alert_event.h"
#include "base/list.h"

#include <jansson.h>

#define ALERT_TEXT_MAX 1024  /* bytes of any text of it */
#define ALERT_DIGEST_MAX 100 /* items that a message describes */
#define ALERT_ID_MAX 40

enum alert_want { /* what is to be told of it next */
	ALERT_WANT_NONE,
	ALERT_WANT_NEW,
	ALERT_WANT_REMIND,
	ALERT_WANT_END,
	ALERT_WANTS
};

/* What is known of it. Texts are from strangers, and are made fit to be shown
 * when an item is made of them. */
struct alert_facts {
	enum alert_event event;
	const char *subject;     /* the sender or the thing */
	const char *detail;      /* why */
	const char *policy;      /* "": none */
	const char *clients;     /* one a line, "": unknown */
	const char *subjects;    /* the same, of its mail */
	const char *to;          /* notify_sender: the sender's address */
	const char *contact;     /* who helps the sender */
	const char *ticket;      /* of ALERT_RELEASE; NULL: none */
	const char *destination; /* the same */
	uint32_t waiting, limit; /* limit 0: not told */
	uint32_t passed;
	int64_t since; /* wall ms */
};

struct alert_item {
	struct list entry;
	uint64_t row;
	enum alert_event event;
	enum alert_want want;
	char *subject, *detail, *policy, *clients, *subjects, *to, *contact;
	char *ticket, *destination; /* "": none */
	uint32_t waiting, limit, passed;
	uint32_t count;                    /* how often, until it was told */
	int64_t since, ended, reported_at; /* wall ms; 0: not yet */
	bool is_dirty;                     /* the spool has another state */
};

/* A message that is on its way. */
struct alert_batch {
	uint64_t row;
	char id[ALERT_ID_MAX]; /* the same at each try */
	int64_t at;            /* wall ms, when it was made */
	struct list items;     /* up to ALERT_DIGEST_MAX */
	uint32_t omitted;      /* more of them, not described */
};

struct alert_item *alert_item_new(const struct alert_facts *facts);
/* The facts may have changed; what was told of it stays. */
void alert_item_update(
    struct alert_item *item, const struct alert_facts *facts);
struct alert_item *alert_item_copy(const struct alert_item *item);
void alert_item_free(struct alert_item *item); /* out of its list */
/* Subjects are compared in the form that items have them in. */
char *alert_shown(const char *text);

struct alert_batch *alert_batch_new(void);
void alert_batch_free(struct alert_batch *b); /* takes NULL */

/* For the spool; heap. */
char *alert_item_store(const struct alert_item *item);
char *alert_batch_store(const struct alert_batch *b);
/* *batch or *item is set. False: it is neither. */
MUST_CHECK bool alert_read(
    const char *text, struct alert_item **item, struct alert_batch **batch);

#endif
