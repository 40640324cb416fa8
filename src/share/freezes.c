/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server has three keys, with one hash tag: `freezes`, a record for each
 * sender ("REV FROZEN TIME SEALED"), `changes`, their names by revision, and
 * `meta`: the revision that was given last, the time that was, and an epoch,
 * which tells an emptied server from the one that was known. Records of thaws
 * stay for FREEZES_TTL_MS, so that a relay that was off hears of them.
 *
 * An entry here is dirty from a change until the server has it. A thaw is taken
 * by the server only where it is of the freeze that this relay knows (its
 * revision); a freeze always is. Each freeze has an id, which its thaw carries:
 * of what two sides did apart, a thaw ends only the freeze that it was of. What
 * was read from disk at the start has no id yet: there a thaw in the server
 * counts if it is the later one. Times are compared by the server's clock,
 * against which this machine's is measured with each answer.
 */
#include "share/freezes.h"

#include "base/list.h"
#include "base/map.h"
#include "share/freeze_record.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 100 /* records in one answer */
#define RETRY_MS 1000
#define EPOCH 16
#define SEALED_MAX (FREEZE_RECORD_MAX + SEAL_EXTRA)

/* KEYS: freezes, changes, meta. ARGV: name, 1 frozen or 0, time, revision that
 * it has to have (-1: any), sealed, ttl, epoch for an empty server. */
static const char put_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local was = tonumber(redis.call('HGET', KEYS[3], 'now') or '0')\n"
    "if now < was then now = was end\n"
    "local old = redis.call('HGET', KEYS[1], ARGV[1])\n"
    "local has = old and string.match(old, '^(%d+) ') or '0'\n"
    "if ARGV[4] ~= '-1' and has ~= ARGV[4] then\n"
    "  return {0, tonumber(has), now}\n"
    "end\n"
    "local at = math.min(tonumber(ARGV[3]), now)\n"
    "redis.call('HSETNX', KEYS[3], 'epoch', ARGV[7])\n"
    "local rev = redis.call('HINCRBY', KEYS[3], 'rev', 1)\n"
    "redis.call('HSET', KEYS[3], 'now', string.format('%.0f', now))\n"
    "redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s %.0f ', rev,\n"
    "  ARGV[2], at) .. ARGV[5])\n"
    "redis.call('ZADD', KEYS[2], rev, ARGV[1])\n"
    "for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, 9)) do\n"
    "  local v = redis.call('HGET', KEYS[1], name)\n"
    "  local s, a\n"
    "  if v then s, a = string.match(v, '^%d+ (%d) (%d+) ') end\n"
    "  if not s or (s == '0' and now - tonumber(a) > tonumber(ARGV[6])) then\n"
    "    redis.call('HDEL', KEYS[1], name)\n"
    "    redis.call('ZREM', KEYS[2], name)\n"
    "  end\n"
    "end\n"
    "for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[6]) end\n"
    "return {1, rev, now}\n";

/* The same keys. ARGV: revision that is known, page, ttl, epoch for an empty
 * server. Writes nothing as a rule: replicas and disks are spared. */
static const char poll_text[] =
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local m = redis.call('HMGET', KEYS[3], 'epoch', 'rev', 'now')\n"
    "if now < tonumber(m[3] or '0') then now = tonumber(m[3]) end\n"
    "if not m[1] then\n"
    "  m[1] = ARGV[4]\n"
    "  redis.call('HSET', KEYS[3], 'epoch', m[1])\n"
    "end\n"
    "if redis.call('PTTL', KEYS[3]) < ARGV[3] - 3600000 then\n"
    "  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end\n"
    "end\n"
    "local out = {m[1], tonumber(m[2] or '0'), now}\n"
    "local names = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1],\n"
    "  '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])\n"
    "for i = 1, #names, 2 do\n"
    "  out[#out + 1] = names[i]\n"
    "  out[#out + 1] = tonumber(names[i + 1])\n"
    "  out[#out + 1] = redis.call('HGET', KEYS[1], names[i]) or ''\n"
    "end\n"
    "return out\n";

struct entry { /* of a sender that is frozen, or whose thaw is not told */
	char *sender;
	int64_t rev;    /* of the server's record; 0: none is known */
	bool is_frozen; /* here */
	bool is_dirty, in_flight;
	uint64_t id;  /* of the freeze; 0: read from disk */
	unsigned gen; /* of the changes here */
	int64_t at, thaw_at;
	enum freezes_then then;
	char *relay, *who, *why;
	/* The owner has not yet done what it was told. */
	bool is_applying;
	int64_t retry_at; /* 0: it was not refused */
};

/* A change on its way; the link forgets it when it is freed. */
struct put {
	struct list list;
	struct freezes *f;
	char *sender;
	unsigned gen;
};

struct freezes {
	struct loop *loop;
	struct redis_link *link;
	struct seal *seal;
	const struct freezes_ops *ops;
	void *arg;
	char *relay;
	char *keys[3];
	struct redis_script put, poll;

	struct map *entries; /* sender to struct entry */
	struct list puts;
	char epoch[EPOCH]; /* the server's */
	bool has_epoch;
	char offer[EPOCH]; /* for an empty one */
	int64_t last;      /* revision up to which all is known */
	int64_t skew;      /* the server's clock less ours */
	bool is_up, was_told, retries;
	int64_t since;
	char why[REDIS_LINK_WHY_MAX];
	uint64_t sent, received;
	struct loop_timer timer;
};

static void poll_now(struct freezes *f);

/* ---- entries ---- */

static void
entry_free(void *p)
{
	struct entry *e = p;

	free(e->sender);
	free(e->relay);
	free(e->who);
	free(e->why);
	free(e);
}

static struct entry *
find(const struct freezes *f, const char *sender)
{
	return map_find(f->entries, str_from(sender));
}

static struct entry *
get(struct freezes *f, const char *sender)
{
	struct entry *e = find(f, sender);

	if (e != NULL)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->sender = xstrdup(sender);
	map_set(f->entries, str_from(sender), e);
	return e;
}

/* Nothing of it is to be known any more. */
static void
let_go(struct freezes *f, struct entry *e)
{
	if (e->is_frozen || e->is_dirty || e->is_applying)
		return;
	map_remove(f->entries, str_from(e->sender));
	entry_free(e);
}

static void
make_id(struct entry *e)
{
	if (RAND_bytes((unsigned char *)&e->id, sizeof(e->id)) != 1)
		panic("no random numbers");
}

static char *
copy(const char *s)
{
	return xstrdup(s != NULL ? s : "");
}

static void
set(struct entry *e, const struct freezes_change *c)
{
	char *relay = copy(c->relay), *who = copy(c->who), *why = copy(c->why);

	free(e->relay);
	free(e->who);
	free(e->why);
	e->relay = relay;
	e->who = who;
	e->why = why;
	e->is_frozen = c->is_frozen;
	e->at = c->at;
	e->thaw_at = c->thaw_at;
	e->then = c->then;
}

/* Last of a change: the owner may say at once that it was carried out, and the
 * entry may be gone. */
static void
tell(struct freezes *f, struct entry *e)
{
	struct freezes_change c = {
	    .sender = e->sender,
	    .is_frozen = e->is_frozen,
	    .relay = e->relay,
	    .who = e->who,
	    .why = e->why,
	    .then = e->then,
	    .at = e->at,
	    .thaw_at = e->thaw_at,
	};

	e->is_applying = true;
	e->retry_at = 0;
	f->ops->on_change(f->arg, &c);
}

/* ---- to the server ---- */

static void
put_free(struct put *p)
{
	list_remove(&p->list);
	free(p->sender);
	free(p);
}

static void
on_put(void *arg, const struct resp_value *reply, int64_t now)
{
	struct put *p = arg;
	struct freezes *f = p->f;
	struct entry *e = find(f, p->sender);

	(void)now;
	if (e != NULL) {
		e->in_flight = false;
		if (reply != NULL && resp_at(reply, 0)->integer == 1) {
			e->rev = resp_at(reply, 1)->integer;
			f->sent++;
		}
		/* A thaw that was refused: the next poll says why. */
		if (reply != NULL && e->gen == p->gen)
			e->is_dirty = false;
		let_go(f, e);
	}
	put_free(p);
}

static bool
seal_entry(const struct freezes *f, const struct entry *e,
    const unsigned char id[SEAL_ID], struct buf *out)
{
	struct freeze_record r = {
	    .is_frozen = e->is_frozen,
	    .then = (uint8_t)e->then,
	    .id = e->id,
	    .thaw_at = e->thaw_at != 0 ? e->thaw_at + f->skew : 0,
	    .sender = str_from(e->sender),
	    .relay = str_from(f->relay),
	    .who = str_from(e->who),
	    .why = str_from(e->why),
	};
	struct buf plain;
	bool ok;

	buf_init(&plain, FREEZE_RECORD_MAX);
	ok = freeze_record_write(&r, &plain) &&
	     seal_close(f->seal, (struct str){(const char *)id, SEAL_ID},
		 buf_str(&plain), out);
	buf_clear(&plain);
	return ok;
}

static void
keys_of(const struct freezes *f, struct str out[3])
{
	for (size_t i = 0; i < 3; i++)
		out[i] = str_from(f->keys[i]);
}

/* False: the link takes no more now. */
static bool
send_put(struct freezes *f, struct entry *e)
{
	unsigned char id[SEAL_ID];
	char at[24], rev[24], ttl[24];
	struct str keys[3], args[7];
	struct buf sealed;
	struct put *p;
	bool ok;

	/* Nobody else knows of it. */
	if (e->is_frozen && e->id == 0)
		make_id(e);
	buf_init(&sealed, SEALED_MAX);
	seal_id(f->seal, "freeze", str_from(e->sender), id);
	if (!seal_entry(f, e, id, &sealed)) {
		/* A sender whose name is too long for any relay's table. */
		e->is_dirty = false;
		buf_clear(&sealed);
		return true;
	}
	snprintf(at, sizeof(at), "%lld", (long long)(e->at + f->skew));
	snprintf(
	    rev, sizeof(rev), "%lld", e->is_frozen ? -1LL : (long long)e->rev);
	snprintf(ttl, sizeof(ttl), "%lld", (long long)FREEZES_TTL_MS);
	keys_of(f, keys);
	args[0] = (struct str){(const char *)id, SEAL_ID};
	args[1] = e->is_frozen ? STR("1") : STR("0");
	args[2] = str_from(at);
	args[3] = str_from(rev);
	args[4] = buf_str(&sealed);
	args[5] = str_from(ttl);
	args[6] = (struct str){f->offer, EPOCH};
	p = xcalloc(1, sizeof(*p));
	p->f = f;
	p->sender = xstrdup(e->sender);
	p->gen = e->gen;
	list_append(&f->puts, &p->list);
	ok = redis_link_run(f->link, &f->put, keys, 3, args, 7, on_put, p);
	if (!ok)
		put_free(p);
	e->in_flight = ok;
	buf_clear(&sealed);
	return ok;
}

static void
send_dirty(struct freezes *f)
{
	struct str key;
	size_t pos = 0;
	void *v;

	while (map_each(f->entries, &pos, &key, &v)) {
		struct entry *e = v;

		if (e->is_dirty && !e->in_flight && !send_put(f, e))
			return;
	}
}

/* ---- from the server ---- */

struct record {
	int64_t rev, at; /* the server's wall ms */
	bool is_frozen;
	struct str sealed;
};

/* "REV FROZEN TIME SEALED" */
static bool
read_record(struct str text, struct record *out)
{
	uint64_t rev, frozen, at;

	if (!str_to_u64(str_cut(&text, ' '), &rev) ||
	    !str_to_u64(str_cut(&text, ' '), &frozen) ||
	    !str_to_u64(str_cut(&text, ' '), &at) || rev > INT64_MAX / 2 ||
	    frozen > 1 || at > INT64_MAX / 2)
		return false;
	out->rev = (int64_t)rev;
	out->is_frozen = frozen == 1;
	out->at = (int64_t)at;
	out->sealed = text;
	return true;
}

/* Here it stays as it is, and the server hears of that. */
static bool
stays(const struct freezes *f, const struct entry *e, const struct record *r,
    uint64_t id)
{
	if (!e->is_frozen)
		return e->is_dirty && e->id != 0 && e->id == id;
	return e->id != 0 ? e->id != id : e->at + f->skew >= r->at;
}

static void
take_record(
    struct freezes *f, const struct record *r, const struct freeze_record *of)
{
	char sender[FREEZES_SENDER_MAX + 1], relay[FREEZES_TEXT_MAX + 1];
	char who[FREEZES_TEXT_MAX + 1], why[FREEZES_TEXT_MAX + 1];
	struct freezes_change c = {
	    .sender = sender,
	    .is_frozen = r->is_frozen,
	    .relay = relay,
	    .who = who,
	    .why = why,
	    .then = (enum freezes_then)of->then,
	    .at = r->at - f->skew,
	    .thaw_at = of->thaw_at != 0 ? of->thaw_at - f->skew : 0,
	};
	struct entry *e;

	str_copy(of->sender, sender, sizeof(sender));
	str_copy(of->relay, relay, sizeof(relay));
	str_copy(of->who, who, sizeof(who));
	str_copy(of->why, why, sizeof(why));
	e = find(f, sender);
	if (e == NULL && !r->is_frozen)
		return;
	if (e == NULL)
		e = get(f, sender);
	if (r->rev <= e->rev)
		return;
	e->rev = r->rev;
	if (r->is_frozen == e->is_frozen) {
		e->is_dirty = false;
		e->id = of->id;
		let_go(f, e);
		return;
	}
	if (stays(f, e, r, of->id)) {
		e->is_dirty = true;
		return;
	}
	e->gen++;
	e->is_dirty = false;
	e->id = of->id;
	set(e, &c);
	f->received++;
	tell(f, e);
}

/* Not of this site, or not whole: as if it were not there. */
static void
take(struct freezes *f, struct str id, struct str text)
{
	struct freeze_record of;
	struct record r;
	struct buf plain;

	buf_init(&plain, FREEZE_RECORD_MAX);
	if (id.n == SEAL_ID && read_record(text, &r) &&
	    r.sealed.n <= SEALED_MAX &&
	    seal_open(f->seal, id, r.sealed, &plain) &&
	    freeze_record_read(buf_str(&plain), &of) &&
	    of.is_frozen == r.is_frozen)
		take_record(f, &r, &of);
	buf_clear(&plain);
}

/* An emptied server never has an epoch that it had before. */
static void
offer_anew(struct freezes *f)
{
	if (RAND_bytes((unsigned char *)f->offer, EPOCH) != 1)
		panic("no random numbers");
}

/* Another server, or this one lost what it knew. */
static void
begin_anew(struct freezes *f, struct str epoch)
{
	struct str key;
	size_t pos = 0;
	void *v;

	memcpy(f->epoch, epoch.p, EPOCH);
	offer_anew(f);
	f->has_epoch = true;
	f->last = 0;
	while (map_each(f->entries, &pos, &key, &v)) {
		struct entry *e = v;

		e->rev = 0;
		if (e->is_frozen)
			e->is_dirty = true;
	}
}

static void
go_up(struct freezes *f)
{
	if (f->is_up)
		return;
	f->is_up = f->was_told = true;
	f->since = f->ops->wall(f->arg);
	f->why[0] = '\0';
	f->ops->on_up(f->arg);
}

static void
tell_again(struct freezes *f, int64_t now)
{
	struct str key;
	size_t pos = 0;
	void *v;

	if (!f->retries)
		return;
	f->retries = false;
	while (map_each(f->entries, &pos, &key, &v)) {
		struct entry *e = v;

		if (e->retry_at != 0 && e->retry_at > now)
			f->retries = true;
		else if (e->retry_at != 0) {
			/* It may go, or another may: not in this walk. */
			f->retries = true;
			tell(f, e);
			return;
		}
	}
}

static void
lose(struct freezes *f, const char *why)
{
	bool is_news = f->is_up || !f->was_told;

	str_copy(str_from(why), f->why, sizeof(f->why));
	if (!is_news)
		return;
	f->is_up = false;
	f->was_told = true;
	f->since = f->ops->wall(f->arg);
	f->ops->on_down(f->arg, f->why);
}

/* Other servers of the cluster go on: this one is asked until it is back. */
static void
poll_later(struct freezes *f, bool was_asked, int64_t now)
{
	const char *why = NULL;

	loop_timer_set(&f->timer, now + FREEZES_POLL_MS);
	if (redis_link_reaches(f->link, str_from(f->keys[0]), &why) &&
	    was_asked)
		why = "the cluster did not answer about freezes in time";
	if (why != NULL)
		lose(f, why);
}

static void
on_poll(void *arg, const struct resp_value *reply, int64_t now)
{
	struct freezes *f = arg;
	struct str epoch = resp_text(resp_at(reply, 0));
	int64_t rev = resp_at(reply, 1)->integer;
	int64_t server = resp_at(reply, 2)->integer;
	size_t n;

	if (reply == NULL) {
		if (redis_link_is_up(f->link))
			poll_later(f, true, now);
		return;
	}
	loop_timer_set(&f->timer, now + FREEZES_POLL_MS);
	/* Nothing of ours: the keys are used by others. */
	if (epoch.n != EPOCH || server <= 0 || rev < 0)
		return;
	f->skew = server - f->ops->wall(f->arg);
	if (!f->has_epoch || memcmp(f->epoch, epoch.p, EPOCH) != 0 ||
	    rev < f->last) {
		begin_anew(f, epoch);
		poll_now(f);
		return;
	}
	n = (reply->count - 3) / 3;
	for (size_t i = 0; i < n; i++) {
		int64_t at = resp_at(reply, 3 * i + 4)->integer;

		take(f, resp_text(resp_at(reply, 3 * i + 3)),
		    resp_text(resp_at(reply, 3 * i + 5)));
		if (at > f->last)
			f->last = at;
	}
	if (n >= PAGE) {
		poll_now(f);
		return;
	}
	go_up(f);
	send_dirty(f);
	tell_again(f, now);
}

static void
poll_now(struct freezes *f)
{
	char last[24], page[8], ttl[24];
	struct str keys[3], args[4];

	snprintf(last, sizeof(last), "%lld", (long long)f->last);
	snprintf(page, sizeof(page), "%d", PAGE);
	snprintf(ttl, sizeof(ttl), "%lld", (long long)FREEZES_TTL_MS);
	keys_of(f, keys);
	args[0] = str_from(last);
	args[1] = str_from(page);
	args[2] = str_from(ttl);
	args[3] = (struct str){f->offer, EPOCH};
	loop_timer_set(&f->timer, INT64_MAX);
	if (!redis_link_run(f->link, &f->poll, keys, 3, args, 4, on_poll, f) &&
	    redis_link_is_up(f->link))
		poll_later(f, false, loop_now(f->loop));
}

static void
on_timer(void *arg, int64_t now)
{
	struct freezes *f = arg;

	(void)now;
	if (redis_link_is_up(f->link))
		poll_now(f);
}

static void
on_link_up(void *arg, int64_t now)
{
	(void)now;
	poll_now(arg);
}

static void
on_link_down(void *arg, const char *why, int64_t now)
{
	struct freezes *f = arg;

	(void)now;
	loop_timer_set(&f->timer, INT64_MAX);
	lose(f, why);
}

static void
on_link_node(void *arg, const struct redis_link_node *node, int64_t now)
{
	struct freezes *f = arg;

	(void)now;
	f->ops->on_node(f->arg, node);
}

static const struct redis_link_ops link_ops = {
    .on_up = on_link_up,
    .on_down = on_link_down,
    .on_node = on_link_node,
};

/* ---- the owner's side ---- */

struct freezes *
freezes_new(struct loop *loop, const struct freezes_settings *settings,
    const struct freezes_ops *ops, void *arg)
{
	static const char *const names[3] = {"freezes", "changes", "meta"};
	struct freezes *f = xcalloc(1, sizeof(*f));

	f->loop = loop;
	f->ops = ops;
	f->arg = arg;
	f->relay = xstrdup(settings->relay);
	f->seal = seal_new(settings->secret);
	f->entries = map_new();
	f->put.text = put_text;
	f->poll.text = poll_text;
	list_init(&f->puts);
	for (size_t i = 0; i < 3; i++)
		f->keys[i] = xasprintf("{%s:1}:%s", settings->prefix, names[i]);
	offer_anew(f);
	loop_timer_init(&f->timer, loop, on_timer, f);
	f->link = redis_link_new(loop, &settings->link, &link_ops, f);
	return f;
}

void
freezes_free(struct freezes *f)
{
	if (f == NULL)
		return;
	redis_link_free(f->link);
	while (!list_is_empty(&f->puts))
		put_free(LIST_ITEM(f->puts.next, struct put, list));
	loop_timer_clear(&f->timer);
	map_free(f->entries, entry_free);
	seal_free(f->seal);
	for (size_t i = 0; i < 3; i++)
		free(f->keys[i]);
	free(f->relay);
	free(f);
}

void
freezes_load(struct freezes *f, const struct freezes_change *change)
{
	struct entry *e = get(f, change->sender);

	set(e, change);
	e->is_dirty = true;
}

void
freezes_note(struct freezes *f, const struct freezes_change *change)
{
	struct entry *e = find(f, change->sender);

	/* It was told from here, or is known. */
	if ((e != NULL && e->is_frozen) == change->is_frozen)
		return;
	if (e == NULL)
		e = get(f, change->sender);
	set(e, change);
	e->gen++;
	e->is_dirty = true;
	if (e->is_frozen)
		make_id(e);
	if (f->is_up && !e->in_flight)
		(void)!send_put(f, e); /* else with the next poll */
}

void
freezes_applied(struct freezes *f, const char *sender, bool ok)
{
	struct entry *e = find(f, sender);

	if (e == NULL || !e->is_applying)
		return;
	if (ok) {
		e->is_applying = false;
		e->retry_at = 0;
		let_go(f, e);
		return;
	}
	e->retry_at = loop_now(f->loop) + RETRY_MS;
	f->retries = true;
}

void
freezes_info(const struct freezes *f, struct freezes_info *out)
{
	struct str key;
	size_t pos = 0;
	void *v;

	*out = (struct freezes_info){
	    .is_up = f->is_up,
	    .since = f->since,
	    .why = f->why,
	    .sent = f->sent,
	    .received = f->received,
	};
	while (map_each(f->entries, &pos, &key, &v)) {
		const struct entry *e = v;

		out->waiting += e->is_dirty;
		out->frozen += e->is_frozen;
	}
	redis_link_memory(f->link, &out->memory);
	out->link = f->link;
}

struct redis_link *
freezes_link(struct freezes *f)
{
	return f->link;
}

const struct seal *
freezes_seal(const struct freezes *f)
{
	return f->seal;
}
