/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One reader per format of log: a line in, records out. A reader knows nothing
 * of what other lines said but for `state`, which is a file's own; join.h puts
 * the records of a message together. Pure.
 */
#ifndef REPLAY_READER_H
#define REPLAY_READER_H

#include "base/ip.h"
#include "replay/head.h"

#define READER_STATE 1024 /* bytes */

enum reader_kind {
	/* A session, by the name that its lines have in common. */
	READER_LOGIN,  /* user; with an id: of that message alone */
	READER_CLIENT, /* client */
	READER_CLOSED,
	/* A message, by its id. */
	READER_BEGIN, /* at is the time of the request */
	READER_SENDER,
	READER_RECIPIENT,
	READER_HOP,     /* goes on in this queue under the id `next` */
	READER_REFUSED, /* never became a message */
	READER_END,
};

/* Slices are borrowed for the call; what is empty is not known. */
struct reader_record {
	enum reader_kind kind;
	int64_t at;
	struct str host, session, id, next;
	struct str user, address; /* address: of the sender, or a recipient */
	struct ip client;
	bool has_client, has_sender;
	bool is_local;  /* BEGIN: by a program of this machine */
	bool is_unique; /* BEGIN: an id that is there is the same message */
	uint32_t count; /* SENDER: recipients; 0: not known */
};

typedef void reader_emit_fn(void *arg, const struct reader_record *record);

/* What became of a line. */
enum reader_use {
	READER_USED,
	READER_CONNECTION, /* connect, TLS, disconnect */
	READER_REJECTED,   /* before there was a message */
	READER_FAILED_LOGIN,
	READER_BOUNCE,
	READER_NOTE, /* of the mail server about itself */
	READER_OTHER_PROGRAM,
	READER_STRANGE, /* not understood */
	READER_USES
};

extern const char *const reader_use_name[READER_USES];

struct reader {
	const char *name;   /* of --format */
	const char *cannot; /* what such a log cannot show, for the user */
	/* Why nobody may be named in it, and what to do; may be NULL. */
	const char *empty;
	/* Only such a log has this line. */
	bool (*knows)(const struct head_line *line);
	/* state: READER_STATE bytes, aligned, zero at the file's start. */
	enum reader_use (*take)(void *state, const struct head_line *line,
	    reader_emit_fn *emit, void *arg);
};

extern const struct reader *const reader_list[];    /* NULL ends it */
const struct reader *reader_find(const char *name); /* NULL: none */

extern const struct reader reader_exchange, reader_exim, reader_kumomta,
    reader_opensmtpd, reader_postfix, reader_rspamd, reader_sendmail,
    reader_weir;

/* ---- what they share ---- */

/* The text after key up to the next `end`, or the rest: "sasl_username=a, b=c".
 * The key counts at the start and behind ", ". False: it is not there. */
bool reader_field(struct str s, struct str key, struct str *out);
/* Where the last `what` begins, or s.n; and whether there is one. */
size_t reader_last(struct str s, struct str what);
bool reader_has(struct str s, struct str what);
/* What stands in "<...>" at the start, quotes within it heeded; taken off. */
bool reader_take_path(struct str *s, struct str *out);
/* "host[192.0.2.1]", "host [IPv6:2001:db8::1]": the address in the last
 * brackets. */
bool reader_client(struct str s, struct ip *out);

#endif
