/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server side of an SMTP session without I/O (RFC 5321): bytes and `now`
 * in, actions out through ops. It knows syntax, order, limits and time; it
 * decides nothing about mail. One verb table drives it.
 *
 * Each of on_helo, on_mail, on_rcpt, on_data, on_end, on_starttls asks a
 * question and is answered exactly once, at once from within or any time later,
 * by the smtp_server_* call named beside it; until then no input is consumed.
 * An answer after the end is ignored. A 421 as an answer ends the session.
 * Slices live until the callback returns.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "smtp/data.h"
#include "smtp/envelope.h"
#include "smtp/ext.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"
#include "smtp/xclient.h"

struct smtp_server_limits {         /* 0: no limit */
	uint32_t recipients_max;    /* per message: 452 4.5.3 past it */
	uint32_t errors_max;        /* faulty commands: 421 at it */
	uint32_t idle_commands_max; /* commands without mail (NOOP, RSET, VRFY,
				       EHLO, ...): 421 past it */
	uint32_t
	    refused_max;    /* recipients refused for good, per session: 421 */
	uint32_t local_max; /* bytes of a local part; SMTP_ADDRESS_MAX holds
			       besides */
	uint32_t line_max;  /* command line with CR LF; at least 512 */
	int64_t command_timeout_ms; /* deadline for a whole command */
	int64_t data_timeout_ms;    /* deadline between bytes of DATA */
	int64_t message_timeout_ms; /* deadline for a whole message */
	uint64_t data_rate_min; /* bytes a second, over data_rate_window_ms */
	int64_t data_rate_window_ms;
	struct smtp_data_limits data;
	/* A client that cannot be mended: any name in HELO, addresses without
	 * angle brackets, and after HELO too AUTH, SIZE= and BODY=. Its bare
	 * newlines are data.bare_newline's matter. */
	bool lenient;
};

enum smtp_server_tls {
	SMTP_SERVER_TLS_NONE,
	SMTP_SERVER_TLS_OFFER,
	SMTP_SERVER_TLS_REQUIRE, /* 530 5.7.0 before it */
	SMTP_SERVER_TLS_ACTIVE,
};

enum smtp_server_end { /* why the engine wants the connection closed */
	SMTP_SERVER_QUIT,
	SMTP_SERVER_TIMEOUT,
	SMTP_SERVER_TOO_SLOW,
	SMTP_SERVER_ERRORS,   /* a cap was met */
	SMTP_SERVER_PROTOCOL, /* HTTP, binary, illegal pipelining */
	SMTP_SERVER_CLOSED,   /* smtp_server_close */
};

struct smtp_server_ops {
	void (*write)(void *arg, const char *p, size_t n);
	/* -> smtp_server_helo_done, or smtp_server_reply with an error. The
	 * transaction, if any, is forgotten by now. */
	void (*on_helo)(void *arg, struct str name, bool esmtp);
	/* -> smtp_server_reply */
	void (*on_mail)(void *arg, const struct smtp_mail *mail);
	void (*on_rcpt)(void *arg, const struct smtp_rcpt *rcpt);
	/* DATA or the first BDAT. -> smtp_server_data_go (354) or
	 * smtp_server_reply with an error, which a BDAT answers with on_reset
	 * from within. on_end may come from within smtp_server_data_go (BDAT
	 * 0 LAST). */
	void (*on_data)(void *arg);
	void (*on_body)(void *arg, struct str chunk);
	/* The end of the message was met. -> smtp_server_reply. With a fault
	 * the engine itself refuses the message; the owner drops it and still
	 * answers, with NULL for the engine's own words. */
	void (*on_end)(void *arg, enum smtp_data_fault fault);
	/* The 220 was written; no more input is taken. The owner shakes hands,
	 * -> smtp_server_tls_done, or gives up the connection. May be NULL
	 * where TLS is never offered. */
	void (*on_starttls)(void *arg);
	/* The transaction is forgotten: RSET, EHLO, STARTTLS, or the session
	 * ends. Not called after MAIL was refused or on_end answered. */
	void (*on_reset)(void *arg);
	/* Last call. Everything to be written has been written. The engine
	 * may still be on the stack: do not free it in here. */
	void (*on_close)(void *arg, enum smtp_server_end why);
	/*
	 * AUTH with a mechanism that was offered, then each line of the client
	 * that follows a challenge. Lines are base64 of at most SASL_LINE_MAX
	 * bytes and secret; an initial response may be "=".
	 * -> smtp_server_auth_challenge, smtp_server_auth_done, or
	 * smtp_server_reply with an error
	 */
	void (*on_auth)(void *arg, enum sasl_mech mech, bool has_initial,
	    struct str initial);
	void (*on_auth_line)(void *arg, struct str line);
	/* The client gave it up. The engine answers. */
	void (*on_auth_cancel)(void *arg);
	/* -> smtp_server_xclient_done, or smtp_server_reply with an error.
	 * From those alone for whom smtp_server_trust was called. */
	void (*on_xclient)(void *arg, const struct xclient *x);
	/* -> smtp_server_reply */
	void (*on_xforward)(void *arg, const struct xclient *x);
	/* For a trace, and NULL where there is none: what the client said, a
	 * command line without its end, and what it is answered, whole lines
	 * with theirs. What may hold a password is "***" there. No text of
	 * messages. */
	void (*on_heard)(void *arg, struct str line);
	void (*on_said)(void *arg, struct str lines);
};

struct smtp_server;

/* limits, hostname and ops are borrowed. */
struct smtp_server *smtp_server_new(const struct smtp_server_limits *limits,
    const char *hostname, const struct smtp_server_ops *ops, void *arg);
void smtp_server_free(struct smtp_server *s);
/* Before the greeting. Implicit TLS is ACTIVE from the start. */
void smtp_server_set_tls(struct smtp_server *s, enum smtp_server_tls tls);
/* Writes the greeting. talked_early: bytes had come before it: 554 5.5.0. */
void smtp_server_greet(struct smtp_server *s, bool talked_early, int64_t now);
/* Consumes what it can of the input and returns how many bytes; the rest must
 * be given again, with more, or when a question has been answered. Given
 * line_max bytes (at least 512; SASL_LINE_MAX where AUTH is offered) and no
 * open question it always consumes some.
 * From within a callback it does nothing. */
size_t smtp_server_feed(
    struct smtp_server *s, const char *p, size_t n, int64_t now);
/* From within a callback: the smtp_server_feed that runs returns after this
 * command, however much more it was given. For an owner whose output is full:
 * a few bytes of commands can have many of replies. */
void smtp_server_yield(struct smtp_server *s);
/* A question is open: smtp_server_feed would consume nothing. */
bool smtp_server_is_waiting(const struct smtp_server *s);
/* For an owner that would rather ask about many recipients at once: those that
 * the client has named right behind the command in hand, in order, up to max of
 * them, until fn returns false. input: what is to be fed next; within
 * smtp_server_feed, which knows, it is not looked at. They are a guess: nothing
 * is consumed, on_rcpt comes for each in its turn, and may not. */
typedef bool smtp_server_ahead_fn(void *arg, struct str address);
void smtp_server_look_ahead(const struct smtp_server *s, struct str input,
    size_t max, smtp_server_ahead_fn *fn, void *arg);
bool smtp_server_is_in_data(const struct smtp_server *s);

void smtp_server_helo_done(
    struct smtp_server *s, const struct smtp_caps *caps, int64_t now);
/* What the client said in plain is forgotten: it may not have been the client
 * (RFC 3207 section 4.2). */
void smtp_server_tls_done(struct smtp_server *s, int64_t now);
void smtp_server_data_go(struct smtp_server *s, int64_t now);
void smtp_server_reply(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now);
/* base64 of a challenge; false: it is none, and nothing was said. */
MUST_CHECK bool smtp_server_auth_challenge(
    struct smtp_server *s, struct str challenge, int64_t now);
/* 235, in the words of reply. */
void smtp_server_auth_done(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now);
/* The session begins anew with another greeting; authenticated: the client
 * needs no AUTH. */
void smtp_server_xclient_done(
    struct smtp_server *s, bool authenticated, int64_t now);
/* Whether XCLIENT and XFORWARD are taken from this client. The owner advertises
 * them by itself. */
void smtp_server_trust(struct smtp_server *s, bool trusted);
/* 421 or another last word, then on_close. */
void smtp_server_close(
    struct smtp_server *s, const struct smtp_reply *reply, int64_t now);

/* Time: the next moment at which smtp_server_run has something to do. While a
 * question is open no client deadline runs. While the owner holds back input
 * (back-pressure), it says so with smtp_server_pause; that is about time
 * alone: what is given is consumed all the same. */
int64_t smtp_server_next_due(const struct smtp_server *s);
void smtp_server_run(struct smtp_server *s, int64_t now);
void smtp_server_pause(struct smtp_server *s, bool paused, int64_t now);

/* Facts for the owner and the log. */
struct str smtp_server_helo(const struct smtp_server *s);
bool smtp_server_is_esmtp(const struct smtp_server *s);
/* A login is under way: the input in hand is secret. */
bool smtp_server_is_in_auth(const struct smtp_server *s);
bool smtp_server_is_utf8(const struct smtp_server *s); /* transaction */
/* Of the last message, until the next DATA. */
uint64_t smtp_server_message_size(const struct smtp_server *s);
struct str smtp_server_subject(const struct smtp_server *s);    /* raw */
struct str smtp_server_message_id(const struct smtp_server *s); /* raw */
bool smtp_server_has_message_id(const struct smtp_server *s);
bool smtp_server_is_chunked(const struct smtp_server *s); /* by BDAT */
uint32_t smtp_server_errors(const struct smtp_server *s);

#endif
