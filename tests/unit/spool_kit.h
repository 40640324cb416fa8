/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the spool's tests share: a spool in a directory of its own, and calls
 * that wait for their completion.
 */
#ifndef TESTS_SPOOL_KIT_H
#define TESTS_SPOOL_KIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "spool/spool.h"

#define KIT_WALL INT64_C(1800000000000)

struct kit {
	char dir[64];
	struct spool_settings settings;
	struct spool *spool;
	char err[512];
	int status;
	int64_t wall; /* moves on with each message */
};

/* A fresh directory, nothing opened. */
void kit_init(struct kit *k);
void kit_open(struct kit *k); /* must work */
void kit_close(struct kit *k);
void kit_clear(struct kit *k); /* closes and removes everything */
void kit_remove_dir(const char *dir);
void kit_copy_dir(const char *from, const char *to);
/* One line of SQL on the closed spool, or beside it. */
void kit_sql(struct kit *k, const char *sql);
int64_t kit_ask(struct kit *k, const char *sql);
/* Runs completions until *done; false after a minute. */
bool kit_wait(struct spool *s, const bool *done);

/* A message with up to 8 recipients r0@x ... of source "alice". */
struct kit_message {
	struct spool_message m;
	struct spool_rcpt rcpts[8];
	char addresses[8][32];
};
void kit_message(struct kit *k, struct kit_message *out, size_t rcpts,
    enum spool_state state);
/* The text that kit_put stores: n letters that follow from the id. */
char *kit_text(uint64_t id, size_t n);
int kit_put(struct kit *k, const struct spool_message *m, size_t size);
/* A fresh message; its id, or 0 when it failed with *error. */
uint64_t kit_add(struct kit *k, size_t rcpts, enum spool_state state,
    size_t size, int *error);
int kit_settle(struct kit *k, uint64_t id, bool keep);

struct kit_rows {
	int error;
	size_t n, batches;
	uint64_t last_ticket;
	enum spool_state last_was;
	uint64_t last_destination;
	char source[64], address[64];
	bool done;
};
struct kit_rows kit_release(struct kit *k, const struct spool_select *select);
struct kit_rows kit_flush(struct kit *k, const struct spool_select *select);
struct kit_rows kit_discard(struct kit *k, const struct spool_select *select);
struct kit_held {
	int error;
	size_t n, pages;
	uint64_t tickets[64]; /* the first of them */
	uint64_t after;       /* of the last page */
	bool end, done;
};
/* All pages of what was held at the start; of one source: NULL: of all. */
struct kit_held kit_held(struct kit *k, const char *source);
/* The next page of that. */
void kit_held_page(struct kit *k, const char *source, struct kit_held *h);
int kit_release_ticket(struct kit *k, uint64_t ticket);

struct kit_claim {
	int error;
	size_t n;
	struct spool_job *jobs[1024];
	int64_t next_due;
	bool done;
};
/* Free with kit_claim_clear. */
void kit_claim(struct kit *k, size_t max, int64_t wall, struct kit_claim *c);
void kit_claim_clear(struct kit_claim *c);
int kit_finish(struct kit *k, uint64_t ticket, enum spool_outcome outcome,
    int64_t next_try, const char *error);
/* The whole body, read in pieces; NULL and *error. For free(). */
char *kit_body(struct kit *k, uint64_t id, size_t *n, int *error);

struct kit_listed {
	uint64_t id;
	size_t rcpts;
	enum spool_state state; /* of the first */
	bool pending;
	uint64_t size;
	char from[64], address[64], last_error[128];
};
struct kit_list {
	int error;
	size_t n;
	struct kit_listed v[64];
	bool done;
};
struct kit_list kit_list(struct kit *k, const struct spool_select *select,
    uint64_t after, size_t max);
struct kit_list kit_list_all(struct kit *k);

/* For a call whose end is a flag: arg is a bool; no error may come. */
void kit_on_flag(void *arg, int error);

#endif
