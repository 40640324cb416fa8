/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's transport, for every daemon: JSON lines over a Unix
 * socket, who the peer is, one request at a time per connection, and how a
 * command answers. The daemon gives a table of commands. A listing goes on in
 * steps, each when the client has taken the rows before it; what waits for the
 * client is bounded. A connection whose client has gone lives on, ended, until
 * the operation that it started has called back. Event loop's thread.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "base/buf.h"
#include "control/request.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/places.h"
#include "os/events.h"
#include "os/log.h"
#include "os/tap.h"

#include <jansson.h>
#include <stdatomic.h>

struct control_site;
struct control_round;

/* Where a page begins. */
struct control_cursor {
	uint64_t at;
	uint32_t place; /* at which daemon of the site; 0: here */
	uint64_t rows;  /* that came before it, of an errand */
};

struct control_server { /* all borrowed */
	struct loop *loop;
	struct log *log;
	struct events *events;
	const struct control_grammar *grammar;
	uint32_t connections_max; /* at once; 0: CONTROL_CONNS_MAX */
	/* Tokens and users; NULL: there is no HTTP. */
	struct access_store *access;
	/* The others that it works with (control/site.h); NULL: it is alone. */
	const struct control_site *site;
	void *site_arg;
	/* Keeps what was done beyond the log; NULL: the log is all. */
	void (*audit)(void *parts, const char *who, const char *action,
	    const char *target, const char *detail);
};

struct access_store;

/* How a request failed. */
enum control_fault {
	CONTROL_OK = 0,
	CONTROL_FAILED = 1,
	CONTROL_USAGE = 2,  /* the request is wrong */
	CONTROL_ABSENT = 3, /* there is no such thing, or nothing fits */
	CONTROL_LATER = 4,  /* the spool is busy */
	CONTROL_DENIED = 5,
};

/* Who asks. */
struct control_asker {
	const char *who;    /* "alice (uid 1000)": for log and audit */
	unsigned rights;    /* enum control_right */
	const char *domain; /* NULL: all senders; else those in it alone */
	bool is_errand;     /* another daemon of the site asks for him */
	/* Set to the result of control_ask before anything is called. NULL:
	 * nobody needs it so early. */
	struct control_conn **conn;
};

struct control_end {
	enum control_fault fault;
	const char *error; /* in words, where it is a fault */
	json_t *fields;    /* borrowed; NULL: none */
	json_t *found;     /* as in control_conn, borrowed */
	/* There was no room for all rows: ask again with the cursor. */
	bool is_cut;
	struct control_cursor cursor;
};

/* Where an answer goes that is not written to the control socket. */
struct control_sink {
	/* Takes value. False: there is no room for it. */
	bool (*row)(void *arg, const char *kind, json_t *value);
	void (*end)(void *arg, const struct control_end *end); /* last call */
};

#define CONTROL_CONNS_MAX 32
#define CONTROL_OUT_MAX (4u << 20)    /* rows that wait for the client */
#define CONTROL_FOLLOW_MAX (1u << 20) /* events that wait for a follower */
#define CONTROL_IDLE_MS 60000         /* without progress */
#define CONTROL_WHO_MAX 360

struct control {
	struct control_server server;
	void *parts; /* a copy, of what the commands work on */
	struct listener *listener;
	int admin_gid;
	struct list conns; /* struct control_conn */
	struct places *places;
	_Atomic int64_t full_due; /* the next line about one too many */
	struct list ended;        /* to be freed, or waiting for an operation */
	struct list errands;      /* of others of the site, under way */
	struct loop_task reap;
};

struct control_conn {
	struct list entry;
	struct control *control;
	struct conn *conn; /* NULL: the answer goes to sink */
	const struct control_sink *sink;
	void *sink_arg;
	char *domain; /* NULL: all senders; else those in it alone */
	bool is_full; /* sink has no room for more rows */
	struct share_user *place;
	/* "alice (uid 1000)", of an errand "... at mx1.example.org" */
	char who[CONTROL_WHO_MAX];
	unsigned rights; /* enum control_right */
	struct buf in, out;
	struct loop_timer tick, idle;
	bool is_ended;
	/* The request that is being answered; command NULL: none. */
	struct control_request request;
	bool is_waiting; /* for an operation's callback */
	/* Next part of a listing; NULL: the handler is not a listing. */
	void (*on_step)(struct control_conn *c, int64_t now);
	uint64_t cursor; /* where the next part begins */
	uint64_t rows;
	json_t *kept; /* rows that were made and wait; NULL: none */
	/* The request's ids that are here, as integers; NULL: not looked for,
	 * as they are of this daemon alone. */
	json_t *found;
	bool is_errand;
	/* Where it began, and when. */
	struct control_cursor from;
	int64_t began;
	struct control_round *round; /* NULL: it concerns this daemon alone */
	bool is_following;
	struct event_follower follower;
	struct tap_follower tap; /* of trace, */
	struct loop_timer until; /* which may end by itself */
};

/* listener is taken (bound before privileges were dropped). admin_gid: members
 * may give commands beside root and the daemon's user; -1: none. parts is
 * copied. */
struct control *control_start(const struct control_server *server,
    const void *parts, size_t parts_size, struct listener *listener,
    int admin_gid);
/* Drops every connection. No operation may call back after it. */
void control_stop(struct control *c);

/*
 * A request by another way than the socket, with the same grammar, rights and
 * handlers. request is taken: {"command": ..., ...}. cursor 0, 0: from the
 * beginning. sink's functions may be called before it returns. The result may
 * be given up with control_conn_end as long as sink->end was not called.
 */
struct control_conn *control_ask(struct control *control,
    const struct control_asker *asker, json_t *request,
    struct control_cursor cursor, const struct control_sink *sink, void *arg,
    int64_t now);

/* ---- conn.c ---- */

void control_conn_end(struct control_conn *c);
void control_conn_cut(struct control_conn *c); /* there is no room for more */

/* ---- answers (control_answer.c); every json_t is taken ---- */

/* {"kind": value}. False: no room now; value is gone, send it again later. */
MUST_CHECK bool control_send(
    struct control_conn *c, const char *kind, json_t *value);
/* False when the row alone is too large for ever: the request has failed. */
bool control_send_only(struct control_conn *c, json_t *row);
/* {"done": true, ...fields}; fields may be NULL. */
void control_done(struct control_conn *c, json_t *fields);
PRINTF_LIKE(3, 4)
void control_fail(
    struct control_conn *c, enum control_fault fault, const char *fmt, ...);
/* Rows wait for the client: what had no room may have it later. False: it never
 * will. */
bool control_is_behind(const struct control_conn *c);
/* Whether the client may see and change a sender. */
bool control_sees(const struct control_conn *c, const char *sender);
/* An operation has been started, its callback will come. */
void control_wait(struct control_conn *c);
/* It came. False: the client has gone; return at once, c may be freed. */
MUST_CHECK bool control_resume(struct control_conn *c);
/* The same of what the daemon itself does not audit, and the audit log. */
void control_audit_change(
    struct control_conn *c, const char *target, const char *detail);
/* Of a user at the other end of a Unix socket; 0: none. */
unsigned control_peer_rights(
    const struct control *control, uid_t uid, gid_t gid);
/* Bytes as a JSON text of at most max; what is no UTF-8 becomes U+FFFD. */
json_t *control_bytes(struct str s, size_t max);
/* A change was made: one line in the log. */
void control_log_change(struct control_conn *c, uint64_t count);

/* Any bytes as a JSON text: what is no UTF-8 becomes U+FFFD. */
json_t *control_text(const char *s);
json_t *control_time(int64_t wall_ms); /* RFC 3339; 0: null */

/* What happened lately, and what happens from now on: the same for every
 * daemon. Takes CONTROL_FOLLOW and CONTROL_MAX. */
void control_events(struct control_conn *c, int64_t now);
/* What one client, sender or next hop says and is answered, from now on: for a
 * daemon whose log has a tap (os/tap.h). Takes CONTROL_TERM and CONTROL_FOR. */
void control_trace(struct control_conn *c, int64_t now);
void control_trace_init(struct control_conn *c);
json_t *control_event_row(const struct event_item *e);
/* A text of many lines, a row {"line": ...} each, and the end. */
void control_send_lines(struct control_conn *c, char *text);

#endif
