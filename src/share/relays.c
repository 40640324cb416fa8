/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server has, with one hash tag, `relays`, a card for each relay by the
 * hash of its name ("TIME RUN SEALED"; RUN is a random word of the process),
 * `relays-seen`, their ids in the order of the cards, and a box for each, a
 * list of sealed letters. A look at the own box is one script, which leaves the
 * card and reads the others' once a second.
 *
 * A longer text goes as several letters, one after the other: mail's own
 * questions go by the same link. Letters arrive in order or not at all.
 */
#include "share/relays.h"

#include "base/list.h"
#include "share/tokens.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAST_MS 20       /* between two looks, when an answer is waited for */
#define STAY_FAST_MS 500 /* after a letter: the next may follow */
#define BOX_MS 60000     /* a letter is kept */
#define BOX_MAX 128      /* letters in it */
#define TAKE_MAX 12      /* at one look: RESP_REPLY_MAX */
#define COMING_MAX 32    /* questions of which not all is there */
#define TWIN_TIMES 2     /* a card that was written on, in a row */
#define RUN 16
#define ID_HEX (2 * SEAL_ID)
#define ABOUT_CARD STR("weir relay 1")
#define LETTER_SEALED_MAX (LETTER_PLAIN_MAX + SEAL_EXTRA)
#define LEAVING_MAX (8u << 20) /* bytes of texts that are not all posted */

/* KEYS: relays, their ids by the time of their cards, box. ARGV: id, run,
 * sealed card or "", letters to take, ms after which a card is forgotten,
 * relays at most. */
static const char look_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local out = {now, '', 0}\n"
    "for i = 1, tonumber(ARGV[4]) do\n"
    "  local v = redis.call('LPOP', KEYS[3])\n"
    "  if not v then break end\n"
    "  out[3] = i\n"
    "  out[#out + 1] = v\n"
    "end\n"
    "if ARGV[3] == '' then return out end\n"
    "local was = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "out[2] = was and string.match(was, '^%d+ (%w+) ') or ''\n"
    "redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) ..\n"
    "  ARGV[2] .. ' ' .. ARGV[3])\n"
    "redis.call('ZADD', KEYS[2], now, ARGV[1])\n"
    "for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[5]) end\n"
    "local ids = redis.call('ZRANGE', KEYS[2], 0, -1)\n"
    "for i, id in ipairs(ids) do\n"
    "  local v = redis.call('HGET', KEYS[1], id) or ''\n"
    "  local at, sealed = string.match(v, '^(%d+) %w+ (.*)$')\n"
    "  if not at or i <= #ids - tonumber(ARGV[6])\n"
    "      or now - tonumber(at) > tonumber(ARGV[5]) then\n"
    "    redis.call('HDEL', KEYS[1], id)\n"
    "    redis.call('ZREM', KEYS[2], id)\n"
    "  elseif id ~= ARGV[1] then\n"
    "    out[#out + 1] = id\n"
    "    out[#out + 1] = math.max(now - tonumber(at), 0)\n"
    "    out[#out + 1] = sealed\n"
    "  end\n"
    "end\n"
    "return out\n";

/* KEYS: the receiver's box. ARGV: letter, ms, letters at most. */
static const char post_text[] =
    "if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end\n"
    "redis.call('RPUSH', KEYS[1], ARGV[1])\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "return 1\n";

struct peer {
	struct list entry; /* by name */
	char *name;
	unsigned char id[SEAL_ID];
	uint64_t token;
	int64_t silent_ms;
	bool is_seen; /* in the look at hand */
};

struct relays_asked {
	struct list entry;
	struct relays *r;
	char *to;
	uint64_t question;
	uint32_t next; /* part that is awaited */
	struct buf text;
	int64_t deadline;
	relays_fn *fn;
	void *arg;
};

/* A question of several letters. */
struct coming {
	struct list entry;
	uint64_t question;
	char *from;
	uint32_t next;
	struct buf text;
	int64_t deadline;
	int64_t ends_at; /* what was not whole by then is not carried out */
};

/* A text on its way out, by letters. */
struct leaving {
	struct list entry;
	unsigned char to[SEAL_ID];
	char *name; /* whose that is */
	enum letter_kind kind;
	uint64_t question, token;
	uint32_t next;
	char *text;
	size_t n, at;
};

struct relays {
	struct loop *loop;
	struct redis_link *link;
	const struct seal *seal;
	const struct relays_ops *ops;
	void *arg;
	char *name, *prefix;
	unsigned char id[SEAL_ID];
	char *keys[2]; /* of the cards */
	char run[RUN + 1];
	struct redis_script look, post;
	struct list peers, asked, coming;
	struct list leaving; /* a letter of the first is under way */
	size_t leaving_bytes;
	bool is_posting;
	struct tokens tokens;
	int64_t card_due;
	bool has_written; /* a card, since the link is up */
	bool is_looking, with_card;
	bool is_reached;    /* the last look was answered */
	int64_t cards_at;   /* when the others' were read */
	int64_t fast_until; /* somebody writes */
	unsigned times;     /* the card was written on, in a row */
	bool has_twin;
	struct loop_timer timer;
};

/* ---- names ---- */

static char *
box_of(const struct relays *r, const unsigned char id[SEAL_ID])
{
	char hex[ID_HEX + 1];

	for (size_t i = 0; i < SEAL_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return xasprintf("{%s:1}:box:%s", r->prefix, hex);
}

static struct str
id_str(const unsigned char id[SEAL_ID])
{
	return (struct str){(const char *)id, SEAL_ID};
}

static uint64_t
random_number(void)
{
	uint64_t v;

	if (RAND_bytes((unsigned char *)&v, sizeof(v)) != 1)
		panic("no random numbers");
	return v != 0 ? v : 1;
}

static struct peer *
find_peer(const struct relays *r, const char *name)
{
	struct list *e;

	list_each (e, &r->peers) {
		struct peer *p = LIST_ITEM(e, struct peer, entry);

		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

static void
peer_free(struct peer *p)
{
	list_remove(&p->entry);
	free(p->name);
	free(p);
}

/* ---- what was asked here ---- */

static void
asked_free(struct relays_asked *a)
{
	list_remove(&a->entry);
	buf_clear(&a->text);
	free(a->to);
	free(a);
}

void
relays_unask(struct relays_asked *a)
{
	asked_free(a);
}

static void
asked_end(struct relays_asked *a, struct str text, int64_t now)
{
	relays_fn *fn = a->fn;
	void *arg = a->arg;
	struct buf kept = a->text;

	buf_init(&a->text, 0);
	asked_free(a);
	fn(arg, text, now);
	buf_clear(&kept);
}

static void
take_answer(struct relays *r, const struct letter *l, int64_t now)
{
	struct list *e;

	list_each (e, &r->asked) {
		struct relays_asked *a =
		    LIST_ITEM(e, struct relays_asked, entry);

		if (a->question != l->question ||
		    !str_eq(l->from, str_from(a->to)))
			continue;
		if (l->number != a->next || !buf_append_str(&a->text, l->text))
			asked_end(a, (struct str){0}, now);
		else if (l->is_last)
			asked_end(a, buf_str(&a->text), now);
		else {
			a->next++;
			a->deadline = now + RELAYS_ANSWER_MS;
		}
		return;
	}
}

/* One at a time: fn may ask again. */
static void
end_late(struct relays *r, int64_t now)
{
	struct list *e;
	bool goes_on = true;

	while (goes_on) {
		goes_on = false;
		list_each (e, &r->asked) {
			struct relays_asked *a =
			    LIST_ITEM(e, struct relays_asked, entry);

			if (a->deadline > now)
				continue;
			asked_end(a, (struct str){0}, now);
			goes_on = true;
			break;
		}
	}
}

/* ---- what others ask ---- */

static void
coming_free(struct coming *c)
{
	list_remove(&c->entry);
	buf_clear(&c->text);
	free(c->from);
	free(c);
}

static struct coming *
find_coming(struct relays *r, const struct letter *l)
{
	struct list *e;

	list_each (e, &r->coming) {
		struct coming *c = LIST_ITEM(e, struct coming, entry);

		if (c->question == l->question &&
		    str_eq(l->from, str_from(c->from)))
			return c;
	}
	return NULL;
}

static struct coming *
begin_coming(struct relays *r, const struct letter *l, int64_t now)
{
	int64_t ends_at = now;
	struct coming *c;
	size_t n = 0;
	struct list *e;

	list_each (e, &r->coming)
		n++;
	if (n < COMING_MAX)
		ends_at = tokens_take(&r->tokens, l->token, l->question, now);
	if (ends_at <= now)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->ends_at = ends_at;
	c->question = l->question;
	c->from = str_dup(l->from);
	buf_init(&c->text, RELAYS_TEXT_MAX);
	list_append(&r->coming, &c->entry);
	return c;
}

static void
take_question(struct relays *r, const struct letter *l, int64_t now)
{
	struct coming *c =
	    l->number == 0 ? begin_coming(r, l, now) : find_coming(r, l);

	if (c == NULL)
		return;
	if (l->number != c->next || !buf_append_str(&c->text, l->text)) {
		coming_free(c);
		return;
	}
	c->next++;
	c->deadline = now + RELAYS_ANSWER_MS;
	if (c->deadline > c->ends_at)
		c->deadline = c->ends_at;
	if (!l->is_last)
		return;
	r->ops->on_question(r->arg, c->from, c->question, buf_str(&c->text));
	coming_free(c);
}

static void
drop_late(struct relays *r, int64_t now)
{
	struct list *e, *tmp;

	list_each_safe (e, tmp, &r->coming) {
		struct coming *c = LIST_ITEM(e, struct coming, entry);

		if (c->deadline <= now)
			coming_free(c);
	}
}

/* Not of this site, not for this relay, or not whole: as if it were not there.
 */
static void
take_letter(struct relays *r, struct str sealed, int64_t now)
{
	struct letter l;
	struct buf plain;

	buf_init(&plain, LETTER_PLAIN_MAX);
	if (sealed.n <= LETTER_SEALED_MAX &&
	    seal_open(r->seal, id_str(r->id), sealed, &plain) &&
	    letter_read(buf_str(&plain), &l)) {
		if (l.kind == LETTER_ANSWER)
			take_answer(r, &l, now);
		else
			take_question(r, &l, now);
	}
	buf_clear(&plain);
}

/* ---- letters from here ---- */

static const char no_server[] = "the shared server does not answer";

static void on_posted(void *arg, const struct resp_value *reply, int64_t now);

static void
leaving_free(struct relays *r, struct leaving *l)
{
	list_remove(&l->entry);
	r->leaving_bytes -= l->n;
	free(l->name);
	free(l->text);
	free(l);
}

static bool
post(struct relays *r, const unsigned char to[SEAL_ID], const struct letter *l)
{
	char *box = box_of(r, to);
	char ms[24], max[16];
	struct str key = str_from(box), args[3];
	struct buf plain, sealed;
	bool ok;

	buf_init(&plain, LETTER_PLAIN_MAX);
	buf_init(&sealed, LETTER_SEALED_MAX);
	snprintf(ms, sizeof(ms), "%d", BOX_MS);
	snprintf(max, sizeof(max), "%d", BOX_MAX);
	ok = letter_write(l, &plain) &&
	     seal_close(r->seal, id_str(to), buf_str(&plain), &sealed);
	args[0] = buf_str(&sealed);
	args[1] = str_from(ms);
	args[2] = str_from(max);
	ok = ok &&
	     redis_link_run(r->link, &r->post, &key, 1, args, 3, on_posted, r);
	buf_clear(&plain);
	buf_clear(&sealed);
	free(box);
	return ok;
}

static bool
post_next(struct relays *r, struct leaving *l)
{
	struct str text = {l->text + l->at, l->n - l->at};
	struct letter letter = {.kind = l->kind,
	    .question = l->question,
	    .token = l->token,
	    .number = l->next,
	    .from = str_from(r->name),
	    .text = str_sub(text, 0, LETTER_TEXT_MAX)};

	letter.is_last = letter.text.n == text.n;
	if (!post(r, l->to, &letter))
		return false;
	l->at += letter.text.n;
	l->next++;
	return true;
}

static void
leaving_lost(struct relays *r, struct leaving *l, const char *why)
{
	if (l->kind == LETTER_ANSWER)
		r->ops->on_unanswered(r->arg, l->name, why);
	leaving_free(r, l);
}

/* What did not get there whole is not answered. */
static void
post_on(struct relays *r)
{
	while (!r->is_posting && !list_is_empty(&r->leaving)) {
		struct leaving *l =
		    LIST_ITEM(r->leaving.next, struct leaving, entry);

		r->is_posting = post_next(r, l);
		if (!r->is_posting)
			leaving_lost(r, l, no_server);
	}
}

static void
on_posted(void *arg, const struct resp_value *reply, int64_t now)
{
	struct relays *r = arg;
	struct leaving *l = LIST_ITEM(r->leaving.next, struct leaving, entry);

	(void)now;
	r->is_posting = false;
	if (reply == NULL)
		leaving_lost(r, l, no_server);
	else if (reply->integer != 1)
		leaving_lost(r, l, "its queue on the server is full");
	else if (l->at == l->n)
		leaving_free(r, l);
	post_on(r);
}

/* False: it is too long, or too much is on its way. */
static bool
post_all(struct relays *r, const char *name, enum letter_kind kind,
    uint64_t question, uint64_t token, struct str text)
{
	struct leaving *l;

	if (text.n > RELAYS_TEXT_MAX ||
	    text.n > LEAVING_MAX - r->leaving_bytes ||
	    !redis_link_is_up(r->link))
		return false;
	l = xcalloc(1, sizeof(*l));
	seal_id(r->seal, "relay", str_from(name), l->to);
	l->name = xstrdup(name);
	l->kind = kind;
	l->question = question;
	l->token = token;
	l->text = str_dup(text);
	l->n = text.n;
	r->leaving_bytes += l->n;
	list_append(&r->leaving, &l->entry);
	/* Others come first. */
	if (r->is_posting)
		return true;
	r->is_posting = post_next(r, l);
	if (!r->is_posting)
		leaving_free(r, l);
	return r->is_posting;
}

struct relays_asked *
relays_ask(struct relays *r, const char *name, struct str text, relays_fn *fn,
    void *arg)
{
	struct peer *p = find_peer(r, name);
	struct relays_asked *a;
	size_t n = 0;
	struct list *e;
	uint64_t question = random_number();

	list_each (e, &r->asked)
		n++;
	if (p == NULL || n >= RELAYS_ASKED_MAX || !redis_link_is_up(r->link) ||
	    !post_all(r, name, LETTER_QUESTION, question, p->token, text))
		return NULL;
	a = xcalloc(1, sizeof(*a));
	a->r = r;
	a->to = xstrdup(name);
	a->question = question;
	a->deadline = loop_now(r->loop) + RELAYS_ANSWER_MS;
	a->fn = fn;
	a->arg = arg;
	buf_init(&a->text, RELAYS_TEXT_MAX);
	list_append(&r->asked, &a->entry);
	if (!r->is_looking)
		loop_timer_set(&r->timer, loop_now(r->loop) + FAST_MS);
	return a;
}

bool
relays_answer(
    struct relays *r, const char *to, uint64_t question, struct str text)
{
	return post_all(r, to, LETTER_ANSWER, question, 0, text);
}

/* ---- cards ---- */

static void
take_card(struct relays *r, struct str id, int64_t silent_ms, struct str sealed)
{
	unsigned char named[SEAL_ID];
	char name[LETTER_NAME_MAX + 1];
	struct card card;
	struct buf plain;
	struct peer *p = NULL;
	struct list *e;

	buf_init(&plain, CARD_PLAIN_MAX);
	if (id.n != SEAL_ID || sealed.n > CARD_PLAIN_MAX + SEAL_EXTRA ||
	    !seal_open(r->seal, ABOUT_CARD, sealed, &plain) ||
	    !card_read(buf_str(&plain), &card))
		goto out;
	seal_id(r->seal, "relay", card.name, named);
	if (memcmp(named, id.p, SEAL_ID) != 0)
		goto out;
	str_copy(card.name, name, sizeof(name));
	p = find_peer(r, name);
	if (p == NULL) {
		p = xcalloc(1, sizeof(*p));
		p->name = xstrdup(name);
		memcpy(p->id, named, SEAL_ID);
		list_each (e, &r->peers) {
			if (strcmp(LIST_ITEM(e, struct peer, entry)->name,
				name) > 0)
				break;
		}
		list_append(e, &p->entry);
	}
	p->token = card.token;
	p->silent_ms = silent_ms < 0                  ? 0
		       : silent_ms > RELAYS_FORGET_MS ? RELAYS_FORGET_MS
						      : silent_ms;
	p->is_seen = true;
out:
	buf_clear(&plain);
}

static void
take_cards(struct relays *r, const struct resp_value *reply, size_t at)
{
	struct list *e, *tmp;

	list_each (e, &r->peers)
		LIST_ITEM(e, struct peer, entry)->is_seen = false;
	for (; at + 2 < reply->count; at += 3)
		take_card(r, resp_text(resp_at(reply, at)),
		    resp_at(reply, at + 1)->integer,
		    resp_text(resp_at(reply, at + 2)));
	list_each_safe (e, tmp, &r->peers) {
		struct peer *p = LIST_ITEM(e, struct peer, entry);

		if (!p->is_seen)
			peer_free(p);
	}
}

/* A relay that was restarted writes over the card of the one before it; only
 * one that goes on finds another's on its own. */
static void
look_for_twin(struct relays *r, struct str run)
{
	bool is_other =
	    r->has_written && run.n > 0 && !str_eq(run, str_from(r->run));

	r->has_written = true;
	r->times = is_other ? r->times + 1 : 0;
	if ((r->times >= TWIN_TIMES) == r->has_twin)
		return;
	r->has_twin = !r->has_twin;
	r->ops->on_twin(r->arg, r->has_twin);
}

static void
on_look(void *arg, const struct resp_value *reply, int64_t now)
{
	struct relays *r = arg;
	size_t letters, at = 3;

	r->is_looking = false;
	end_late(r, now);
	drop_late(r, now);
	letters = (size_t)resp_at(reply, 2)->integer;
	if (letters > 0)
		r->fast_until = now + STAY_FAST_MS;
	loop_timer_set(
	    &r->timer, now + (!list_is_empty(&r->asked) || now < r->fast_until
				     ? FAST_MS
				     : RELAYS_POLL_MS));
	r->is_reached = reply != NULL;
	if (reply == NULL)
		return;
	/* Nothing of ours: the keys are used by others. */
	if (reply->count < 3 || letters > TAKE_MAX ||
	    letters + 3 > reply->count)
		return;
	for (; at < letters + 3; at++)
		take_letter(r, resp_text(resp_at(reply, at)), now);
	if (!r->with_card)
		return;
	r->cards_at = now;
	look_for_twin(r, resp_text(resp_at(reply, 1)));
	take_cards(r, reply, at);
}

static bool
write_card(struct relays *r, struct buf *sealed)
{
	struct card card = {
	    .token = r->tokens.v[0].value, .name = str_from(r->name)};
	struct buf plain;
	bool ok;

	buf_init(&plain, CARD_PLAIN_MAX);
	ok = card_write(&card, &plain) &&
	     seal_close(r->seal, ABOUT_CARD, buf_str(&plain), sealed);
	buf_clear(&plain);
	return ok;
}

/* The server is not there: whoever asked waits for no server. */
static void
rest(struct relays *r, int64_t now)
{
	r->has_written = r->is_reached = false;
	end_late(r, now);
	loop_timer_set(&r->timer, now + RELAYS_POLL_MS);
}

static void
look_now(struct relays *r, int64_t now)
{
	char *box = box_of(r, r->id);
	struct str keys[3] = {
	    str_from(r->keys[0]), str_from(r->keys[1]), str_from(box)};
	struct str args[6];
	char take[16], forget[24], max[16];
	struct buf sealed;

	buf_init(&sealed, CARD_PLAIN_MAX + SEAL_EXTRA);
	tokens_turn(&r->tokens, random_number(), now);
	r->with_card = now >= r->card_due && write_card(r, &sealed);
	if (r->with_card)
		r->card_due = now + RELAYS_CARD_MS;
	snprintf(take, sizeof(take), "%d", TAKE_MAX);
	snprintf(forget, sizeof(forget), "%lld", (long long)RELAYS_FORGET_MS);
	snprintf(max, sizeof(max), "%d", RELAYS_MAX);
	args[0] = id_str(r->id);
	args[1] = str_from(r->run);
	args[2] = buf_str(&sealed);
	args[3] = str_from(take);
	args[4] = str_from(forget);
	args[5] = str_from(max);
	loop_timer_set(&r->timer, INT64_MAX);
	r->is_looking =
	    redis_link_run(r->link, &r->look, keys, 3, args, 6, on_look, r);
	if (!r->is_looking)
		rest(r, now);
	buf_clear(&sealed);
	free(box);
}

static void
on_timer(void *arg, int64_t now)
{
	struct relays *r = arg;

	if (r->is_looking)
		return;
	if (redis_link_is_up(r->link))
		look_now(r, now);
	else
		rest(r, now);
}

void
relays_start(struct relays *r)
{
	r->has_written = false;
	r->card_due = 0;
	if (!r->is_looking)
		look_now(r, loop_now(r->loop));
}

/* ---- the owner's side ---- */

const char *
relays_name(const struct relays *r)
{
	return r->name;
}

bool
relays_are_reached(const struct relays *r)
{
	return r->is_reached && redis_link_is_up(r->link);
}

bool
relays_has_twin(const struct relays *r)
{
	return r->has_twin;
}

bool
relays_peer(const struct relays *r, size_t i, struct relays_peer *out)
{
	int64_t ago = loop_now(r->loop) - r->cards_at;
	struct list *e;

	list_each (e, &r->peers) {
		const struct peer *p = LIST_ITEM(e, struct peer, entry);

		if (i-- > 0)
			continue;
		*out = (struct relays_peer){.name = p->name,
		    .is_up = p->silent_ms + ago < RELAYS_DOWN_MS,
		    .silent_ms = p->silent_ms + ago};
		return true;
	}
	return false;
}

struct relays *
relays_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, const char *name, const struct relays_ops *ops,
    void *arg)
{
	struct relays *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->link = link;
	r->seal = seal;
	r->ops = ops;
	r->arg = arg;
	r->name = xstrdup(name);
	r->prefix = xstrdup(prefix);
	seal_id(seal, "relay", str_from(name), r->id);
	snprintf(r->run, sizeof(r->run), "%016llx",
	    (unsigned long long)random_number());
	r->keys[0] = xasprintf("{%s:1}:relays", prefix);
	r->keys[1] = xasprintf("{%s:1}:relays-seen", prefix);
	r->look.text = look_text;
	r->post.text = post_text;
	list_init(&r->peers);
	list_init(&r->asked);
	list_init(&r->coming);
	list_init(&r->leaving);
	loop_timer_init(&r->timer, loop, on_timer, r);
	return r;
}

void
relays_free(struct relays *r)
{
	if (r == NULL)
		return;
	while (!list_is_empty(&r->asked))
		asked_free(
		    LIST_ITEM(r->asked.next, struct relays_asked, entry));
	while (!list_is_empty(&r->coming))
		coming_free(LIST_ITEM(r->coming.next, struct coming, entry));
	while (!list_is_empty(&r->leaving))
		leaving_free(
		    r, LIST_ITEM(r->leaving.next, struct leaving, entry));
	while (!list_is_empty(&r->peers))
		peer_free(LIST_ITEM(r->peers.next, struct peer, entry));
	loop_timer_clear(&r->timer);
	free(r->keys[0]);
	free(r->keys[1]);
	free(r->prefix);
	free(r->name);
	free(r);
}
