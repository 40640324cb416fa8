/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A request on the control socket, from its line of JSON: a pure function over
 * the command table, without I/O. Hostile input gives an error, never more.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include "base/str.h"

#define CONTROL_REQUEST_MAX (256u << 10) /* bytes of a line */
#define CONTROL_IDS_MAX 8192
#define CONTROL_WORD_MAX 512   /* of a sender or a pattern */
#define CONTROL_ROWS_MAX 10000 /* of "max" */
#define CONTROL_REASON_MAX 200 /* bytes */
#define CONTROL_NAME_MAX 64    /* bytes */
#define CONTROL_DOMAIN_MAX 253
#define CONTROL_NETWORKS_MAX 16
#define CONTROL_PASSWORD_MIN 8
#define CONTROL_PAIRS_MAX 500 /* of "rows" */
#define CONTROL_FOR_MAX_MS (366 * 24 * INT64_C(3600000))

enum control_arg {                    /* bits: what a command takes */
	CONTROL_SENDER = 1 << 0,      /* "sender": text */
	CONTROL_IDS = 1 << 1,         /* "ids": list of queue ids */
	CONTROL_ALL = 1 << 2,         /* "all": true */
	CONTROL_OLDER = 1 << 3,       /* "older": duration, "2h" */
	CONTROL_RECIPIENT = 1 << 4,   /* "recipient": pattern */
	CONTROL_FROZEN = 1 << 5,      /* "frozen": true */
	CONTROL_FOLLOW = 1 << 6,      /* "follow": true */
	CONTROL_THEN = 1 << 7,        /* "then": "release" or "discard" */
	CONTROL_MAX = 1 << 8,         /* "max": number of rows */
	CONTROL_BUSY = 1 << 9,        /* "busy": true */
	CONTROL_TERM = 1 << 10,       /* "term": text */
	CONTROL_MESSAGE_ID = 1 << 11, /* "message_id": text */
	CONTROL_MTA_ID = 1 << 12,     /* "mta_id": text */
	CONTROL_SUBJECT = 1 << 13,    /* "subject": text */
	CONTROL_CLIENT = 1 << 14,     /* "client": address */
	CONTROL_REASON = 1 << 15,     /* "reason": a line of text */
	CONTROL_FOR = 1 << 16,        /* "for": duration */
	CONTROL_NAME = 1 << 17,       /* "name": a word */
	CONTROL_RIGHT = 1 << 18,      /* "right": "view", "operate", "admin" */
	CONTROL_NETWORKS = 1 << 19,   /* "networks": list of networks */
	CONTROL_DOMAIN = 1 << 20,     /* "domain": a domain's name */
	CONTROL_EXPIRES = 1 << 21,    /* "expires": duration */
	CONTROL_PASSWORD = 1 << 22,   /* "password": text */
	CONTROL_DRY_RUN = 1 << 23,    /* "dry_run": true */
	CONTROL_SIZE_MIN = 1 << 24,   /* "size_min": bytes */
	CONTROL_SIZE_MAX = 1 << 25,   /* "size_max": bytes */
	CONTROL_STATE = 1 << 26,      /* "state": of a recipient */
	CONTROL_NEWER = 1 << 27,      /* "newer": duration */
	CONTROL_PAIRS = 1 << 28,      /* "rows": [sender, recipient, time] */
	CONTROL_RELAY = 1 << 29,      /* "relay": its name */
};

enum control_right {             /* bits; each holds those before it */
	CONTROL_READ = 1 << 0,   /* "view" */
	CONTROL_CHANGE = 1 << 1, /* "operate": logged and audited */
	CONTROL_ADMIN = 1 << 2,  /* "admin": the daemon itself, and tokens */
};
#define CONTROL_RIGHTS (CONTROL_READ | CONTROL_CHANGE | CONTROL_ADMIN)
/* "operate" is CONTROL_READ | CONTROL_CHANGE. 0: there is no such right. */
unsigned control_right_parse(struct str name);
const char *control_right_name(unsigned rights); /* of the highest */

struct control_conn;
struct json_t;

/* Of a site of several daemons: who is asked, and what becomes of that. */
enum control_reach {
	CONTROL_HERE = 0, /* this one alone */
	CONTROL_ROWS,     /* rows of all, each with its "relay" */
	CONTROL_ONE,      /* one row of the first who has it; of the others what
			     `each` names, in its member "relays" */
	CONTROL_FIRST,    /* the first who has it */
	CONTROL_EACH,     /* all do it; the numbers at the end are sums */
};

struct control_command {
	const char *name;
	unsigned takes;     /* arguments, enum control_arg */
	unsigned needs;     /* these must be there */
	unsigned needs_one; /* exactly one of these */
	unsigned needs_any; /* one of these or more */
	enum control_right right;
	bool in_domain; /* it minds the asker's domain */
	enum control_reach reach;
	const char *const *each; /* members, NULL at the end */
	/* Ends, now or later, in control_done or control_fail. */
	void (*run)(struct control_conn *c, int64_t now);
	const char *doc;
};

/* Those of tokens and users, in both daemons (access_commands.c). */
extern const struct control_command access_commands[];

/* Tables of commands; each has a row without a name at its end. */
#define CONTROL_TABLES(...) \
	((const struct control_command *const[]){__VA_ARGS__, NULL})

struct control_grammar {
	const struct control_command *const *tables;
	bool (*parse_id)(struct str s, uint64_t *out);
};

/* An argument as an option of a query has it, and in a description. */
enum control_kind {
	CONTROL_KIND_FLAG,
	CONTROL_KIND_NUMBER,
	CONTROL_KIND_TEXT,
	CONTROL_KIND_LIST, /* of texts */
	CONTROL_KIND_ROWS, /* of lists of texts; never in a query */
};

struct control_argument {
	const char *name;
	unsigned bit; /* enum control_arg */
	enum control_kind kind;
	const char *doc;
};

/* The i-th of all arguments; NULL past the last. */
const struct control_argument *control_argument(size_t i);
const struct control_argument *control_argument_find(struct str name);

struct control_pair { /* who wrote to whom, and when last */
	char *sender, *recipient, *time;
};

struct control_request {
	const struct control_command *command; /* NULL: none */
	unsigned given;                        /* enum control_arg */
	char *sender, *recipient, *then;
	char *term, *message_id, *mta_id, *subject, *client, *reason;
	char *name, *domain, *password, *state, *relay;
	unsigned right; /* enum control_right */
	char **networks;
	size_t network_count;
	uint64_t *ids;
	size_t id_count;
	struct control_pair *pairs;
	size_t pair_count;
	int64_t older_ms, newer_ms, for_ms, expires_ms;
	uint64_t size_min, size_max;
	uint32_t max;
	bool all, frozen, busy, follow, dry_run;
};

/* NULL: there is none of that name. */
const struct control_command *control_command_find(
    const struct control_grammar *grammar, const char *name);

/* False: what is wrong with it, in err. Clear the request in either case. */
MUST_CHECK bool control_request_read(const struct control_grammar *grammar,
    struct str line, struct control_request *out, char *err, size_t cap);
/* The same of an object that was read; it is borrowed. */
MUST_CHECK bool control_request_take(const struct control_grammar *grammar,
    const struct json_t *root, struct control_request *out, char *err,
    size_t cap);
void control_request_clear(struct control_request *r);

#endif
