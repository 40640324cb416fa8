/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entries have ids of our own, 1-0, 2-0 and so on, which count on in a key
 * beside the stream, with an epoch that tells an emptied server from the one
 * that was read.
 */
#include "share/stream.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 200
#define EPOCH 16 /* hex digits */
#define ADD_ARGS 3

/* KEYS: stream, count. ARGV: ttl, kept, epoch for an empty server, then what is
 * added, from first on. Without the count the server would look emptied, so it
 * outlives what it counts. */
#define ADD_TEXT                                                               \
	"local function add(first)\n"                                          \
	"  redis.call('HSETNX', KEYS[2], 'epoch', ARGV[3])\n"                  \
	"  for i = first, #ARGV do\n"                                          \
	"    local n = redis.call('HINCRBY', KEYS[2], 'n', 1)\n"               \
	"    local id = string.format('%.0f-0', n)\n"                          \
	"    local r = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2],\n" \
	"      id, 's', ARGV[i])\n"                                            \
	"    if type(r) == 'table' and r.err then\n"                           \
	"      redis.call('DEL', KEYS[1])\n"                                   \
	"      redis.call('XADD', KEYS[1], id, 's', ARGV[i])\n"                \
	"    end\n"                                                            \
	"  end\n"                                                              \
	"  redis.call('PEXPIRE', KEYS[1], ARGV[1])\n"                          \
	"  redis.call('PEXPIRE', KEYS[2], ARGV[1] * 20)\n"                     \
	"  return 1\n"                                                         \
	"end\n"

static const char add_text[] = ADD_TEXT "return add(4)\n";

/* KEYS[3]: the meter, a theoretical arrival time (GCRA) in milliseconds. ARGV:
 * its step and window stand before what is added. */
static const char metered_text[] =
    ADD_TEXT "local t = redis.call('TIME')\n"
	     "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
	     "local step, window = tonumber(ARGV[4]), tonumber(ARGV[5])\n"
	     "local at = tonumber(redis.call('GET', KEYS[3]) or '0') or 0\n"
	     "at = math.max(now, math.min(at, now + window))\n"
	     "if at + step - now > window then return 0 end\n"
	     "redis.call('SET', KEYS[3], string.format('%.0f', at + step),\n"
	     "  'PX', ARGV[5])\n"
	     "return add(6)\n";

/* ARGV: id that was read (-1: only the latest is asked for), page, epoch that
 * is known. The answer: the latest, the epoch, the first that there is (0: not
 * looked for), then entries. Nothing is written. */
static const char read_text[] =
    "local m = redis.call('HMGET', KEYS[2], 'n', 'epoch')\n"
    "local top = tonumber(m[1] or '0')\n"
    "local from = tonumber(ARGV[1])\n"
    "local out = {top, m[2] or '', 0}\n"
    "if from < 0 then return out end\n"
    "if out[2] ~= ARGV[3] then from = 0 end\n"
    "if from >= top then return out end\n"
    "local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]\n"
    "out[3] = first and tonumber(string.match(first[1], '^%d+')) or top + 1\n"
    "for _, e in ipairs(redis.call('XRANGE', KEYS[1],\n"
    "    string.format('%.0f-0', from + 1), '+', 'COUNT', ARGV[2])) do\n"
    "  out[#out + 1] = tonumber(string.match(e[1], '^%d+'))\n"
    "  out[#out + 1] = e[2][2]\n"
    "end\n"
    "return out\n";

struct stream {
	struct loop *loop;
	struct redis_link *link;
	const struct seal *seal;
	const struct stream_ops *ops;
	void *arg;
	char *prefix, *keys[2], *about;
	size_t plain_max;
	int64_t ttl_ms;
	struct redis_script add, metered, read;
	struct stream_mark mark;
	bool is_from_now; /* until the latest is known */
	bool is_reading, is_adding;
	struct loop_timer timer;
};

/* ---- to the server ---- */

static void
on_added(void *arg, const struct resp_value *reply, int64_t now)
{
	struct stream *s = arg;

	s->is_adding = false;
	s->ops->on_added(s->arg, reply != NULL, now);
}

static void
seal_record(const struct stream *s, struct str record, struct buf *out)
{
	buf_init(out, s->plain_max + SEAL_EXTRA);
	if (!seal_close(s->seal, str_from(s->about), record, out))
		panic("a record has no room");
}

bool
stream_is_ready(const struct stream *s)
{
	return !s->is_adding && redis_link_is_up(s->link);
}

/* What stands before what is added. */
struct add_head {
	char ttl[24], kept[24], epoch[EPOCH + 1];
};

static void
set_head(const struct stream *s, struct add_head *h, struct str args[ADD_ARGS])
{
	uint64_t epoch;

	if (RAND_bytes((unsigned char *)&epoch, sizeof(epoch)) != 1)
		panic("no random numbers");
	snprintf(h->epoch, sizeof(h->epoch), "%016" PRIx64, epoch | 1);
	snprintf(h->ttl, sizeof(h->ttl), "%lld", (long long)s->ttl_ms);
	snprintf(h->kept, sizeof(h->kept), "%d", STREAM_KEPT);
	args[0] = str_from(h->ttl);
	args[1] = str_from(h->kept);
	args[2] = str_from(h->epoch);
}

bool
stream_add(struct stream *s, const struct str *records, size_t n)
{
	struct str keys[2] = {str_from(s->keys[0]), str_from(s->keys[1])};
	struct str args[STREAM_BATCH + ADD_ARGS];
	struct buf sealed[STREAM_BATCH];
	struct add_head head = {.ttl = ""};

	if (!stream_is_ready(s))
		return false;
	if (n == 0 || n > STREAM_BATCH)
		panic("a batch of %zu records", n);
	set_head(s, &head, args);
	for (size_t i = 0; i < n; i++) {
		seal_record(s, records[i], &sealed[i]);
		args[ADD_ARGS + i] = buf_str(&sealed[i]);
	}
	s->is_adding = redis_link_run(
	    s->link, &s->add, keys, 2, args, ADD_ARGS + n, on_added, s);
	while (n > 0)
		buf_clear(&sealed[--n]);
	return s->is_adding;
}

bool
stream_add_metered(struct stream *s, struct str record,
    const struct stream_meter *meter, redis_link_fn *fn, void *arg)
{
	unsigned char id[SEAL_ID];
	char hex[2 * SEAL_ID + 1], step[24], window[24];
	int64_t step_ms = meter->window_ms / meter->count;
	struct str keys[3] = {str_from(s->keys[0]), str_from(s->keys[1])};
	struct str args[ADD_ARGS + 3];
	struct add_head head = {.ttl = ""};
	struct buf sealed;
	char *key;
	bool ok;

	seal_id(s->seal, meter->domain, meter->name, id);
	for (size_t i = 0; i < SEAL_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	key = xasprintf("{%s:1}:%s:%s", s->prefix, meter->domain, hex);
	keys[2] = str_from(key);
	snprintf(
	    step, sizeof(step), "%lld", (long long)(step_ms > 0 ? step_ms : 1));
	snprintf(window, sizeof(window), "%lld", (long long)meter->window_ms);
	set_head(s, &head, args);
	args[ADD_ARGS] = str_from(step);
	args[ADD_ARGS + 1] = str_from(window);
	seal_record(s, record, &sealed);
	args[ADD_ARGS + 2] = buf_str(&sealed);
	ok = redis_link_run(
	    s->link, &s->metered, keys, 3, args, ARRAY_LEN(args), fn, arg);
	buf_clear(&sealed);
	free(key);
	return ok;
}

/* ---- from the server ---- */

/* Not of this site, or not whole: as if it were not there. */
static void
take(struct stream *s, struct str sealed)
{
	struct buf plain;

	buf_init(&plain, s->plain_max);
	if (sealed.n <= s->plain_max + SEAL_EXTRA &&
	    seal_open(s->seal, str_from(s->about), sealed, &plain))
		s->ops->on_entry(s->arg, buf_str(&plain));
	buf_clear(&plain);
}

static uint64_t
epoch_of(struct str text)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.n && i < EPOCH; i++) {
		int digit = str_hex_digit(text.p[i]);

		if (digit < 0)
			return 0;
		v = v << 4 | (uint64_t)digit;
	}
	return v;
}

static void
tell_gap(struct stream *s, uint64_t missed)
{
	if (s->ops->on_gap != NULL)
		s->ops->on_gap(s->arg, missed);
}

/* An emptied server, or one that has thrown away what was not read here. */
static void
look_for_gap(struct stream *s, uint64_t epoch, int64_t first)
{
	bool was_known = s->mark.epoch != 0;

	if (epoch != s->mark.epoch) {
		s->mark = (struct stream_mark){epoch, 0};
		if (was_known)
			tell_gap(s, 0);
	} else if (first > 0 && (uint64_t)first > s->mark.at + 1) {
		tell_gap(s, (uint64_t)first - s->mark.at - 1);
	}
}

/* True: there may be more. */
static bool
take_page(struct stream *s, const struct resp_value *reply)
{
	int64_t top = resp_at(reply, 0)->integer;
	int64_t first = resp_at(reply, 2)->integer;
	struct str text = resp_text(resp_at(reply, 1));
	uint64_t epoch = epoch_of(text), was;
	size_t n;

	/* Nothing of ours: the keys are used by others. */
	if (reply->count < 3 || top < 0 || first < 0 ||
	    (epoch == 0 && text.n > 0))
		return false;
	if (s->is_from_now) {
		s->is_from_now = false;
		s->mark = (struct stream_mark){epoch, (uint64_t)top};
		return false;
	}
	look_for_gap(s, epoch, first);
	if (epoch == 0) /* nothing was ever passed on, or all of it is gone */
		return false;
	was = s->mark.at;
	n = (reply->count - 3) / 2;
	for (size_t i = 0; i < n; i++) {
		int64_t at = resp_at(reply, 2 * i + 3)->integer;

		take(s, resp_text(resp_at(reply, 2 * i + 4)));
		if (at > 0)
			s->mark.at = (uint64_t)at;
	}
	/* A page that leads nowhere would be read for ever, without a pause. */
	if (n >= PAGE && s->mark.at > was)
		return true;
	s->mark.at = (uint64_t)top;
	return false;
}

static void read_now(struct stream *s);

static void
on_read(void *arg, const struct resp_value *reply, int64_t now)
{
	struct stream *s = arg;

	s->is_reading = false;
	/* Without the link until stream_start. */
	loop_timer_set(&s->timer, now + STREAM_POLL_MS);
	if (reply != NULL && take_page(s, reply))
		read_now(s);
	else
		s->ops->on_read(s->arg, reply != NULL, now);
}

static void
read_now(struct stream *s)
{
	struct str keys[2] = {str_from(s->keys[0]), str_from(s->keys[1])};
	struct str args[3];
	char at[24], page[16], epoch[EPOCH + 1];
	int64_t now = loop_now(s->loop);

	if (s->is_reading)
		return;
	if (s->is_from_now)
		snprintf(at, sizeof(at), "-1");
	else
		snprintf(at, sizeof(at), "%" PRIu64, s->mark.at);
	snprintf(page, sizeof(page), "%d", PAGE);
	snprintf(epoch, sizeof(epoch), "%016" PRIx64, s->mark.epoch);
	args[0] = str_from(at);
	args[1] = str_from(page);
	args[2] = str_from(epoch);
	loop_timer_set(&s->timer, INT64_MAX);
	s->is_reading =
	    redis_link_run(s->link, &s->read, keys, 2, args, 3, on_read, s);
	if (s->is_reading)
		return;
	if (redis_link_is_up(s->link))
		loop_timer_set(&s->timer, now + STREAM_POLL_MS);
	s->ops->on_read(s->arg, false, now);
}

static void
on_timer(void *arg, int64_t now)
{
	struct stream *s = arg;

	(void)now;
	if (redis_link_is_up(s->link))
		read_now(s);
}

/* ---- the owner's side ---- */

void
stream_start(struct stream *s)
{
	read_now(s);
}

struct stream_mark
stream_mark(const struct stream *s)
{
	return s->mark;
}

struct stream *
stream_new(struct loop *loop, struct redis_link *link, const struct seal *seal,
    const char *prefix, const struct stream_settings *settings,
    const struct stream_ops *ops, void *arg)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->link = link;
	s->seal = seal;
	s->ops = ops;
	s->arg = arg;
	s->prefix = xstrdup(prefix);
	s->about = xstrdup(settings->about);
	s->plain_max = settings->plain_max;
	s->ttl_ms = settings->ttl_ms;
	s->is_from_now = settings->is_from_now;
	s->mark = settings->mark;
	s->add.text = add_text;
	s->metered.text = metered_text;
	s->read.text = read_text;
	s->keys[0] = xasprintf("{%s:1}:%s", prefix, settings->name);
	s->keys[1] = xasprintf("{%s:1}:%s-count", prefix, settings->name);
	loop_timer_init(&s->timer, loop, on_timer, s);
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	loop_timer_clear(&s->timer);
	free(s->keys[0]);
	free(s->keys[1]);
	free(s->prefix);
	free(s->about);
	free(s);
}
