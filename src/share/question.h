/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is asked about one sender of the throttle that several relays share, and
 * what is answered: the throttle's own words (weir/throttle.h), later. Whoever
 * asks includes this alone, and knows no server.
 */
#ifndef SHARE_QUESTION_H
#define SHARE_QUESTION_H

#include "base/str.h"
#include "weir/throttle.h"

#define SHARE_STEPS_MAX 600 /* of one question */
#define SHARE_LIST_MAX 4000 /* of one SHARE_HAVE */

/* A sender has two limiters. Whom the one of familiar recipients lets go is
 * learnt by the other, which is asked first whether it knows a destination. */
enum share_lane { SHARE_NEW, SHARE_FAMILIAR, SHARE_LANES };

enum share_what {
	SHARE_RESERVE,      /* gets a ruling */
	SHARE_RESERVE_HELD, /* the same; throttle_reserve_held */
	/* The same two; whoever is new waits, and throttle_exhaust with it. */
	SHARE_RESERVE_LAST,
	SHARE_RESERVE_LAST_HELD,
	SHARE_PASSED, /* a reservation to pass, or a known one: it went */
	SHARE_CANCEL,
	SHARE_QUEUE,  /* throttle_commit of what waits */
	SHARE_BARRED, /* the same, for something that is the relay's own */
	SHARE_APPEND, /* throttle_append */
	SHARE_LEARN,  /* throttle_learn */
	SHARE_BLAST_BEGIN,
	SHARE_BLAST_END,
	SHARE_HAVE, /* all of this relay that waits; order is the server's */
	/* The next reservation of this destination is of a reverse path; where
	 * it is the sender's home, it is known. MAYBE: it becomes that, unless
	 * there is one. */
	SHARE_HOME,
	SHARE_HOME_MAYBE,
	/* Signals; the first three give the result of the answer. */
	SHARE_REFUSED,
	SHARE_REFUSED_HEARSAY,
	SHARE_NETWORK, /* destination: the network that the login is used from
			*/
	SHARE_DELIVERED
};

struct share_step {
	enum share_what what;
	uint64_t destination; /* the same at all relays */
	uint64_t reservation; /* unlike any other's of this relay; 0: none */
	uint64_t ticket;      /* of what is queued: comes back in granted */
	const uint64_t *list; /* SHARE_HAVE: tickets */
	size_t list_n;
};

/* What is counted about the sender: gate/credit.h, gate/networks.h. */
struct share_signal_rules {
	uint32_t credit; /* 0: not counted */
	int64_t credit_freeze_ms;
	uint32_t networks; /* 0: not counted */
	int64_t networks_window_ms;
};

#define SHARE_NETWORKS_MAX 96
struct share_network {
	uint64_t net;
	bool is_learnt;
	int64_t since_ms, last_ms; /* ago */
};

struct share_signals {
	bool has_credit, has_networks; /* else nothing is known */
	int64_t left;                  /* of credit, in gate/credit.h's parts */
	int64_t empty_ms, refused_ms;  /* ago; empty_ms -1: it is not */
	bool are_many;                 /* networks; and that was told */
	const struct share_network *networks;
	size_t networks_n;
};

/* For a server that knows nothing of the sender. */
struct share_level {
	uint32_t allowance;  /* paper: free places of the working set */
	int64_t tick_in;     /* ms; -1: the clock stands */
	const int64_t *ages; /* ms, of passes, the oldest first */
	size_t ages_n;
};

struct share_question { /* borrowed for the call */
	struct str sender;
	enum share_lane lane;
	const struct throttle_policy *policy; /* of it */
	bool is_spared, is_frozen;
	bool was_thawed;                /* just now, here */
	uint32_t untold;                /* passed here, and nobody was asked */
	const struct share_level *seed; /* NULL: answer is_unknown first */
	struct share_signal_rules signals;
	uint64_t network; /* of the message's client; 0: none that counts */
	/* What is known here, where the server may know less: the smaller
	 * credit and all networks count. NULL: nothing. */
	const struct share_signals *known;
	const struct share_step *steps;
	size_t steps_n;
	int64_t at; /* for tests; 0: by the server's clock */
};

struct share_answer {       /* borrowed for the call */
	bool is_unknown;    /* nothing was done */
	uint32_t allowance; /* paper: free places of the working set */
	uint32_t waiting, own_waiting;
	uint32_t mine; /* of waiting, this relay's */
	int64_t tick_in;
	int64_t next_in; /* ms until the next may go; -1: not before a change */
	enum throttle_freeze_reason froze; /* the detector has fired */
	/* Tickets of this relay that may go now, for each destination at
	 * least one. They wait there no more. */
	const uint64_t *granted;
	size_t granted_n;
	/* For each reservation of the question, in order. due_ms is in ms from
	 * now on, or INT64_MAX. */
	const struct throttle_reservation *rulings;
	size_t rulings_n;
	struct share_signals signals;
	/* Of the last step that has one: enum credit_result or enum
	 * networks_result; -1: none has. */
	int result;
};

/* ---- scopes ---- */

/* Windows over the new recipients of many senders: gate/scope.h, gate/window.h.
 */
#define SHARE_SCOPES_MAX 16
#define SHARE_SLOTS 49
struct share_window {
	uint32_t count; /* in questions */
	int64_t length_ms;
	int64_t age_ms; /* of slot[0] */
	uint32_t slot[SHARE_SLOTS];
};

struct share_scope {
	struct str name, key;
	uint32_t untold; /* used here, and nobody was asked */
	/* As they are here, for a server that knows less; untold is in it.
	 */
	const struct share_window *windows;
	size_t windows_n;
};

enum share_scope_what {
	SHARE_SCOPE_RESERVE, /* a place in all of them, or a ruling why not */
	SHARE_SCOPE_TAKE,    /* the same, used at once */
	SHARE_SCOPE_COMMIT,
	SHARE_SCOPE_CANCEL,
	SHARE_SCOPE_JOIN /* the windows here count where they have more */
};

struct share_scope_step {
	enum share_scope_what what;
	uint64_t reservation; /* unlike any other's of this relay */
};

struct share_scopes { /* borrowed for the call */
	const struct share_scope *scopes;
	size_t scopes_n;
	const struct share_scope_step *steps;
	size_t steps_n;
	int64_t at; /* for tests; 0: by the server's clock */
};

struct share_scope_ruling {
	bool is_free;
	/* Else the window that opens last. */
	size_t scope, window;
	uint32_t used;
	int64_t open_in; /* ms */
};

struct share_scopes_answer { /* borrowed for the call */
	/* For each place that was asked for, in order. */
	const struct share_scope_ruling *rulings;
	size_t rulings_n;
	/* As they are now, of one scope after the other; without count and
	 * length. */
	const struct share_window *windows;
};

typedef void share_scopes_fn(
    void *arg, const struct share_scopes_answer *answer, int64_t now);

/* ---- who answers ---- */

/* answer NULL: none came in time. The question may have been carried out. */
typedef void share_answer_fn(
    void *arg, const struct share_answer *answer, int64_t now);

struct share_ops {
	/* False: the server is not there, fn is not called. */
	bool (*ask)(void *arg, const struct share_question *q,
	    share_answer_fn *fn, void *fn_arg);
	/* The same of scopes. */
	bool (*ask_scopes)(void *arg, const struct share_scopes *q,
	    share_scopes_fn *fn, void *fn_arg);
	/* A recipient's name at all relays. */
	uint64_t (*destination)(void *arg, struct str recipient);
	/* The server that decides about this sender is there. */
	bool (*is_up)(void *arg, struct str sender);
};

#endif
