/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question is at one place (a server) at a time: sent there, or waiting for
 * it to come up or for a moment to pass. As long as it was sent once, its
 * deadline is that of its place's connection, which ends with it. After a
 * redirect it is astray: its own deadline is watched here, and the connection
 * that is late with it has a deadline of its own from then on.
 *
 * The map is learnt over a connection of its own, the guide's, from the nodes
 * of the URL and those that are known, one after the other: when there is none,
 * after MOVED, and every second while a master or a slot is missing.
 */
#include "share/redis_link.h"

#include "base/list.h"
#include "share/redis_node.h"
#include "share/redis_slots.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ARGS_MAX 2048
#define REDIRECTS_MAX 5
#define TRYAGAIN_MS 10
#define GUIDE_REST_MS 100 /* between two at least */
#define GUIDE_MISSING_MS 1000
#define GUIDE_REST_MAX_MS 5000
#define UNUSED_MS 10000 /* a place without slots stays that long */

struct place { /* a server */
	struct list entry;
	struct redis_link *l;
	struct redis_node *node;
	struct redis_host host;
	unsigned slots;
	enum { NEVER_TRIED, DOWN, UP } state, told; /* told: to the owner */
	size_t questions;
	int64_t used_at, since;
	char why[REDIS_LINK_WHY_MAX];
};

struct question {
	struct list entry; /* of sent or astray */
	struct redis_link *l;
	struct place *at;
	struct redis_script *script;
	char *tail;
	size_t tail_n;
	unsigned words;
	uint16_t slot;
	bool is_sent, is_asking, is_again;
	unsigned redirects;
	int64_t deadline, retry_at;
	redis_link_fn *fn;
	void *arg;
};

struct redis_link {
	struct loop *loop;
	struct redis_link_settings settings;
	const struct redis_link_ops *ops;
	void *arg;
	bool is_cluster, is_up;

	struct list places;
	size_t place_count;
	struct place *only;           /* without a cluster */
	struct place **of;            /* by slot; NULL: nobody has it */
	unsigned slots;               /* that somebody has */
	char why[REDIS_LINK_WHY_MAX]; /* no map */

	struct redis_node *guide;
	struct redis_host guide_host;
	unsigned guide_turn;
	bool is_guide_done;
	int64_t guide_at; /* the next begins; INT64_MAX: none is wanted */
	int64_t guide_last, guide_rest_ms;

	struct list sent, astray; /* struct question */
	struct loop_timer timer;
};

static const struct redis_node_ops place_ops, guide_ops;

/* ---- places ---- */

static void
describe(const struct place *p, struct redis_link_node *out)
{
	redis_host_format(&p->host, out->at);
	out->slots = p->slots;
	out->is_up = p->state == UP;
	out->why = out->is_up ? "" : p->why;
	out->since = p->since;
	redis_node_memory(p->node, &out->memory);
}

/* Once for each turn of what the owner knows. */
static void
tell(struct place *p, int64_t now)
{
	struct redis_link *l = p->l;
	struct redis_link_node node;
	bool is_news = p->slots > 0
			   ? p->state != NEVER_TRIED && p->state != p->told
			   : p->told != NEVER_TRIED;

	if (!is_news || !l->is_cluster)
		return;
	p->told = p->slots > 0 ? p->state : NEVER_TRIED;
	describe(p, &node);
	if (l->ops->on_node != NULL)
		l->ops->on_node(l->arg, &node, now);
}

static struct place *
place_new(struct redis_link *l, const struct redis_host *host)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->l = l;
	if (host != NULL)
		p->host = *host;
	p->used_at = p->since = loop_now(l->loop);
	snprintf(p->why, sizeof(p->why), "not reached yet");
	p->node = redis_node_new(
	    l->loop, &l->settings, host, REDIS_NODE_WORKS, &place_ops, p);
	list_append(&l->places, &p->entry);
	l->place_count++;
	return p;
}

static void
place_free(struct place *p)
{
	list_remove(&p->entry);
	p->l->place_count--;
	redis_node_free(p->node);
	free(p);
}

/* NULL: there are too many. */
static struct place *
place_get(struct redis_link *l, const struct redis_host *host)
{
	struct list *e;

	list_each (e, &l->places) {
		struct place *p = LIST_ITEM(e, struct place, entry);

		if (redis_host_same(&p->host, host))
			return p;
	}
	return l->place_count < REDIS_NODES_MAX ? place_new(l, host) : NULL;
}

static void
set_slot(struct redis_link *l, unsigned slot, struct place *p)
{
	struct place *was = l->of[slot];

	if (was != NULL) {
		was->slots--;
		l->slots--;
		was->used_at = loop_now(l->loop);
	}
	l->of[slot] = p;
	if (p != NULL) {
		p->slots++;
		l->slots++;
	}
}

static bool
is_one_up(const struct redis_link *l)
{
	struct list *e;

	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);

		if (p->state == UP && (!l->is_cluster || p->slots > 0))
			return true;
	}
	return false;
}

/* why: of what was lost, or not found; NULL: the map changed, or it is up. */
static void
turn(struct redis_link *l, const char *why, int64_t now)
{
	bool is_up = is_one_up(l), was_up = l->is_up;

	l->is_up = is_up;
	if (is_up && !was_up)
		l->ops->on_up(l->arg, now);
	else if (!is_up && why != NULL)
		l->ops->on_down(l->arg, why, now);
	else if (!is_up && was_up)
		l->ops->on_down(
		    l->arg, "other servers have the slots now", now);
}

static bool
is_spare(const struct place *p)
{
	return p->l->is_cluster && p->slots == 0;
}

static void
set_timer(struct redis_link *l)
{
	int64_t due = l->is_guide_done ? loop_now(l->loop) : l->guide_at;
	struct list *e;

	list_each (e, &l->astray) {
		const struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->deadline < due)
			due = q->deadline;
		if (!q->is_sent && q->at->state == UP && q->retry_at < due)
			due = q->retry_at;
	}
	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);

		if (is_spare(p) && p->used_at + UNUSED_MS < due)
			due = p->used_at + UNUSED_MS;
	}
	loop_timer_set(&l->timer, due);
}

/* ---- the guide ---- */

static void
want_map(struct redis_link *l, int64_t now, int64_t delay)
{
	int64_t at = now + delay;

	if (!l->is_cluster || l->guide != NULL)
		return;
	if (at < l->guide_last + GUIDE_REST_MS)
		at = l->guide_last + GUIDE_REST_MS;
	if (at < l->guide_at)
		l->guide_at = at;
	set_timer(l);
}

bool
redis_link_is_whole(const struct redis_link *l)
{
	struct list *e;

	if (!l->is_cluster)
		return l->is_up;
	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);

		if (p->slots > 0 && p->state != UP)
			return false;
	}
	return l->slots == REDIS_SLOTS;
}

/* One that answers knows it at once, where there is one. */
static const struct redis_host *
choose_guide(struct redis_link *l)
{
	const struct redis_url *url = &l->settings.url;
	size_t i = l->guide_turn++ % (url->host_count + l->place_count);
	struct list *e;

	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);

		if (p->state == UP)
			return &p->host;
	}
	if (i < url->host_count)
		return &url->hosts[i];
	e = l->places.next;
	for (i -= url->host_count; i > 0; i--)
		e = e->next;
	return &LIST_ITEM(e, struct place, entry)->host;
}

static void
begin_guide(struct redis_link *l, int64_t now)
{
	l->guide_at = INT64_MAX;
	l->guide_last = now;
	l->guide_host = *choose_guide(l);
	l->guide = redis_node_new(l->loop, &l->settings, &l->guide_host,
	    REDIS_NODE_GUIDES, &guide_ops, l);
}

/* It is freed in the timer: it is still speaking. */
static void
end_guide(struct redis_link *l)
{
	l->is_guide_done = true;
	set_timer(l);
}

static void
on_guide_down(void *arg, const char *why, int64_t now)
{
	struct redis_link *l = arg;
	char at[REDIS_HOST_TEXT_MAX];

	if (l->is_guide_done)
		return;
	snprintf(l->why, sizeof(l->why), "%.100s: %.140s",
	    redis_host_format(&l->guide_host, at), why);
	end_guide(l);
	/* Not before each node of the URL had its turn. */
	if (l->guide_turn >= l->settings.url.host_count)
		turn(l, l->why, now);
}

/* Places that the map no longer has go when nothing is open at them. */
static void
use_map(struct redis_link *l, const struct redis_slots *map, int64_t now)
{
	struct place *places[REDIS_NODES_MAX];
	struct list *e, *next;

	for (unsigned i = 0; i < map->count; i++)
		places[i] = place_get(l, &map->hosts[i]);
	for (unsigned slot = 0; slot < REDIS_SLOTS; slot++)
		set_slot(l, slot,
		    map->of[slot] != REDIS_NO_NODE ? places[map->of[slot]]
						   : NULL);
	list_each_safe (e, next, &l->places)
		tell(LIST_ITEM(e, struct place, entry), now);
	turn(l, NULL, now);
}

static void
on_guide_slots(void *arg, const struct resp_value *reply, int64_t now)
{
	struct redis_link *l = arg;
	struct redis_slots *map;

	if (l->is_guide_done)
		return;
	map = xcalloc(1, sizeof(*map));
	if (redis_slots_read(reply, &l->guide_host, map)) {
		l->guide_rest_ms = GUIDE_REST_MS;
		end_guide(l);
		use_map(l, map, now);
	} else {
		on_guide_down(l, "its map of slots cannot be read", now);
	}
	free(map);
}

static const struct redis_node_ops guide_ops = {
    .on_down = on_guide_down,
    .on_slots = on_guide_slots,
};

/* Half of it and up to all: relays do not ask in the same moment. */
static int64_t
jitter(int64_t ms)
{
	unsigned char r = 0;

	(void)RAND_bytes(&r, 1);
	return ms / 2 + ms / 2 * r / 255;
}

static void
free_guide(struct redis_link *l, int64_t now)
{
	redis_node_free(l->guide);
	l->guide = NULL;
	l->is_guide_done = false;
	if (l->slots == 0 && l->guide_turn < l->settings.url.host_count) {
		want_map(l, now, 0);
	} else if (l->slots == 0) {
		want_map(l, now, jitter(l->guide_rest_ms));
		l->guide_rest_ms = l->guide_rest_ms * 2 < GUIDE_REST_MAX_MS
				       ? l->guide_rest_ms * 2
				       : GUIDE_REST_MAX_MS;
	} else if (!redis_link_is_whole(l)) {
		want_map(l, now, jitter(GUIDE_MISSING_MS));
	}
}

/* ---- questions ---- */

static void
name_script(struct redis_script *s)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sha[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (s->sha[0] != '\0')
		return;
	if (EVP_Digest(s->text, strlen(s->text), sha, &n, EVP_sha1(), NULL) !=
		1 ||
	    n != 20)
		panic("SHA-1 failed");
	for (unsigned i = 0; i < n; i++) {
		s->sha[2 * i] = digits[sha[i] >> 4];
		s->sha[2 * i + 1] = digits[sha[i] & 15];
	}
	s->sha[40] = '\0';
}

static void
question_free(struct question *q)
{
	list_remove(&q->entry);
	q->at->questions--;
	free(q->tail);
	free(q);
}

/* Takes it. */
static void
answer(struct question *q, const struct resp_value *reply, int64_t now)
{
	redis_link_fn *fn = q->fn;
	void *arg = q->arg;

	question_free(q);
	fn(arg, reply, now);
}

static void
put(struct question *q, struct place *at)
{
	q->at->questions--;
	q->at = at;
	at->questions++;
	at->used_at = loop_now(q->l->loop);
}

static bool on_reply(void *arg, const struct resp_value *reply, int64_t now);

static bool
send_question(struct question *q)
{
	struct redis_run run = {
	    .script = q->script,
	    .tail = {q->tail, q->tail_n},
	    .words = q->words,
	    .is_asking = q->is_asking,
	    .is_again = q->is_again,
	};

	q->is_sent = redis_node_run(q->at->node, &run, on_reply, q);
	return q->is_sent;
}

/* To another place, or to the same one later. */
static void
send_astray(struct question *q, int64_t now, int64_t delay)
{
	struct redis_link *l = q->l;

	list_remove(&q->entry);
	list_append(&l->astray, &q->entry);
	q->is_sent = false;
	q->retry_at = now + delay;
	if (q->at->state == DOWN ||
	    (q->at->state == UP && delay == 0 && !send_question(q)))
		answer(q, NULL, now);
	set_timer(l);
}

/* False: the server says where nothing can be. */
static bool
redirect(struct question *q, struct str text, int64_t now)
{
	struct redis_link *l = q->l;
	struct redis_redirect r;
	struct place *to;

	if (!redis_redirect_read(text, &q->at->host, &r))
		return false;
	to = place_get(l, &r.host);
	if (to == NULL || ++q->redirects > REDIRECTS_MAX) {
		answer(q, NULL, now);
		return true;
	}
	if (!r.is_ask && l->of[r.slot] != to) {
		struct place *was = l->of[r.slot];

		set_slot(l, r.slot, to);
		if (was != NULL)
			tell(was, now);
		tell(to, now);
		turn(l, NULL, now);
	}
	if (!r.is_ask)
		want_map(l, now, 0);
	put(q, to);
	q->is_asking = r.is_ask;
	q->is_again = false;
	send_astray(q, now, 0);
	return true;
}

/* The slot is on its way and its keys are at two nodes: where they are in a
 * moment is asked of the one that has the slot. */
static void
try_again(struct question *q, int64_t now)
{
	if (++q->redirects > REDIRECTS_MAX) {
		answer(q, NULL, now);
		return;
	}
	if (q->l->of[q->slot] != NULL)
		put(q, q->l->of[q->slot]);
	q->is_asking = false;
	send_astray(q, now, TRYAGAIN_MS << q->redirects);
}

static bool
has_words(struct str text, const char *words)
{
	char line[256];

	str_copy(text, line, sizeof(line));
	return strstr(line, words) != NULL;
}

/* An error that is this question's alone: the slot is nobody's, or is moving
 * away under the script. */
static bool
is_slots_own(struct str text)
{
	return str_starts(text, STR("CLUSTERDOWN Hash slot not served")) ||
	       has_words(text, "non local key");
}

/* Of a question that a server answered with an error. True: it goes on, or was
 * answered. */
static bool
on_error(struct question *q, const struct resp_value *reply, int64_t now)
{
	struct redis_link *l = q->l;

	if (resp_is_error(reply, "NOSCRIPT") && !q->is_again) {
		q->is_again = true;
		send_astray(q, now, 0);
		return true;
	}
	if (!l->is_cluster)
		return false;
	if (resp_is_error(reply, "MOVED ") || resp_is_error(reply, "ASK "))
		return redirect(q, reply->text, now);
	if (resp_is_error(reply, "TRYAGAIN")) {
		try_again(q, now);
		return true;
	}
	want_map(l, now, 0);
	if (!is_slots_own(reply->text))
		return false;
	answer(q, NULL, now);
	return true;
}

static bool
on_reply(void *arg, const struct resp_value *reply, int64_t now)
{
	struct question *q = arg;

	if (reply != NULL && reply->type == RESP_ERROR)
		return on_error(q, reply, now);
	answer(q, reply, now);
	return true;
}

bool
redis_link_run(struct redis_link *l, struct redis_script *script,
    const struct str *keys, size_t key_count, const struct str *args,
    size_t arg_count, redis_link_fn *fn, void *arg)
{
	uint16_t slot =
	    l->is_cluster && key_count > 0 ? redis_slot_of(keys[0]) : 0;
	struct place *at = l->is_cluster ? l->of[slot] : l->only;
	struct str words[RUN_ARGS_MAX];
	char count[24];
	struct question *q;
	struct buf tail;
	size_t n = 0;
	char *first;

	if (at == NULL || at->state != UP)
		return false;
	if (key_count + arg_count + 1 > RUN_ARGS_MAX)
		panic("redis: a script with too many arguments");
	name_script(script);
	snprintf(count, sizeof(count), "%zu", key_count);
	words[n++] = str_from(count);
	for (size_t i = 0; i < key_count; i++)
		words[n++] = keys[i];
	for (size_t i = 0; i < arg_count; i++)
		words[n++] = args[i];
	buf_init(&tail, RESP_COMMAND_MAX);
	if (!resp_command(&tail, words, n)) {
		buf_clear(&tail);
		return false;
	}
	/* Without "*N" and its line end. */
	first = memchr(tail.mem + tail.off, '$', tail.len);
	buf_consume(&tail, (size_t)(first - (tail.mem + tail.off)));
	q = xcalloc(1, sizeof(*q));
	q->l = l;
	q->at = at;
	q->slot = slot;
	q->script = script;
	q->words = (unsigned)n + 2;
	q->tail_n = tail.len;
	q->tail = buf_take(&tail);
	q->deadline = loop_now(l->loop) + l->settings.deadline_ms;
	q->fn = fn;
	q->arg = arg;
	at->questions++;
	list_append(&l->sent, &q->entry);
	if (send_question(q))
		return true;
	question_free(q);
	return false;
}

/* ---- what places tell ---- */

static void
send_waiting(struct place *p, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &p->l->astray) {
		struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->at == p && !q->is_sent && q->retry_at <= now &&
		    !send_question(q))
			answer(q, NULL, now);
	}
}

static void
on_place_up(void *arg, int64_t now)
{
	struct place *p = arg;

	p->state = UP;
	p->since = now;
	p->why[0] = '\0';
	send_waiting(p, now);
	tell(p, now);
	turn(p->l, NULL, now);
	set_timer(p->l);
}

static void
on_place_down(void *arg, const char *why, int64_t now)
{
	struct place *p = arg;
	struct redis_link *l = p->l;
	struct list *e, *next;

	if (p->state == UP)
		p->since = now;
	p->state = DOWN;
	str_copy(str_from(why), p->why, sizeof(p->why));
	tell(p, now);
	turn(l, why, now);
	/* What was sent hears of it from the node. */
	list_each_safe (e, next, &l->astray) {
		struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->at == p && !q->is_sent)
			answer(q, NULL, now);
	}
	want_map(l, now, 0);
}

static const struct redis_node_ops place_ops = {
    .on_up = on_place_up,
    .on_down = on_place_down,
};

/* ---- the owner's side ---- */

static void
end_late(struct redis_link *l, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &l->astray) {
		struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->deadline <= now) {
			redis_node_forget(q->at->node, q);
			answer(q, NULL, now);
		} else if (!q->is_sent && q->at->state == UP &&
			   q->retry_at <= now && !send_question(q)) {
			answer(q, NULL, now);
		}
	}
}

static void
sweep(struct redis_link *l, int64_t now)
{
	struct list *e, *next;

	list_each_safe (e, next, &l->places) {
		struct place *p = LIST_ITEM(e, struct place, entry);

		if (!is_spare(p) || p->used_at + UNUSED_MS > now)
			continue;
		if (p->questions > 0)
			p->used_at = now;
		else
			place_free(p);
	}
}

static void
on_timer(void *arg, int64_t now)
{
	struct redis_link *l = arg;

	if (l->is_guide_done)
		free_guide(l, now);
	if (l->guide == NULL && l->guide_at <= now)
		begin_guide(l, now);
	end_late(l, now);
	sweep(l, now);
	set_timer(l);
}

static struct str
copy(struct str s)
{
	return (struct str){str_dup(s), s.n};
}

struct redis_link *
redis_link_new(struct loop *loop, const struct redis_link_settings *settings,
    const struct redis_link_ops *ops, void *arg)
{
	struct redis_link *l = xcalloc(1, sizeof(*l));
	struct redis_link_settings *s = &l->settings;

	l->loop = loop;
	*s = *settings;
	s->user = s->user != NULL ? xstrdup(s->user) : NULL;
	s->password = copy(s->password);
	s->sentinel_password = copy(s->sentinel_password);
	s->tls_name = s->tls_name != NULL ? xstrdup(s->tls_name) : NULL;
	s->tls = tls_client_ref(s->tls);
	l->ops = ops;
	l->arg = arg;
	l->is_cluster = s->url.kind == REDIS_CLUSTER;
	l->guide_rest_ms = GUIDE_REST_MS;
	l->guide_at = INT64_MAX;
	l->guide_last = INT64_MIN / 2;
	snprintf(l->why, sizeof(l->why), "not reached yet");
	list_init(&l->places);
	list_init(&l->sent);
	list_init(&l->astray);
	loop_timer_init(&l->timer, loop, on_timer, l);
	if (l->is_cluster) {
		l->of = xcalloc(REDIS_SLOTS, sizeof(struct place *));
		want_map(l, loop_now(loop), 0);
	} else {
		l->only = place_new(l, NULL);
	}
	return l;
}

static void
wipe(struct str s)
{
	explicit_bzero((void *)(uintptr_t)s.p, s.n);
	free((void *)(uintptr_t)s.p);
}

static void
questions_free(struct list *head)
{
	while (!list_is_empty(head))
		question_free(LIST_ITEM(head->next, struct question, entry));
}

void
redis_link_free(struct redis_link *l)
{
	if (l == NULL)
		return;
	questions_free(&l->sent);
	questions_free(&l->astray);
	while (!list_is_empty(&l->places))
		place_free(LIST_ITEM(l->places.next, struct place, entry));
	redis_node_free(l->guide);
	loop_timer_clear(&l->timer);
	tls_client_unref(l->settings.tls);
	wipe(l->settings.password);
	wipe(l->settings.sentinel_password);
	free((void *)(uintptr_t)l->settings.user);
	free((void *)(uintptr_t)l->settings.tls_name);
	free(l->of);
	free(l);
}

bool
redis_link_is_up(const struct redis_link *l)
{
	return l->is_up;
}

bool
redis_link_reaches(const struct redis_link *l, struct str key, const char **why)
{
	const struct place *p =
	    l->is_cluster ? l->of[redis_slot_of(key)] : l->only;

	if (why != NULL && p != NULL)
		*why = p->state != NEVER_TRIED ? p->why : NULL;
	else if (why != NULL)
		*why = l->slots == 0 ? l->why : "no server has this slot";
	return p != NULL && p->state == UP;
}

bool
redis_link_node(
    const struct redis_link *l, size_t i, struct redis_link_node *out)
{
	struct list *e;

	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);

		if (p->slots > 0 && i-- == 0) {
			describe(p, out);
			return true;
		}
	}
	return false;
}

static bool
forgets(const struct redis_link_memory *m)
{
	return m->max != 0 && m->policy[0] != '\0' &&
	       strcmp(m->policy, "noeviction") != 0;
}

void
redis_link_memory(const struct redis_link *l, struct redis_link_memory *out)
{
	struct list *e;

	*out = (struct redis_link_memory){0};
	list_each (e, &l->places) {
		const struct place *p = LIST_ITEM(e, struct place, entry);
		struct redis_link_memory of;

		redis_node_memory(p->node, &of);
		if (p->state == UP && (out->policy[0] == '\0' || forgets(&of)))
			*out = of;
	}
}
