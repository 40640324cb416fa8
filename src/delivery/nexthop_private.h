/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What nexthop.c (the pool: settings, connections, time) and hop.c (its users)
 * share. Nobody else includes it.
 */
#ifndef DELIVERY_NEXTHOP_PRIVATE_H
#define DELIVERY_NEXTHOP_PRIVATE_H

#include "delivery/hop_conn.h"
#include "delivery/nexthop.h"
#include "net/resolver.h"

#define HOP_REASON_MAX 512

/* A state is a list of the pool; hop_set_state alone moves a hop. */
enum hop_state {
	HOP_FREE,      /* kept for the next nexthop_get */
	HOP_WAITING,   /* in line: enough connections, or enough dialing */
	HOP_RESOLVING, /* for the addresses of a name */
	HOP_DIALING,   /* has a connection that is not ready */
	HOP_HANDED,    /* was given a kept connection, on_ready is to be told */
	HOP_READY,     /* has a connection to speak through */
	HOP_FAILED,    /* on_fail is to be told */
	HOP_STATES
};

struct hop {
	struct list entry;
	struct nexthop *n;
	enum hop_state state;
	const struct hop_ops *ops;
	void *arg;
	struct hop_conn *ch;
	bool fresh, reused, is_private;
	bool doubted; /* WAITING after a 421: does any other work? */
	bool late;    /* DIALING: for longer than a server takes that is well */
	size_t target; /* RESOLVING: for whom */
	struct route_cursor cursor;
	/* Of the last address that failed, of those that spoke if any did. */
	char reason[HOP_REASON_MAX];
	bool said; /* reason is a server's words */
};

struct nexthop {
	struct loop *loop;
	struct counters *counters;
	struct log *log;
	struct nexthop_settings settings; /* addresses is not kept */
	char *hostname;
	struct route *route;
	struct resolver *resolver;
	struct list hops[HOP_STATES];
	struct list idle; /* connections, most recently used first */
	struct list busy; /* connections with a hop */
	struct list dead; /* connections, until the task */
	uint32_t idle_count, open_count, private_count;
	uint32_t dialing_count, late_count; /* the late ones are in both */
	bool caps_known;
	struct smtp_caps caps;
	uint32_t limit;      /* connections that it takes, learnt; 0: any */
	bool has_doubt;      /* a hop may be doubted */
	int64_t limit_grows; /* when more are tried */
	int64_t dial_after;  /* none is opened before */
	int64_t closed_at;   /* one that worked, the last */
	struct loop_timer sweep;
	uint64_t sweeps;
	struct loop_task task;   /* tells hops, frees connections */
	int64_t broken_log_next; /* one line a second at most */
};

/* hop.c */
extern const struct hop_conn_ops pool_conn_ops;
void hop_set_state(struct hop *h, enum hop_state state);
/* Gives free room to those who wait. */
void hop_serve_line(struct nexthop *n, int64_t now);
/* Tells HANDED and FAILED hops. */
void hop_notify(struct nexthop *n, int64_t now);
/* The route is another: those under way to an address start anew. */
void hop_redial_all(struct nexthop *n, int64_t now);
void hop_on_resolved(void *arg, const struct resolver_answer *answer);

/* hop_dial.c */
bool hop_may_dial(const struct nexthop *n); /* one more */
/* 421, and Microsoft's 432. */
static inline bool
hop_is_limit_code(unsigned code)
{
	return code == 421 || code == 432;
}
/* A new connection, this hop's, was answered with 421. True: others work, so
 * as many as may be are open, and who waits in line gets one. */
bool hop_learn_limit(struct hop *h, int64_t now);
/* One has become ready, or failed: who is in doubt may know now. */
void hop_end_doubt(struct nexthop *n, int64_t now);
/* From the sweep: marks those that have been dialing for long, lets the limit
 * grow, and serves the line. */
void hop_run_dials(struct nexthop *n, int64_t now);

/* hop_uses.c */
/* Messages that this connection may carry, by its greeting; 0: any. */
uint32_t hop_uses_max(const struct nexthop *n, const struct hop_conn *ch);
/* Of RSETs without a message. */
uint32_t hop_resets_max(const struct hop_conn *ch);

/* nexthop.c */
struct hop_conn *nexthop_open(struct nexthop *n, const struct route_choice *to,
    bool plain, struct hop *h);
/* Takes the connection out of the pool and closes it. */
void nexthop_shut(
    struct nexthop *n, struct hop_conn *ch, bool politely, int64_t now);
/* Somebody waits who may be served in time alone: there will be a sweep. */
void nexthop_watch_line(struct nexthop *n, int64_t now);
/* idle <-> busy */
void nexthop_attach(struct nexthop *n, struct hop_conn *ch, struct hop *h);
void nexthop_detach(struct nexthop *n, struct hop_conn *ch, int64_t now);
void nexthop_note_up(struct nexthop *n, struct hop_conn *ch);
void nexthop_note_fault(struct nexthop *n, struct hop_conn *ch,
    enum hop_conn_fault fault, const char *reason, int64_t now);

#endif
