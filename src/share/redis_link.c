/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A question is at one place (a server) at a time: sent there, or waiting for
 * it to come up or for a moment to pass. As long as it was sent once, its
 * deadline is that of its place's connection, which ends with it. After a
 * redirect it is astray: its own deadline is watched here, and the connection
 * that is late with it has a deadline of its own from then on.
 */
#include "share/redis_link.h"

#include "share/redis_map.h"
#include "share/redis_slots.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ARGS_MAX 2048
#define REDIRECTS_MAX 5
#define TRYAGAIN_MS 10

struct question {
	struct list entry; /* of sent or astray */
	struct redis_link *l;
	struct redis_place *at;
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
	bool is_cluster;
	struct redis_map *map;
	struct list sent, astray; /* struct question */
	struct loop_timer timer;
};

static void
set_timer(struct redis_link *l)
{
	int64_t due = INT64_MAX;
	struct list *e;

	list_each (e, &l->astray) {
		const struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->deadline < due)
			due = q->deadline;
		if (!q->is_sent && q->at->state == REDIS_PLACE_UP &&
		    q->retry_at < due)
			due = q->retry_at;
	}
	loop_timer_set(&l->timer, due);
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
put(struct question *q, struct redis_place *at)
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
	if (q->at->state == REDIS_PLACE_DOWN ||
	    (q->at->state == REDIS_PLACE_UP && delay == 0 && !send_question(q)))
		answer(q, NULL, now);
	set_timer(l);
}

/* False: the server says where nothing can be. */
static bool
redirect(struct question *q, struct str text, int64_t now)
{
	struct redis_link *l = q->l;
	struct redis_redirect r;
	struct redis_place *to;

	if (!redis_redirect_read(text, &q->at->host, &r))
		return false;
	to = redis_map_get(l->map, &r.host);
	if (to == NULL || ++q->redirects > REDIRECTS_MAX) {
		answer(q, NULL, now);
		return true;
	}
	if (!r.is_ask)
		redis_map_moved(l->map, r.slot, to, now);
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
	struct redis_place *at = redis_map_at(q->l->map, q->slot);

	if (++q->redirects > REDIRECTS_MAX) {
		answer(q, NULL, now);
		return;
	}
	if (at != NULL)
		put(q, at);
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
	redis_map_learn(l->map, now);
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

static uint16_t
slot_of(const struct redis_link *l, struct str key)
{
	return l->is_cluster ? redis_slot_of(key) : 0;
}

bool
redis_link_run(struct redis_link *l, struct redis_script *script,
    const struct str *keys, size_t key_count, const struct str *args,
    size_t arg_count, redis_link_fn *fn, void *arg)
{
	uint16_t slot = key_count > 0 ? slot_of(l, keys[0]) : 0;
	struct redis_place *at = redis_map_at(l->map, slot);
	struct str words[RUN_ARGS_MAX];
	char count[24];
	struct question *q;
	struct buf tail;
	size_t n = 0;
	char *first;

	if (at == NULL || at->state != REDIS_PLACE_UP)
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

/* ---- what the map tells ---- */

static void
on_up(void *arg, int64_t now)
{
	struct redis_link *l = arg;

	l->ops->on_up(l->arg, now);
}

static void
on_down(void *arg, const char *why, int64_t now)
{
	struct redis_link *l = arg;

	l->ops->on_down(l->arg, why, now);
}

static void
on_node(void *arg, const struct redis_link_node *node, int64_t now)
{
	struct redis_link *l = arg;

	if (l->ops->on_node != NULL)
		l->ops->on_node(l->arg, node, now);
}

static void
on_place_up(void *arg, struct redis_place *p, int64_t now)
{
	struct redis_link *l = arg;
	struct list *e, *next;

	list_each_safe (e, next, &l->astray) {
		struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->at == p && !q->is_sent && q->retry_at <= now &&
		    !send_question(q))
			answer(q, NULL, now);
	}
	set_timer(l);
}

/* What was sent hears of it from the node. */
static void
on_place_down(void *arg, struct redis_place *p, int64_t now)
{
	struct redis_link *l = arg;
	struct list *e, *next;

	list_each_safe (e, next, &l->astray) {
		struct question *q = LIST_ITEM(e, struct question, entry);

		if (q->at == p && !q->is_sent)
			answer(q, NULL, now);
	}
}

static const struct redis_map_ops map_ops = {
    .on_up = on_up,
    .on_down = on_down,
    .on_node = on_node,
    .on_place_up = on_place_up,
    .on_place_down = on_place_down,
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
		} else if (!q->is_sent && q->at->state == REDIS_PLACE_UP &&
			   q->retry_at <= now && !send_question(q)) {
			answer(q, NULL, now);
		}
	}
}

static void
on_timer(void *arg, int64_t now)
{
	struct redis_link *l = arg;

	end_late(l, now);
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
	list_init(&l->sent);
	list_init(&l->astray);
	loop_timer_init(&l->timer, loop, on_timer, l);
	l->map = redis_map_new(loop, s, &map_ops, l);
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
	redis_map_free(l->map);
	loop_timer_clear(&l->timer);
	tls_client_unref(l->settings.tls);
	wipe(l->settings.password);
	wipe(l->settings.sentinel_password);
	free((void *)(uintptr_t)l->settings.user);
	free((void *)(uintptr_t)l->settings.tls_name);
	free(l);
}

bool
redis_link_is_up(const struct redis_link *l)
{
	return redis_map_is_up(l->map);
}

bool
redis_link_is_whole(const struct redis_link *l)
{
	return redis_map_is_whole(l->map);
}

bool
redis_link_reaches(const struct redis_link *l, struct str key, const char **why)
{
	uint16_t slot = slot_of(l, key);
	const struct redis_place *p = redis_map_at(l->map, slot);

	if (why != NULL)
		*why = redis_map_why(l->map, slot);
	return p != NULL && p->state == REDIS_PLACE_UP;
}

bool
redis_link_node(
    const struct redis_link *l, size_t i, struct redis_link_node *out)
{
	return redis_map_node(l->map, i, out);
}

void
redis_link_memory(const struct redis_link *l, struct redis_link_memory *out)
{
	redis_map_memory(l->map, out);
}
