/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the server engine share, and nobody else sees.
 *
 *	server.c         life, phases, saying, closing
 *	server_input.c   command lines and message text
 *	server_chunk.c   message text that comes by BDAT
 *	server_answer.c  questions and answers
 *	server_time.c    deadlines
 *	server_verbs.c   the verb table and its handlers
 *	server_auth.c    AUTH, XCLIENT, XFORWARD
 *	server_params.c  parameters of MAIL and RCPT
 */
#ifndef SMTP_SERVER_IMPL_H
#define SMTP_SERVER_IMPL_H

#include "smtp/server.h"

enum smtp_phase {               /* bits, for the verb table */
	SMTP_PHASE_NEW = 1,     /* before the greeting */
	SMTP_PHASE_GREETED = 2, /* before HELO */
	SMTP_PHASE_READY = 4,   /* no transaction */
	SMTP_PHASE_MAIL = 8,    /* sender accepted */
	SMTP_PHASE_RCPT = 16,   /* and a recipient */
	SMTP_PHASE_DATA = 32,   /* message text is coming */
	SMTP_PHASE_CLOSED = 64,
	SMTP_PHASE_CHUNKS = 128, /* a first BDAT was taken, LAST was not */
};

enum smtp_question {
	SMTP_ASK_NOTHING,
	SMTP_ASK_HELO,
	SMTP_ASK_MAIL,
	SMTP_ASK_RCPT,
	SMTP_ASK_DATA,
	SMTP_ASK_END,
	SMTP_ASK_AUTH,
	SMTP_ASK_XCLIENT,
	SMTP_ASK_XFORWARD,
	SMTP_ASK_TLS,
};

/* How the reply to a chunk that is thrown away counts. */
enum smtp_chunk_refusal {
	SMTP_CHUNK_GOOD,    /* it is not thrown away */
	SMTP_CHUNK_FAULT,   /* the client's error */
	SMTP_CHUNK_IN_VAIN, /* was pipelined before the client could know */
	SMTP_CHUNK_OWNER,   /* the owner's words */
};

struct smtp_chunk { /* the octets that a BDAT has announced */
	bool open;  /* not all have come, or nobody knows what to say yet */
	bool last;
	enum smtp_chunk_refusal refusal;
	uint64_t size, left;
	unsigned code; /* of a refusal, said when all octets have come */
	char enhanced[SMTP_ENHANCED_MAX];
	char *text;
};

struct smtp_server {
	const struct smtp_server_limits *limits;
	const struct smtp_server_ops *ops;
	void *arg;
	const char *hostname;
	char *helo; /* NULL before it */
	struct smtp_caps caps;
	enum smtp_phase phase;
	enum smtp_question question;
	enum smtp_server_tls tls;
	bool esmtp, next_esmtp; /* next: while on_helo is open */
	bool utf8;
	bool paused;
	bool feeding;      /* smtp_server_feed is on the stack */
	bool yields;       /* it is to return after this command */
	bool early;        /* input came before the reply it had to await */
	bool first_line;   /* no command line was seen yet */
	bool mail_refused; /* and what was pipelined after it is no fault */
	bool auth_open;    /* the next line is a response to a challenge */
	bool auth_heard;   /* there was an AUTH */
	bool authenticated;
	bool trusted;      /* may say who others are */
	bool text_refused; /* the same for further chunks of a message */
	struct smtp_chunk chunk;
	struct str unread; /* while feeding: what follows the line in hand */

	uint32_t errors, idle_commands, refused;
	uint32_t recipients; /* accepted in this transaction */
	uint32_t overshoot;  /* commands answered in vain, see
				smtp_server_in_vain */
	size_t skipped;      /* bytes thrown away of a line too long */

	/* Deadlines, INT64_MAX: none. They stand still from stopped_at on while
	 * a question is open or the owner has paused; INT64_MIN: they run. */
	int64_t now, stopped_at;
	int64_t command_due, gap_due, message_due, window_due;
	uint64_t window_bytes;

	struct smtp_decoder decoder; /* of the last message */
};

/* server.c */
void smtp_server_set_phase(struct smtp_server *s, enum smtp_phase phase);
void smtp_server_write(
    struct smtp_server *s, const struct smtp_reply *r, bool enhanced);
/* With the enhanced code where it was advertised. */
void smtp_server_write_answer(
    struct smtp_server *s, const struct smtp_reply *r);
/* A reply of the engine, not counted. */
void smtp_server_say(struct smtp_server *s, unsigned code, const char *enhanced,
    const char *text);
/* A reply to a faulty command: counted, and the last one at the cap. */
void smtp_server_fault(struct smtp_server *s, unsigned code,
    const char *enhanced, const char *text);
/* Counts an error; at the cap it ends the session. */
void smtp_server_count_error(struct smtp_server *s);
/* A refusal that an honest pipelining client meets without fault (no valid
 * sender or recipient, too many recipients): counted as faults only past the
 * number of recipients a message may have. */
void smtp_server_in_vain(struct smtp_server *s, unsigned code,
    const char *enhanced, const char *text);
/* Last words and the end. */
void smtp_server_end(struct smtp_server *s, enum smtp_server_end why,
    unsigned code, const char *enhanced, const char *text);
void smtp_server_end_with(struct smtp_server *s, enum smtp_server_end why,
    const struct smtp_reply *reply);
/* Greets anew; HELO, extensions and login are forgotten. No transaction is
 * open. */
void smtp_server_restart(struct smtp_server *s);
/* Forgets the transaction, and tells the owner if it knows of one. False: the
 * owner has ended the session upon that. */
MUST_CHECK bool smtp_server_forget(struct smtp_server *s);
void smtp_server_forget_quietly(struct smtp_server *s);
/* A counter stands at its cap; 0: there is none. */
bool smtp_server_is_at(uint32_t count, uint32_t cap);

/* server_chunk.c */
/* BDAT: takes the octets in any case, and answers after them. */
void smtp_server_bdat(struct smtp_server *s, struct str args);
void smtp_server_feed_chunk(struct smtp_server *s, struct str *in);
/* The owner has answered on_data for a first chunk. */
void smtp_server_chunk_go(struct smtp_server *s);
void smtp_server_chunk_refused(
    struct smtp_server *s, const struct smtp_reply *r);
void smtp_server_chunk_clear(struct smtp_server *s);

/* server_input.c: text from the decoder to the owner. */
void smtp_server_on_text(void *arg, struct str chunk);

/* server_answer.c: opens a question; the callback of ops comes next. */
void smtp_server_ask(struct smtp_server *s, enum smtp_question question);
/* The question that was open, which is answered by this. NOTHING: the session
 * ended meanwhile. */
enum smtp_question smtp_server_take_question(
    struct smtp_server *s, int64_t now);
/* True: input came before the answer, and the session has ended. */
bool smtp_server_refuse_early(struct smtp_server *s);

/* server_auth.c */
bool smtp_server_offers_auth(const struct smtp_server *s);
void smtp_server_verb_auth(struct smtp_server *s, struct str args);
void smtp_server_verb_xclient(struct smtp_server *s, struct str args);
void smtp_server_verb_xforward(struct smtp_server *s, struct str args);
/* A line within the exchange; more: input follows it already. */
void smtp_server_auth_line(struct smtp_server *s, struct str line, bool more);

/* server_verbs.c: one line without its end; more: input follows it already. */
void smtp_server_command(struct smtp_server *s, struct str line, bool more);

/* Its first word is a command that is known here. */
bool smtp_server_is_command(struct str line);

/* Counts a command that brings no mail. False: that was the last one. */
MUST_CHECK bool smtp_server_count_idle(struct smtp_server *s);

/* server_params.c: false: refused, and *error says how. */
MUST_CHECK bool smtp_server_mail_params(const struct smtp_server *s,
    struct str params, struct smtp_mail *mail, struct smtp_reply *error);
MUST_CHECK bool smtp_server_rcpt_params(const struct smtp_server *s,
    struct str params, struct smtp_rcpt *rcpt, struct smtp_reply *error);

/* server_time.c */
/* Takes the caller's time, clamped; everything below reads s->now. */
void smtp_server_set_now(struct smtp_server *s, int64_t now);
/* Stops or restarts the deadlines after question or paused has changed. */
void smtp_server_time_changed(struct smtp_server *s);
void smtp_server_await_command(struct smtp_server *s);
void smtp_server_await_data(struct smtp_server *s);
/* n bytes of DATA came. */
void smtp_server_data_came(struct smtp_server *s, size_t n);
void smtp_server_await_nothing(struct smtp_server *s);

#endif
