/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What delivery.c (which messages, when), attempt.c (one message on one
 * connection) and outcome.c (what becomes of its recipients) share. Nobody
 * else includes it.
 */
#ifndef DELIVERY_DELIVERY_PRIVATE_H
#define DELIVERY_DELIVERY_PRIVATE_H

#include "delivery/delivery.h"
#include "delivery/handed.h"
#include "delivery/notice_limit.h"
#include "delivery/report_limit.h"
#include "delivery/result_queue.h"
#include "delivery/route.h"
#include "delivery/suspects.h"

enum outcome_kind {
	OUTCOME_OPEN,      /* not known yet */
	OUTCOME_ACCEPTED,  /* RCPT was answered 250 */
	OUTCOME_DELIVERED, /* the next hop has it */
	OUTCOME_LATER,     /* to be tried again */
	OUTCOME_REFUSED,   /* for good */
};

struct outcome { /* of a recipient */
	enum outcome_kind kind;
	char status[SMTP_ENHANCED_MAX]; /* of LATER and REFUSED */
	char *reply;                    /* what was said, or NULL */
	unsigned code;                  /* of the next hop's reply, and */
	bool has_status;                /* its own status, */
	bool to_rcpt;                   /* in answer to RCPT */
	bool is_ours;                   /* reply is of our own making */
	bool again;                     /* LATER may be at once: see reopen */
	bool waits;                     /* LATER, and never too late for it */
	const char *reason;             /* why it was not even tried, or NULL */
};

enum attempt_state {      /* a list of struct delivery each */
	ATTEMPT_QUEUED,   /* claimed, its turn comes */
	ATTEMPT_LAST,     /* claimed, a suspect: after the others, by itself */
	ATTEMPT_WAITING,  /* for a connection */
	ATTEMPT_ENVELOPE, /* until DATA is answered */
	ATTEMPT_BODY,     /* text is sent */
	ATTEMPT_ENDING,   /* the final dot is sent */
	ATTEMPT_LEAVING,  /* decided, but the spool still reads for it */
	ATTEMPT_QUOTING,  /* the original is read for a bounce */
	ATTEMPT_STATES
};

struct attempt {
	struct list entry;
	struct delivery *d;
	enum attempt_state state;
	struct spool_job *job;
	struct hop *hop;   /* NULL: none (any more) */
	bool suspect;      /* broke two connections: see suspects.h */
	bool broke;        /* a connection, now */
	bool lined;        /* was put in line once: see try_anew */
	int64_t last_due;  /* LAST: starts then, though others are left */
	bool fresh;        /* wants a new connection */
	bool reused;       /* was given a kept one */
	bool heard;        /* a reply came to this transaction */
	bool lmtp, dsn;    /* what the connection is */
	size_t from, to;   /* recipients of this transaction: see send_batch */
	bool taken;        /* one of them was accepted */
	bool reading;      /* spool_read_body is under way */
	bool put_back;     /* no next hop: not an attempt, no line each */
	int64_t next_try;  /* with put_back: wall ms */
	bool unreported;   /* at report_limit; its report may go then: */
	int64_t report_at; /* wall ms */
	uint64_t offset;   /* of the body, what was sent */
	char hop_name[ROUTE_NAME_MAX];
	char id[SPOOL_ID_TEXT];
	struct loop_timer again; /* the reader was busy */
	struct outcome outcomes[];
};

struct notices { /* on their way: notice.c */
	struct loop_timer timer;
	bool busy;
	uint64_t id;       /* whose header was read; 0: nobody's */
	struct buf header; /* of that message, or its beginning */
	bool whole;
	struct notice_limit *limit;
};

struct delivery {
	struct loop *loop;
	struct spool *spool;
	struct nexthop *nexthop, *rest_hop; /* rest_hop: NULL, the same */
	struct events *events;
	struct counters *counters;
	struct log *log;
	struct delivery_settings settings; /* strings are copies */
	char *hostname, *postmaster;
	struct result_queue *result_queue;

	struct list attempts[ATTEMPT_STATES];
	uint32_t count[ATTEMPT_STATES];

	bool more;     /* there may be something to claim */
	bool kicked;   /* since the claim under way was given */
	bool claiming; /* at most one */
	bool draining;
	bool pumping;
	void (*on_drained)(void *arg);
	void *drained_arg;
	struct loop_timer wake;
	struct loop_task report_drained;

	uint32_t ceiling;      /* connections the next hop seems to allow */
	int64_t ceiling_until; /* INT64_MAX: not lowered */
	int64_t rest_ms;       /* of all delivery; 0: the next hop is there */
	int64_t rest_until;
	bool clock_known;
	int64_t clock_ahead; /* wall minus now, when last looked at */
	struct suspects *suspects;
	uint32_t alone;                     /* suspects under way */
	char problem[DELIVERY_PROBLEM_MAX]; /* "" none */
	int64_t problem_log_next;
	struct notices notices;
	struct report_limit *reports;
	struct handed *handed;
	struct let_go *let_go; /* or NULL */
};

/* attempt.c */
struct attempt *attempt_new(struct delivery *d, struct spool_job *job);
void attempt_set_state(struct attempt *a, enum attempt_state state);
void attempt_start(struct attempt *a, int64_t now);
/* Its turn comes again at once. */
void attempt_queue_again(struct attempt *a);
/* Nothing of it was sent: back to the spool for next_try. */
void attempt_put_back(struct attempt *a, const char *reason, int64_t next_try);
void attempt_free(struct attempt *a);

/* attempt_fit.c */
/* False: the next hop at a->hop lacks what it needs, and all outcomes are
 * decided: refused, or later. */
bool attempt_fits(struct attempt *a);
/* Refuses the recipients that are no addresses. False: there are no others. */
bool attempt_has_paths(struct attempt *a);

/* outcome.c */
/* Does the report of it need text that is not in memory? */
bool outcome_needs_original(const struct attempt *a, int64_t wall);
/* Tells the spool, the log and the events what became of each recipient.
 * original: the message or its beginning. */
void outcome_record(
    struct attempt *a, struct str original, bool is_whole, int64_t wall);

/* notice.c */
void notices_init(struct delivery *d);
void notices_clear(struct delivery *d);
void notices_schedule(struct delivery *d);

/* delivery.c */
void delivery_on_unreachable(
    struct attempt *a, const struct smtp_reply *reply, int64_t now);
/* The next hop greeted, or answered a command: it is there. */
void delivery_on_reached(struct delivery *d, int64_t now);
/* It wants a login or TLS of weir that it does not get. */
void delivery_on_no_login(
    struct attempt *a, const struct smtp_reply *reply, int64_t now);
/* It took a sender: what it wanted it has. */
void delivery_on_taken(struct delivery *d);
/* A message has ended; there is room. */
void delivery_on_ended(struct delivery *d, int64_t now);
/* RELEASED again at that time. */
void delivery_note_due(struct delivery *d, int64_t wall_due, int64_t wall);

#endif
