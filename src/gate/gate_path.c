/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is free: the null path, the login's own address, what local_domains or
 * inbound_users name, the source itself where the envelope sender is the
 * source, the first path that a source ever used (its home), and all mail from
 * front ends that speak for others (xclient_from) without naming a login. VERP,
 * BATV and SRS count by their base.
 *
 * Mail that comes in does not count, nor does mail to exempt_recipients without
 * a login: a mail server on this machine hands in what came to it from all over
 * the world, and its client address is loopback. Local programs are known as
 * such, and count.
 */
#include "gate/gate_path_shared.h"

#include "base/hash.h"
#include "base/reverse_path.h"
#include "gate/owners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct txn_path {
	struct throttle_reservation r;
	bool counts;
	bool is_refused;
	bool is_handed_in; /* neither by a login nor by a local program */
	bool is_asked, is_reserved, is_observed;
	bool is_ended;            /* the reservation */
	uint64_t site;            /* its name at all relays; 0: nobody shares */
	uint64_t shared;          /* reserved there; 0: nobody was asked */
	struct path_later *later; /* NULL: no question is open */
	char why[WORDS_MAX];
	char shown[]; /* the base */
};

/* ---- whose it is ---- */

struct sought {
	struct str user;
	bool found;
};

static void
on_user(void *arg, struct str user, struct str address)
{
	struct sought *s = arg;

	(void)address;
	s->found = s->found || str_ieq(user, s->user);
}

/* base: in the form in which addresses are compared, without a tag. */
static bool
is_logins_own(const struct gate_txn *txn, struct str user, struct str base)
{
	const struct gate *g = txn->g;
	const struct owners *owners = txn->policy->owners;
	struct str local = str_sub(base, 0, str_rindex(base, '@'));
	struct sought sought = {.user = user};
	char text[GATE_RECIPIENT_MAX];
	struct str as_address = {text, g->recipient_key(user, true, text)};

	if (user.n == 0)
		return false;
	if (str_ieq(user, base) ||
	    (as_address.n > 0 && str_eq(as_address, base)))
		return true;
	if (owners != NULL && owners_have(owners, user, base))
		return true;
	if (g->locals == NULL)
		return false;
	if (str_ieq(user, local) && locals_has(g->locals, base))
		return true;
	locals_each_user(g->locals, base, on_user, &sought);
	return sought.found;
}

/* The envelope sender is the source: the path cannot be foreign. */
static bool
is_source_itself(const struct gate_txn *txn, const struct gate_facts *facts)
{
	struct gate_facts other = *facts;
	char key[POLICY_SOURCE_MAX];
	size_t n;

	other.sender = STR("another@sender.invalid");
	n = policy_source_key(txn->policy, &other, key);
	return !str_eq((struct str){key, n}, txn_key(txn));
}

static bool
is_free(
    const struct gate_txn *txn, const struct gate_facts *facts, struct str base)
{
	const struct policy_conf *conf = txn->policy->conf;
	const struct gate *g = txn->g;

	if (txn->is_exempt || conf->reverse_paths == POLICY_PATHS_FREE ||
	    txn->policy->throttle.paper)
		return true;
	if (facts->front_end && facts->user.n == 0)
		return true;
	if (g->locals != NULL && locals_has(g->locals, base))
		return true;
	return is_logins_own(txn, facts->user, base) ||
	       is_source_itself(txn, facts);
}

/* ---- begin ---- */

void
path_begin(struct gate_txn *txn, const struct gate_facts *facts)
{
	const struct policy_conf *conf = txn->policy->conf;
	struct gate *g = txn->g;
	char mem[REVERSE_PATH_MAX];
	struct str base;
	struct txn_path *p;
	bool refused, counts;

	if (facts->sender.n == 0)
		return;
	base = reverse_path_base(facts->sender, mem);
	refused = conf->sender_addresses == POLICY_SENDERS_OWN &&
		  facts->user.n > 0 && !is_logins_own(txn, facts->user, base);
	counts = !is_free(txn, facts, base);
	if (!refused && !counts)
		return;
	p = xcalloc(1, sizeof(*p) + base.n + 1);
	p->counts = counts;
	p->is_refused = refused;
	p->is_handed_in = facts->user.n == 0 && !facts->local;
	p->r.destination = hash_str(base, g->seed);
	if (g->share_ops != NULL)
		p->site = g->share_ops->destination(g->share_arg, base);
	memcpy(p->shown, base.p, base.n);
	txn->path = p;
}

static void
tell_shared(struct gate_txn *txn, enum share_what what)
{
	const struct txn_path *p = txn->path;

	if (what == SHARE_CANCEL && p->shared == 0)
		return;
	/* What waits is compared with what the server has. */
	if (what == SHARE_QUEUE && p->shared == 0)
		return;
	if (what == SHARE_PASSED && p->shared == 0 &&
	    p->r.reason == THROTTLE_KNOWN) {
		shared_touch(txn->g, txn->src, p->site);
		return;
	}
	if (what == SHARE_PASSED && p->shared == 0)
		shared_note_untold(txn->g, txn->src, SHARE_NEW);
	shared_note_path(txn, what, p->site, p->shared, p->r.destination);
}

/* An end that is neither a commit nor a cancel is in doubt: the message may
 * have gone, and its path is spent. */
void
path_free(struct gate_txn *txn)
{
	struct txn_path *p = txn->path;
	struct gate *g = txn->g;

	if (p != NULL && p->later != NULL)
		p->later->txn = NULL;
	if (p != NULL && p->is_reserved && !p->is_ended) {
		if (p->r.verdict == THROTTLE_HOLD) {
			tell_shared(txn, SHARE_CANCEL);
			throttle_cancel(g->throttle, txn->src, &p->r, g->now);
		} else {
			tell_shared(txn, SHARE_PASSED);
			throttle_commit(
			    g->throttle, txn->src, &p->r, 0, g->now);
		}
		source_touch(g, txn->src);
		shared_tell(txn, g->now);
	}
	free(p);
}

bool
path_is_refused(const struct gate_txn *txn)
{
	return txn->path != NULL && txn->path->is_refused;
}

const char *
path_shown(const struct gate_txn *txn)
{
	return txn->path->shown;
}

/* ---- the question ---- */

/* The first path of a source is its own: lists, ticket systems and logins of
 * which no configuration tells the address. */
static bool
is_home(struct throttle_source *src, uint64_t destination)
{
	struct gate_source *data = source_data(src);

	if (data->home == 0)
		data->home = destination;
	return data->home == destination;
}

static void
write_why(struct gate_txn *txn, struct throttle_source *src, int64_t now)
{
	struct gate *g = txn->g;
	struct txn_path *p = txn->path;
	int n;

	n = snprintf(
	    p->why, sizeof(p->why), "reverse path is new to this sender; ");
	if (p->r.reason != THROTTLE_KNOWN && p->r.reason != THROTTLE_NEW) {
		char why[WORDS_MAX];

		words_why(g, src, &p->r, now, why);
		str_copy(str_from(why), p->why + n, sizeof(p->why) - (size_t)n);
	}
}

static void
reserve(struct gate_txn *txn, struct throttle_source *src, int64_t now)
{
	struct txn_path *p = txn->path;

	txn_reserve(txn, src, p->r.destination, now, &p->r);
	write_why(txn, src, now);
}

/* It is reserved, in whatever way. */
static enum path_answer
settle_answer(struct gate_txn *txn, struct throttle_source *src, int64_t now,
    char why[WORDS_MAX])
{
	struct txn_path *p = txn->path;
	struct gate *g = txn->g;

	if (p->r.verdict == THROTTLE_REFUSE) {
		p->is_asked = false;
		throttle_cancel(g->throttle, src, &p->r, now);
		if (p->r.reason == THROTTLE_FROZEN || g->observe)
			return PATH_ASKED;
		str_copy(str_from(p->why), why, WORDS_MAX);
		return PATH_FULL;
	}
	p->is_observed = g->observe && p->r.verdict == THROTTLE_HOLD;
	p->is_reserved = true;
	txn->src = src;
	txn->reserved++;
	return PATH_ASKED;
}

/* Nobody else has a say in it. */
static enum path_answer
ask_here(struct gate_txn *txn, struct throttle_source *src, int64_t now,
    char why[WORDS_MAX])
{
	struct txn_path *p = txn->path;

	if (is_home(src, p->r.destination)) {
		p->counts = false;
		return PATH_ASKED;
	}
	reserve(txn, src, now);
	return settle_answer(txn, src, now, why);
}

/* Known here, and it needs no question. */
static bool
is_known_here(struct gate_txn *txn, struct throttle_source *src, int64_t now)
{
	struct throttle_reservation r;
	uint64_t destination = txn->path->r.destination;

	if (source_data(src)->home == destination || freeze_is_on(src))
		return true;
	txn_reserve(txn, src, destination, now, &r);
	throttle_cancel(txn->g->throttle, src, &r, now);
	return r.reason == THROTTLE_KNOWN && source_data(src)->home != 0;
}

enum path_answer
path_ask(const struct question *q, char why[WORDS_MAX])
{
	struct gate_txn *txn = q->txn;
	struct txn_path *p = txn->path;
	struct throttle_source *src;

	if (p == NULL || !p->counts || p->is_asked)
		return PATH_ASKED;
	if (p->is_handed_in &&
	    policy_exempts_recipient(txn->policy, q->address))
		return PATH_ASKED;
	src = txn_need_source(txn, q->now);
	p->is_asked = true;
	if (source_data(src)->home == p->r.destination)
		path_shared_tell_home(txn, src, p->site);
	else if (!is_known_here(txn, src, q->now)) {
		if (path_shared_ask(q, src, p->site,
			source_data(src)->home == 0, &p->later))
			return PATH_LATER;
		p->is_asked = !shared_refuses(txn->g, src);
		if (!p->is_asked)
			return PATH_ALONE;
	}
	return ask_here(txn, src, q->now, why);
}

/* What the others say of it is made so here. */
static enum path_answer
take_ruling(const struct path_later *later,
    const struct throttle_reservation *ruling, struct throttle_source *src,
    int64_t now, char why[WORDS_MAX])
{
	struct gate_txn *txn = later->txn;
	struct txn_path *p = txn->path;
	struct throttle_reservation made = *ruling;

	if (made.verdict != THROTTLE_REFUSE)
		p->shared = later->reservation;
	if (made.reason == THROTTLE_KNOWN && later->may_be_home) {
		source_data(src)->home = p->r.destination;
		source_data(src)->home_told = txn->g->share_times;
		p->counts = false;
		return PATH_ASKED;
	}
	reserve(txn, src, now);
	if (p->r.reason == THROTTLE_FROZEN) {
		tell_shared(txn, SHARE_CANCEL);
		p->shared = 0;
	} else {
		made.destination = p->r.destination;
		throttle_rule(txn->g->throttle, src, &p->r, &made);
		write_why(txn, src, now);
	}
	return settle_answer(txn, src, now, why);
}

void
path_said(const struct path_later *later,
    const struct throttle_reservation *ruling, int64_t now)
{
	struct gate_txn *txn = later->txn;
	struct throttle_source *src = txn_need_source(txn, now);
	struct question q = later->q;
	char why[WORDS_MAX];
	enum path_answer answer;

	txn->path->later = NULL;
	q.now = now;
	if (ruling == NULL && shared_refuses_then(txn->g, src)) {
		txn->path->is_asked = false;
		(void)question_refuse_alone(&q, src, true);
		return;
	}
	answer = ruling != NULL ? take_ruling(later, ruling, src, now, why)
				: ask_here(txn, src, now, why);
	if (answer == PATH_FULL)
		question_refuse_no_room(&q, why);
	else
		recipient_go_on(&q);
}

bool
path_is_held(const struct gate_txn *txn)
{
	const struct txn_path *p = txn->path;

	return p != NULL && p->is_reserved && !p->is_observed &&
	       p->r.verdict == THROTTLE_HOLD;
}

const char *
path_why(const struct gate_txn *txn)
{
	return txn->path->why;
}

bool
path_is_known(const struct gate_txn *txn)
{
	const struct txn_path *p = txn->path;

	return p == NULL || !p->is_reserved || p->r.reason == THROTTLE_KNOWN;
}

bool
path_is_carried_by(const struct gate_txn *txn, size_t recipient)
{
	if (recipient != 0 || txn->n == 0 || !path_is_held(txn))
		return false;
	for (uint32_t i = 0; i < txn->n; i++) {
		if (txn->entries[i].verdict == THROTTLE_HOLD)
			return false;
	}
	return true;
}

uint64_t
path_site(const struct gate_txn *txn)
{
	return txn->path->site;
}

bool
path_is_asking(const struct gate_txn *txn)
{
	return txn->path != NULL && txn->path->later != NULL;
}

uint64_t
path_destination(const struct gate_txn *txn)
{
	return txn->path->r.destination;
}

enum gate_path
gate_txn_path(const struct gate_txn *txn)
{
	if (path_is_held(txn))
		return GATE_PATH_HELD;
	return path_is_known(txn) ? GATE_PATH_KNOWN : GATE_PATH_NEW;
}

/* ---- the end ---- */

struct places { /* the first of each in the queue; SIZE_MAX: none */
	uint64_t path, other;
	size_t path_at, other_at, n;
};

static void
look_at(void *arg, uint64_t destination, uint64_t ticket)
{
	struct places *l = arg;

	(void)ticket;
	if (destination == l->path && l->path_at == SIZE_MAX)
		l->path_at = l->n;
	if (destination == l->other && l->other_at == SIZE_MAX)
		l->other_at = l->n;
	l->n++;
}

static struct places
places_of(const struct gate_txn *txn, uint64_t other)
{
	struct places l = {.path = txn->path->r.destination,
	    .other = other,
	    .path_at = SIZE_MAX,
	    .other_at = SIZE_MAX};

	throttle_queue_each(txn->src, look_at, &l);
	return l;
}

uint64_t
path_queued_as(const struct gate_txn *txn, uint64_t destination)
{
	struct places l;

	if (!path_is_held(txn) || txn->src == NULL)
		return destination;
	l = places_of(txn, destination);
	return l.path_at != SIZE_MAX && l.other_at < l.path_at ? l.path
							       : destination;
}

static void
tell(struct gate_txn *txn, uint64_t ticket, int64_t wall)
{
	const struct txn_path *p = txn->path;
	struct gate_news news = {
	    .type = p->is_observed ? EVENT_OBSERVE : EVENT_HOLD,
	    .sender = txn->key,
	    .policy = txn->policy->conf->name,
	    .address = p->shown,
	    .ticket = ticket,
	    .why = p->why,
	    .queue_length = source_queue(txn->g, txn->src),
	};

	gate_tell(txn->g, wall, &news);
}

static void
note(struct gate_txn *txn)
{
	struct gate_source *data = source_data(txn->src);
	const struct txn_path *p = txn->path;

	if (p->r.reason == THROTTLE_KNOWN)
		return;
	counters_add(txn->g->counters, COUNT_NEW_REVERSE_PATHS, 1);
	data->new_paths++;
	if (p->r.verdict != THROTTLE_HOLD)
		return;
	if (!p->is_observed)
		counters_add(txn->g->counters, COUNT_REVERSE_PATH_HOLDS, 1);
	data->held_paths++;
	free(data->last_path);
	data->last_path = xstrdup(p->shown);
}

/* It stays pinned: the recipients come after it. */
static void
give_back(struct gate_txn *txn, int64_t now)
{
	txn->path->is_ended = true;
	tell_shared(txn, SHARE_CANCEL);
	throttle_cancel(txn->g->throttle, txn->src, &txn->path->r, now);
}

static void
settle(struct gate_txn *txn, uint64_t ticket, int64_t now, int64_t wall)
{
	struct txn_path *p = txn->path;
	struct gate *g = txn->g;

	p->is_ended = true;
	note(txn);
	freeze_rearm(g, txn->src);
	/* Without mail of its own one place is enough. */
	if (p->r.verdict == THROTTLE_HOLD && ticket == 0 &&
	    places_of(txn, 0).path_at != SIZE_MAX)
		give_back(txn, now);
	else {
		tell_shared(txn,
		    p->r.verdict == THROTTLE_HOLD ? SHARE_QUEUE : SHARE_PASSED);
		throttle_commit(g->throttle, txn->src, &p->r, ticket, now);
	}
	source_touch(g, txn->src);
	if (p->r.verdict == THROTTLE_HOLD)
		tell(txn, ticket, wall);
	if (p->r.reason != THROTTLE_KNOWN)
		warn_source(g, txn->src, now, wall);
	freeze_settle(g, now, wall);
}

void
path_commit(
    struct gate_txn *txn, const uint64_t *tickets, int64_t now, int64_t wall)
{
	bool carried = tickets != NULL && path_is_carried_by(txn, 0);

	if (txn->path != NULL && txn->path->is_reserved)
		settle(txn, carried ? tickets[0] : 0, now, wall);
}

void
path_defer(struct gate_txn *txn, int64_t now, int64_t wall)
{
	if (path_is_held(txn))
		settle(txn, 0, now, wall);
	else
		path_cancel(txn, now);
}

void
path_cancel(struct gate_txn *txn, int64_t now)
{
	if (txn->path != NULL && txn->path->is_reserved)
		give_back(txn, now);
}
