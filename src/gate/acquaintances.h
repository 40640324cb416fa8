/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of acquaintances: whom each source knows, and why. It lies in the
 * spool, a row for each source; what is in use is in memory, up to a number of
 * bytes. Nothing here waits for the disk: what is not in memory is read behind
 * the caller's back, and the answer comes later, from the loop.
 *
 * What changed is written behind, some seconds later, and is never dropped from
 * memory before that. A row that cannot be read back is damaged: it is told in
 * the log, and the source begins anew. A row that the disk does not give is
 * asked for again.
 *
 * What comes in may be forged, so that what is learnt from it is bounded: per
 * source in number and in rate, and of each origin in share.
 *
 * Event loop's thread. `now` is monotonic ms, `wall` wall-clock ms. A source
 * without acquaintances takes nothing on disk.
 */
#ifndef GATE_ACQUAINTANCES_H
#define GATE_ACQUAINTANCES_H

#include "base/list.h"
#include "gate/acquaintance_set.h"
#include "os/counters.h"
#include "os/log.h"
#include "spool/spool.h"
#include "weir/throttle.h"

struct acquaintances;
struct acquaintance_observation;

struct acquaintances_settings {
	size_t bytes_max; /* of memory (acquaintances_memory) */
	/* Written to so long ago: forgotten, when the row is next written; and
	 * a row that was not written for longer is swept away. 0: never. */
	int64_t keep_ms;
	/* Sources with a row on disk: past it incoming mail, which anybody may
	 * send to anybody of ours, begins no further one. */
	uint64_t rows_max;
	/* Something new was noted of a destination that has a name at all
	 * relays. NULL: nobody shares it. */
	void (*on_new)(void *arg, const char *source, uint64_t site,
	    unsigned why, uint32_t day);
	/* Incoming mail would make somebody known, and this relay's bounds have
	 * room. True: acquaintances_learn comes with ACQUAINTANCE_GRANTED, or
	 * not. False: it is learnt at once. May be NULL. */
	bool (*on_met)(void *arg, const char *source,
	    const struct acquaintance_observation *observation, uint32_t day);
	/* acquaintances_next_due has become earlier; may be NULL. */
	void (*on_due)(void *arg);
	void *arg;
};

/* spool NULL: in memory alone. */
struct acquaintances *acquaintances_new(
    const struct acquaintances_settings *settings, struct spool *spool,
    struct counters *counters, struct log *log);
/* Without saving; no question is open. Nothing of the spool may run after it
 * but spool_close. */
void acquaintances_free(struct acquaintances *a); /* takes NULL */
void acquaintances_reload(
    struct acquaintances *a, const struct acquaintances_settings *settings);

/* ---- questions ---- */

enum acquaintance_answer {
	ACQUAINTANCE_UNKNOWN,
	ACQUAINTANCE_KNOWN,
	ACQUAINTANCE_ERROR, /* the disk does not say; no "unknown" */
	ACQUAINTANCE_LATER, /* fn is called, once, from the loop */
};

struct acquaintance_question;
/* answer: KNOWN, with q->found, UNKNOWN or ERROR. q is the caller's again. */
typedef void acquaintance_fn(
    struct acquaintance_question *q, enum acquaintance_answer answer);

struct acquaintance_question { /* the caller's, zeroed at first */
	uint64_t destination;
	/* Its name at all relays, by which another relay may have told of it;
	 * 0: none. */
	uint64_t site;
	int64_t wall;
	/* Remembered for so long after the last mail: those that the source
	 * wrote to or that were imported (familiar_for), and those that
	 * incoming mail named (inbound_expiry). See acquaintance_since; 0: not
	 * at all. */
	int64_t familiar_for_ms, met_for_ms;
	acquaintance_fn *fn;
	void *arg;
	struct acquaintance found; /* out, when KNOWN */
	struct list entry;         /* private */
	bool is_open;              /* private: fn is still to come */
};

/* The source begins a message: its row is read, unless it is in memory. */
void acquaintances_want(
    struct acquaintances *a, struct str source, int64_t now, int64_t wall);
/* Does the source know the destination? KNOWN, UNKNOWN or ERROR at once, or
 * LATER. */
enum acquaintance_answer acquaintances_ask(struct acquaintances *a,
    struct str source, struct acquaintance_question *q);
/* fn does not come any more. Harmless when it has come, or was never to. */
void acquaintances_unask(struct acquaintance_question *q);

/* ---- what is learnt ---- */

/* Mail of the source went there, or an administrator said so: no limit but
 * ACQUAINTANCES_MAX. last: wall, of the last mail, not in the
 * future. Returns false when there is
 * no memory to note it in, since what waits to be written fills it. */
bool acquaintances_add(struct acquaintances *a, struct str source,
    uint64_t destination, unsigned why, int64_t last);

/* The same of one that has a name at all relays: on_new tells of it. */
bool acquaintances_add_shared(struct acquaintances *a, struct str source,
    uint64_t destination, uint64_t site, unsigned why, int64_t last);

/* Where incoming mail comes from, as hashes; 0: not known, not counted. */
struct acquaintance_origin {
	uint16_t domain;
	uint16_t network; /* of the client */
};
enum acquaintance_told {
	ACQUAINTANCE_SEEN,    /* here */
	ACQUAINTANCE_GRANTED, /* here, and on_met has its answer */
	ACQUAINTANCE_TOLD,    /* by another relay, which decided by itself */
	ACQUAINTANCE_COUNTED, /* by another relay, within the site's rate */
};
struct acquaintance_observation {
	uint64_t destination;
	uint64_t site; /* its name at all relays; 0: none */
	enum acquaintance_told told;
	unsigned why; /* of ACQUAINTANCE_MET */
	struct acquaintance_origin origin;
	struct acquaintance_rules rules;
};
/* Incoming mail named the destination. Of the new ones in a window of the rate
 * one domain or one network has half at most, and one domain from one network a
 * fifth; five at least. What came of it is counted, now or when the row has
 * been read. */
void acquaintances_learn(struct acquaintances *a, struct str source,
    const struct acquaintance_observation *observation, int64_t now,
    int64_t wall);
/* The same of mail of another day. */
void acquaintances_learn_of(struct acquaintances *a, struct str source,
    const struct acquaintance_observation *observation, uint32_t day,
    int64_t now, int64_t wall);

/* ---- the administrator ---- */

struct acquaintance_tally {
	uint32_t total;
	uint32_t why[ACQUAINTANCE_WHYS]; /* by bit; one may have several */
	uint32_t met;                    /* known from incoming mail alone, */
	uint32_t met_now;                /* and not expired */
};
/* met_for_ms, wall: as of a question. False: the row is not in memory. Whoever
 * wants it asks a question first. */
MUST_CHECK bool acquaintances_tally(const struct acquaintances *a,
    struct str source, int64_t met_for_ms, int64_t wall,
    struct acquaintance_tally *out);
/* The source knows nobody from now on; what was under way is dropped, too. */
void acquaintances_forget(
    struct acquaintances *a, struct str source, int64_t wall);

/* ---- the loop ---- */

/* Counts the rows that the spool has. Blocks; at start. 0 or errno. */
MUST_CHECK int acquaintances_begin(
    struct acquaintances *a, int64_t now, int64_t wall);
/* INT64_MAX: nothing is due. */
int64_t acquaintances_next_due(const struct acquaintances *a);
/* Writes what has waited long enough, and tries again what failed. */
void acquaintances_run(struct acquaintances *a, int64_t now, int64_t wall);
/* Looks at some hundred rows for those that are old. */
void acquaintances_sweep(struct acquaintances *a, int64_t now, int64_t wall);
/* Hands all that changed to the spool (before exit). False: something that was
 * added still waits in memory, since its row has not been read. */
bool acquaintances_save(struct acquaintances *a, int64_t wall);

struct acquaintances_stats {
	size_t sources, bytes, dirty; /* in memory */
	uint64_t rows;                /* on disk */
	uint64_t reads, read_errors, damaged;
	uint64_t dropped; /* not noted: no memory */
	bool is_failing;  /* the last write failed, and is tried again */
};
void acquaintances_stats(
    const struct acquaintances *a, struct acquaintances_stats *out);

#endif
