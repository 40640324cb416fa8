/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions into arguments of the script, its reply into answers. The reply is
 * an input like any other: what does not fit is no answer.
 */
#include "share/arbiter.h"

#include "base/list.h"
#include "share/scopes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME 8       /* bytes of a relay, a destination, a ticket */
#define KEYS 3       /* of a lane */
#define HEAD 9       /* arguments before the steps */
#define EXTRA 2      /* steps that a question makes itself */
#define REPLY_HEAD 9 /* elements before the rulings */
#define RULING 5     /* elements of each */
#define SIGNALS 3    /* elements behind them, or none */
#define NETWORK_MAX (SEAL_NUMBER + 1 + 2 * 15) /* bytes of one */
#define AGE_MAX (INT64_C(1) << 41)
#define GRANTED_MAX 8192
#define TEXT_MAX (1u << 16)

extern const char arbiter_text[]; /* arbiter.lua */

struct arbiter {
	struct redis_link *link;
	const struct seal *seal;
	char *prefix;
	char relay[NAME];
	struct redis_script script;
	struct list open; /* struct ask */
	struct scopes *scopes;
};

struct ask {
	struct list entry;
	struct arbiter *arbiter;
	size_t reserves;
	uint64_t *destinations; /* of these */
	share_answer_fn *fn;
	void *arg;
};

/* ---- the question ---- */

static void
put_name(char out[NAME], uint64_t v)
{
	for (unsigned i = 0; i < NAME; i++)
		out[i] = (char)(unsigned char)(v >> 8 * i);
}

static uint64_t
get_name(const char in[NAME])
{
	uint64_t v = 0;

	for (unsigned i = 0; i < NAME; i++)
		v |= (uint64_t)(unsigned char)in[i] << 8 * i;
	return v;
}

/* A double, the highest byte first; numbers of policies fit. */
static bool
put_number(struct buf *out, int64_t v)
{
	double d = (double)v;
	unsigned char bytes[sizeof(d)], *p = bytes;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	for (unsigned i = 0; i < sizeof(d); i++)
		*p++ = (unsigned char)(bits >> 8 * (sizeof(d) - 1 - i));
	return buf_append(out, bytes, sizeof(bytes));
}

static bool
write_policy(const struct share_question *q, struct buf *out)
{
	const struct throttle_policy *p = q->policy;

	bool ok = put_number(out, p->working_set) &&
		  put_number(out, p->interval_ms) &&
		  put_number(out, p->burst) && put_number(out, p->initial) &&
		  put_number(out, p->freeze_at) &&
		  put_number(out, p->freeze_growth.count) &&
		  put_number(out, p->freeze_growth.window_ms) &&
		  put_number(out, p->queue_max) &&
		  put_number(out,
		      p->hold_when_frozen + 2 * q->is_spared + 4 * p->paper);

	for (uint32_t i = 0; ok && i < p->limit_count; i++)
		ok = put_number(out, p->limits[i].count) &&
		     put_number(out, p->limits[i].window_ms);
	return ok;
}

static bool
write_ages(const struct share_level *seed, struct buf *out)
{
	for (size_t i = 0; i < seed->ages_n; i++) {
		if (!buf_printf(out, "%" PRId64 " ",
			seed->ages[i] > 0 ? seed->ages[i] : 0))
			return false;
	}
	return true;
}

/* Everything that the arguments point to. */
struct words {
	struct buf policy, seed, ages, names, networks;
	char frozen[2], untold[16], lease[16], at[24];
	char rules[96], credit[72];
	unsigned char network[SEAL_NUMBER];
	struct str args[HEAD + 3 * (EXTRA + SHARE_STEPS_MAX)];
	size_t n;
};

static const char *const letters[] = {
    [SHARE_RESERVE] = "R",
    [SHARE_RESERVE_HELD] = "H",
    [SHARE_RESERVE_LAST] = "r",
    [SHARE_RESERVE_LAST_HELD] = "h",
    [SHARE_PASSED] = "C",
    [SHARE_CANCEL] = "X",
    [SHARE_QUEUE] = "Q",
    [SHARE_BARRED] = "b",
    [SHARE_APPEND] = "A",
    [SHARE_LEARN] = "L",
    [SHARE_BLAST_BEGIN] = "B",
    [SHARE_BLAST_END] = "E",
    [SHARE_HAVE] = "J",
    [SHARE_HOME] = "m",
    [SHARE_HOME_MAYBE] = "M",
    [SHARE_REFUSED] = "F",
    [SHARE_REFUSED_HEARSAY] = "f",
    [SHARE_NETWORK] = "U",
    [SHARE_DELIVERED] = "D",
};

static char *
add_name(struct words *w, uint64_t v)
{
	char *at = buf_reserve(&w->names, NAME);

	put_name(at, v);
	buf_commit(&w->names, NAME);
	return at;
}

static void
write_step(const struct arbiter *d, struct words *w, const struct share_step *s)
{
	char *at;

	w->args[w->n++] = str_from(letters[s->what]);
	if (s->what == SHARE_HAVE) {
		at = w->names.mem + w->names.off + w->names.len;
		for (size_t i = 0; i < s->list_n; i++)
			(void)add_name(w, s->list[i]);
		w->args[w->n++] = (struct str){at, NAME * s->list_n};
		w->args[w->n++] = STR("");
		return;
	}
	if (s->what == SHARE_NETWORK) {
		at = buf_reserve(&w->names, SEAL_NUMBER);
		seal_number(d->seal, s->destination, (unsigned char *)at);
		buf_commit(&w->names, SEAL_NUMBER);
		w->args[w->n++] = (struct str){at, SEAL_NUMBER};
		w->args[w->n++] = STR("");
		return;
	}
	at = add_name(w, s->destination);
	w->args[w->n++] = (struct str){at, NAME};
	if (s->what == SHARE_QUEUE || s->what == SHARE_BARRED) {
		at = add_name(w, s->ticket);
		(void)add_name(w, s->reservation);
		w->args[w->n++] = (struct str){at, 2 * NAME};
		return;
	}
	at = add_name(w, s->what == SHARE_APPEND ? s->ticket : s->reservation);
	w->args[w->n++] = (struct str){at, NAME};
}

static int64_t
age(int64_t ms)
{
	if (ms < 0)
		return 0;
	return ms < AGE_MAX ? ms : AGE_MAX;
}

/* As arbiter.lua has them. */
static bool
write_known(
    const struct arbiter *d, const struct share_signals *known, struct words *w)
{
	char name[SEAL_NUMBER];

	if (known->has_credit)
		snprintf(w->credit, sizeof(w->credit),
		    "%" PRId64 " %" PRId64 " %" PRId64, known->left,
		    known->empty_ms < 0 ? -1 : age(known->empty_ms),
		    age(known->refused_ms));
	for (size_t i = 0; known->has_networks && i < known->networks_n; i++) {
		const struct share_network *n = &known->networks[i];

		seal_number(d->seal, n->net, (unsigned char *)name);
		if (!buf_append(&w->networks, name, sizeof(name)) ||
		    !buf_printf(&w->networks, "%d%" PRId64 " %" PRId64 " ",
			n->is_learnt, age(n->since_ms), age(n->last_ms)))
			return false;
	}
	return true;
}

static void
add_signals(
    const struct arbiter *d, const struct share_question *q, struct words *w)
{
	const struct share_signal_rules *r = &q->signals;

	bool is_about = q->known != NULL;

	for (size_t i = 0; i < q->steps_n; i++)
		is_about |= q->steps[i].what >= SHARE_REFUSED;
	snprintf(w->rules, sizeof(w->rules), "%s%u %" PRId64 " %u %" PRId64,
	    is_about ? "+" : "", r->credit, r->credit_freeze_ms, r->networks,
	    r->networks_window_ms);
	w->args[w->n++] = str_from(w->rules);
	if (q->network != 0 && r->networks > 0) {
		seal_number(d->seal, q->network, w->network);
		w->args[w->n++] = STR("N");
		w->args[w->n++] =
		    (struct str){(const char *)w->network, SEAL_NUMBER};
		w->args[w->n++] = STR("");
	}
	if (q->known != NULL) {
		w->args[w->n++] = STR("K");
		w->args[w->n++] = str_from(w->credit);
		w->args[w->n++] = buf_str(&w->networks);
	}
}

static bool
write_words(
    const struct arbiter *d, const struct share_question *q, struct words *w)
{
	size_t names = 0;

	for (size_t i = 0; i < q->steps_n; i++)
		names += 3 + q->steps[i].list_n;
	/* All at once: the arguments point into it. */
	if (q->steps_n > SHARE_STEPS_MAX || NAME * names > TEXT_MAX ||
	    (names > 0 && buf_reserve(&w->names, NAME * names) == NULL) ||
	    !write_policy(q, &w->policy) ||
	    (q->known != NULL && !write_known(d, q->known, w)))
		return false;
	if (q->seed != NULL && (!buf_printf(&w->seed, "%u %" PRId64,
				    q->seed->allowance, q->seed->tick_in) ||
				   !write_ages(q->seed, &w->ages)))
		return false;
	snprintf(w->frozen, sizeof(w->frozen), "%d",
	    q->is_frozen    ? 1
	    : q->was_thawed ? 2
			    : 0);
	snprintf(w->untold, sizeof(w->untold), "%u",
	    q->untold < THROTTLE_COUNT_MAX ? q->untold : THROTTLE_COUNT_MAX);
	snprintf(w->lease, sizeof(w->lease), "%d", ARBITER_LEASE_S);
	snprintf(w->at, sizeof(w->at), "%" PRId64, q->at);
	w->args[w->n++] = buf_str(&w->policy);
	w->args[w->n++] = (struct str){d->relay, NAME};
	w->args[w->n++] = str_from(w->frozen);
	w->args[w->n++] = str_from(w->untold);
	w->args[w->n++] = buf_str(&w->seed);
	w->args[w->n++] = buf_str(&w->ages);
	w->args[w->n++] = str_from(w->lease);
	w->args[w->n++] = q->at != 0 ? str_from(w->at) : STR("");
	add_signals(d, q, w);
	for (size_t i = 0; i < q->steps_n; i++)
		write_step(d, w, &q->steps[i]);
	return true;
}

/* ---- the answer ---- */

static bool
read_number(const struct resp_value *reply, size_t i, int64_t low, int64_t high,
    int64_t *out)
{
	const struct resp_value *v = resp_at(reply, i);

	*out = v->integer;
	return v->type == RESP_INTEGER && *out >= low && *out <= high;
}

/* Whoever passes and is not known is taken from the allowance here, which has
 * to have one. */
static bool
is_ruling(int64_t verdict, int64_t reason)
{
	switch (reason) {
	case THROTTLE_KNOWN:
	case THROTTLE_NEW:
		return verdict == THROTTLE_PASS;
	case THROTTLE_FROZEN:
		return verdict != THROTTLE_PASS;
	case THROTTLE_FULL:
		return verdict == THROTTLE_REFUSE;
	default:
		return verdict == THROTTLE_HOLD;
	}
}

static bool
read_ruling(const struct resp_value *reply, size_t at, uint64_t destination,
    struct throttle_reservation *out)
{
	int64_t verdict, reason, which, length, due;

	if (!read_number(reply, at, THROTTLE_PASS, THROTTLE_REFUSE, &verdict) ||
	    !read_number(
		reply, at + 1, THROTTLE_KNOWN, THROTTLE_FULL, &reason) ||
	    !is_ruling(verdict, reason) ||
	    !read_number(reply, at + 2, 0, THROTTLE_LIMITS_MAX - 1, &which) ||
	    !read_number(reply, at + 3, 0, UINT32_MAX, &length) ||
	    !read_number(reply, at + 4, -1, INT64_C(1) << 40, &due))
		return false;
	*out = (struct throttle_reservation){
	    .destination = destination,
	    .verdict = (enum throttle_verdict)verdict,
	    .reason = (enum throttle_reason)reason,
	    .limit_index = (uint8_t)which,
	    .queue_length = (uint32_t)length,
	    .due_ms = due < 0 ? INT64_MAX : due,
	};
	return true;
}

static bool
read_level(const struct resp_value *reply, struct share_answer *out)
{
	int64_t v[6], froze;

	for (size_t i = 0; i < 6; i++) {
		bool is_time = i == 1 || i == 5;

		if (!read_number(reply, i + 1, is_time ? -1 : 0,
			is_time ? INT64_C(1) << 41 : UINT32_MAX, &v[i]))
			return false;
	}
	if (!read_number(
		reply, 7, THROTTLE_FREEZE_NONE, THROTTLE_FREEZE_GROWTH, &froze))
		return false;
	out->allowance = (uint32_t)v[0];
	out->tick_in = v[1];
	out->waiting = (uint32_t)v[2];
	out->own_waiting = (uint32_t)v[3];
	out->mine = (uint32_t)v[4];
	out->next_in = v[5];
	out->froze = (enum throttle_freeze_reason)froze;
	return true;
}

/* A number and the space behind it. What is larger is taken for high: an age
 * grows in the server, and must not make an answer none. */
static bool
take_number(struct str *in, int64_t high, int64_t *out)
{
	size_t n = 0;
	int64_t v = 0;

	while (n < in->n && in->p[n] >= '0' && in->p[n] <= '9' && n < 15)
		v = v * 10 + (in->p[n++] - '0');
	if (n == 0 || n >= in->n || in->p[n] != ' ')
		return false;
	*out = v < high ? v : high;
	*in = str_sub(*in, n + 1, in->n);
	return true;
}

static bool
read_credit(struct str in, struct share_signals *out)
{
	char text[72];
	struct str left = {text, 0};

	if (in.n == 0)
		return true;
	if (in.n + 2 > sizeof(text))
		return false;
	left.n = (size_t)snprintf(text, sizeof(text), "%.*s ", (int)in.n, in.p);
	out->has_credit = true;
	if (!take_number(&left, UINT32_MAX, &out->left))
		return false;
	out->empty_ms = -1;
	if (str_starts(left, STR("-1 ")))
		left = str_sub(left, 3, left.n);
	else if (!take_number(&left, AGE_MAX, &out->empty_ms))
		return false;
	return take_number(&left, AGE_MAX, &out->refused_ms) && left.n == 0;
}

static bool
read_networks(struct str in, const struct seal *seal,
    struct share_network *networks, struct share_signals *out)
{
	if (in.n == 0)
		return true;
	out->has_networks = true;
	out->are_many = in.p[0] == '1';
	out->networks = networks;
	in = str_sub(in, 1, in.n);
	while (in.n > 0) {
		struct share_network *n = &networks[out->networks_n];
		const unsigned char *name = (const unsigned char *)in.p;

		if (in.n < SEAL_NUMBER + 1 ||
		    out->networks_n == SHARE_NETWORKS_MAX)
			return false;
		n->is_learnt = in.p[SEAL_NUMBER] == '1';
		in = str_sub(in, SEAL_NUMBER + 1, in.n);
		if (!take_number(&in, AGE_MAX, &n->since_ms) ||
		    !take_number(&in, AGE_MAX, &n->last_ms))
			return false;
		out->networks_n += seal_number_open(seal, name, &n->net);
	}
	return true;
}

static bool
read_signals(const struct resp_value *reply, size_t at, const struct seal *seal,
    struct share_network *networks, struct share_answer *out)
{
	struct str results = resp_text(resp_at(reply, at));

	if (reply->count == at)
		return true;
	if (results.n > 0)
		out->result = results.p[results.n - 1] - '0';
	return out->result >= -1 && out->result <= 3 &&
	       reply->count == at + SIGNALS &&
	       read_credit(resp_text(resp_at(reply, at + 1)), &out->signals) &&
	       read_networks(resp_text(resp_at(reply, at + 2)), seal, networks,
		   &out->signals);
}

size_t
arbiter_granted_max(const struct resp_value *reply)
{
	return resp_text(resp_at(reply, 8)).n / NAME;
}

bool
arbiter_read(const struct resp_value *reply, const struct seal *seal,
    const uint64_t *destinations, size_t reserves, struct share_answer *out,
    const struct arbiter_room *room)
{
	struct str names = resp_text(resp_at(reply, 8));
	int64_t is_known;

	*out = (struct share_answer){
	    .granted = room->granted, .rulings = room->rulings, .result = -1};
	if (reply->type != RESP_ARRAY ||
	    !read_number(reply, 0, 0, 1, &is_known))
		return false;
	out->is_unknown = is_known == 0;
	if (out->is_unknown)
		return true;
	if (!read_level(reply, out) ||
	    !read_signals(reply, REPLY_HEAD + RULING * reserves, seal,
		room->networks, out) ||
	    names.n % NAME != 0 || names.n / NAME > GRANTED_MAX)
		return false;
	out->granted_n = names.n / NAME;
	for (size_t i = 0; i < out->granted_n; i++)
		room->granted[i] = get_name(names.p + NAME * i);
	out->rulings_n = reserves;
	for (size_t i = 0; i < reserves; i++) {
		if (!read_ruling(reply, REPLY_HEAD + RULING * i,
			destinations[i], &room->rulings[i]))
			return false;
	}
	return true;
}

static void
ask_free(struct ask *a)
{
	list_remove(&a->entry);
	free(a->destinations);
	free(a);
}

static void
on_reply(void *arg, const struct resp_value *reply, int64_t now)
{
	struct ask *a = arg;
	share_answer_fn *fn = a->fn;
	void *fn_arg = a->arg;
	struct share_network networks[SHARE_NETWORKS_MAX];
	struct arbiter_room room = {.networks = networks};
	struct share_answer answer;
	bool ok = false;

	room.rulings = xcalloc(a->reserves + 1, sizeof(*room.rulings));
	room.granted =
	    xcalloc(arbiter_granted_max(reply) + 1, sizeof(*room.granted));
	if (reply != NULL)
		ok = arbiter_read(reply, a->arbiter->seal, a->destinations,
		    a->reserves, &answer, &room);
	ask_free(a);
	fn(fn_arg, ok ? &answer : NULL, now);
	free(room.rulings);
	free(room.granted);
}

/* In braces, so that all keys of a sender lie in one slot of a cluster. */
static char *
tag_of(const struct arbiter *d, struct str sender)
{
	unsigned char id[SEAL_ID];
	char hex[2 * SEAL_ID + 1];

	seal_id(d->seal, "sender", sender, id);
	for (size_t i = 0; i < SEAL_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return xasprintf("{%s:%d:%s}", d->prefix, ARBITER_VERSION, hex);
}

static bool
ask_server(struct arbiter *d, const struct share_question *q,
    const struct words *w, struct ask *a)
{
	static const char *const parts[SHARE_LANES][KEYS + 1] = {
	    [SHARE_NEW] = {"state", "queue", "index"},
	    [SHARE_FAMILIAR] = {"familiar:state", "familiar:queue",
		"familiar:index", "state"},
	};
	size_t n = q->lane == SHARE_FAMILIAR ? KEYS + 1 : KEYS;
	char *tag = tag_of(d, q->sender);
	struct str keys[KEYS + 1];
	bool ok;

	for (size_t i = 0; i < n; i++)
		keys[i] = str_from(xasprintf("%s:%s", tag, parts[q->lane][i]));
	free(tag);
	ok = redis_link_run(
	    d->link, &d->script, keys, n, w->args, w->n, on_reply, a);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)keys[i].p);
	return ok;
}

static bool
is_up(void *arg, struct str sender)
{
	const struct arbiter *d = arg;
	bool is_up = redis_link_is_up(d->link);
	char *tag;

	if (!is_up || redis_link_is_whole(d->link))
		return is_up;
	tag = tag_of(d, sender);
	is_up = redis_link_reaches(d->link, str_from(tag), NULL);
	free(tag);
	return is_up;
}

static bool
ask(void *arg, const struct share_question *q, share_answer_fn *fn,
    void *fn_arg)
{
	struct arbiter *d = arg;
	struct words *w;
	struct ask *a;
	bool ok;

	if (!is_up(d, q->sender))
		return false;
	w = xcalloc(1, sizeof(*w));
	buf_init(&w->policy, TEXT_MAX);
	buf_init(&w->seed, TEXT_MAX);
	buf_init(&w->ages, TEXT_MAX);
	buf_init(&w->names, TEXT_MAX);
	buf_init(&w->networks, SHARE_NETWORKS_MAX * NETWORK_MAX);
	a = xcalloc(1, sizeof(*a));
	a->arbiter = d;
	a->fn = fn;
	a->arg = fn_arg;
	a->destinations = xcalloc(q->steps_n + 1, sizeof(*a->destinations));
	for (size_t i = 0; i < q->steps_n; i++) {
		if (q->steps[i].what <= SHARE_RESERVE_LAST_HELD)
			a->destinations[a->reserves++] =
			    q->steps[i].destination;
	}
	list_append(&d->open, &a->entry);
	ok = write_words(d, q, w) && ask_server(d, q, w, a);
	if (!ok)
		ask_free(a);
	buf_clear(&w->policy);
	buf_clear(&w->seed);
	buf_clear(&w->ages);
	buf_clear(&w->names);
	buf_clear(&w->networks);
	free(w);
	return ok;
}

static bool
ask_scopes(
    void *arg, const struct share_scopes *q, share_scopes_fn *fn, void *fn_arg)
{
	return scopes_ask(((struct arbiter *)arg)->scopes, q, fn, fn_arg);
}

static uint64_t
destination(void *arg, struct str recipient)
{
	const struct arbiter *d = arg;
	unsigned char id[SEAL_ID];

	seal_id(d->seal, "recipient", recipient, id);
	return get_name((const char *)id);
}

const struct share_ops arbiter_ops = {
    .ask = ask,
    .ask_scopes = ask_scopes,
    .destination = destination,
    .is_up = is_up,
};

struct arbiter *
arbiter_new(struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *relay)
{
	struct arbiter *d = xcalloc(1, sizeof(*d));
	unsigned char id[SEAL_ID];

	d->link = link;
	d->seal = seal;
	d->prefix = xstrdup(prefix);
	seal_id(seal, "relay", str_from(relay), id);
	memcpy(d->relay, id, NAME);
	d->script.text = arbiter_text;
	list_init(&d->open);
	d->scopes = scopes_new(link, seal, prefix, relay);
	return d;
}

void
arbiter_free(struct arbiter *d)
{
	if (d == NULL)
		return;
	while (!list_is_empty(&d->open))
		ask_free(LIST_ITEM(d->open.next, struct ask, entry));
	scopes_free(d->scopes);
	free(d->prefix);
	free(d);
}
