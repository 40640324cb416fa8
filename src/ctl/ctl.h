/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weirctl: what its commands share. A command turns its arguments into requests
 * to the daemon, and the rows that come back into text. Blocking; one thread.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "base/str.h"

#include <jansson.h>

enum ctl_status { /* exit status: scripts rely on it */
	CTL_OK = 0,
	CTL_FAILED = 1, /* no such thing, or failed */
	CTL_USAGE = 2,
	CTL_NO_DAEMON = 69,
};

enum ctl_option {                 /* bits: what a command takes */
	CTL_SENDER = 1 << 0,      /* -S, --sender */
	CTL_OLDER = 1 << 1,       /* --older */
	CTL_RECIPIENT = 1 << 2,   /* --recipient */
	CTL_ALL = 1 << 3,         /* --all */
	CTL_YES = 1 << 4,         /* -y */
	CTL_FROZEN = 1 << 5,      /* --frozen */
	CTL_BUSY = 1 << 6,        /* --busy */
	CTL_FOLLOW = 1 << 7,      /* -f */
	CTL_RELEASE = 1 << 8,     /* --release */
	CTL_DISCARD = 1 << 9,     /* --discard */
	CTL_COUNT = 1 << 10,      /* -n */
	CTL_MESSAGE_ID = 1 << 11, /* --message-id */
	CTL_MTA_ID = 1 << 12,     /* --mta-id */
	CTL_SUBJECT = 1 << 13,    /* --subject */
	CTL_CLIENT = 1 << 14,     /* --client */
	CTL_REASON = 1 << 15,     /* --reason */
	CTL_FOR = 1 << 16,        /* --for */
	CTL_POLICY = 1 << 17,     /* --policy */
	CTL_RIGHT = 1 << 18,      /* --right */
	CTL_EXPIRES = 1 << 19,    /* --expires */
	CTL_NETWORKS = 1 << 20,   /* --networks */
	CTL_DOMAIN = 1 << 21,     /* --domain */
	CTL_DRY_RUN = 1 << 22,    /* --dry-run */
	CTL_NEWER = 1 << 23,      /* --newer */
	CTL_RELAY = 1 << 24,      /* --relay */
};

struct ctl {
	const char *socket;
	bool json;
	unsigned given; /* enum ctl_option */
	const char *sender, *older, *recipient;
	const char *message_id, *mta_id, *subject, *client, *reason, *span,
	    *policy, *right, *expires, *networks, *domain, *newer, *relay;
	uint32_t count;
	const struct ctl_command *command;
	char **words; /* after the command */
	int word_count;
};

struct ctl_command {
	const char *name;
	const char *usage;
	unsigned takes;
	int words_min, words_max;
	enum ctl_status (*run)(struct ctl *ctl);
	const char *doc;
};

PRINTF_LIKE(1, 2) void ctl_error(const char *fmt, ...);

/* ---- client.c ---- */

/* A row of the answer: kind is "row" or "event"; value is borrowed. */
typedef void ctl_row_fn(void *arg, const char *kind, const json_t *value);

/*
 * Connects, asks, and calls fn for each row. request is taken. Problems are
 * told on stderr. done may be NULL; else the answer's last line, to be released
 * by the caller, where the result is CTL_OK.
 */
enum ctl_status ctl_ask(
    struct ctl *ctl, json_t *request, ctl_row_fn *fn, void *arg, json_t **done);
/* {"command": name}, and what was given of the options that mean the same to
 * the daemon. */
json_t *ctl_request(const struct ctl *ctl, const char *name);
/* Prints rows as a JSON list, as they come. */
enum ctl_status ctl_ask_json_list(struct ctl *ctl, json_t *request);
/* Prints the one row. */
enum ctl_status ctl_ask_json_one(struct ctl *ctl, json_t *request);

/* Members of a row: empty text, 0, false where they are missing. */
const char *ctl_text(const json_t *row, const char *name);
int64_t ctl_number(const json_t *row, const char *name);
bool ctl_flag(const json_t *row, const char *name);

/* ---- commands ---- */

enum ctl_status ctl_status(struct ctl *ctl);
enum ctl_status ctl_senders(struct ctl *ctl);
enum ctl_status ctl_show(struct ctl *ctl);
enum ctl_status ctl_explain(struct ctl *ctl);
enum ctl_status ctl_explain_policy(struct ctl *ctl);
enum ctl_status ctl_history(struct ctl *ctl);
enum ctl_status ctl_queue(struct ctl *ctl);
enum ctl_status ctl_find(struct ctl *ctl);
enum ctl_status ctl_problems(struct ctl *ctl);
enum ctl_status ctl_cat(struct ctl *ctl);
enum ctl_status ctl_release(struct ctl *ctl);
enum ctl_status ctl_flush(struct ctl *ctl);
enum ctl_status ctl_discard(struct ctl *ctl);
enum ctl_status ctl_freeze(struct ctl *ctl);
enum ctl_status ctl_thaw(struct ctl *ctl);
enum ctl_status ctl_forget(struct ctl *ctl);
enum ctl_status ctl_learn(struct ctl *ctl);
enum ctl_status ctl_events(struct ctl *ctl);
enum ctl_status ctl_trace(struct ctl *ctl);
/* A line for one. */
void ctl_print_event(const json_t *e);
enum ctl_status ctl_top(struct ctl *ctl);
enum ctl_status ctl_alert(struct ctl *ctl);
enum ctl_status ctl_audit(struct ctl *ctl);
enum ctl_status ctl_config(struct ctl *ctl);
enum ctl_status ctl_reload(struct ctl *ctl);
enum ctl_status ctl_ask_any(struct ctl *ctl);
enum ctl_status ctl_token(struct ctl *ctl);
enum ctl_status ctl_user(struct ctl *ctl);

#endif
