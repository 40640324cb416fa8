/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events, and a trace, as a browser's EventSource takes them (WHATWG HTML 9.2).
 * An id names the run of the daemon too: after a restart the numbers begin
 * anew.
 */
#include "config.h"

#include "control/api.h"

#include "base/mailbox.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_MAX (64u << 10)

struct stream {
	struct web_exchange *x;
	struct event_follower follower;
	char domain[WEB_DOMAIN_MAX];
	/* Which of the asker's proof it hangs on. */
	enum web_proof proof;
	char id[32];
	uint64_t types; /* a bit for each; only these are sent */
};

_Static_assert(EVENT_TYPE_MAX <= 64, "a bit for each type of event");

static void
stream_free(struct stream *s)
{
	events_unfollow(&s->follower);
	free(s);
}

static void
on_gone(void *arg)
{
	stream_free(arg);
}

/* False: the client takes nothing, and is dropped. */
static bool
say(struct web_exchange *x, const char *type, const char *id, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER);
	struct buf piece;
	bool ok;

	json_decref(value);
	buf_init(&piece, PIECE_MAX);
	/* JSON has no line's end in it. */
	ok = text != NULL &&
	     (id[0] == '\0' || buf_printf(&piece, "id: %s\n", id)) &&
	     buf_printf(&piece, "event: %s\ndata: %s\n\n", type, text) &&
	     web_stream_write(x, buf_str(&piece));
	free(text);
	buf_clear(&piece);
	return ok;
}

static bool
say_event(struct stream *s, const struct event_item *item)
{
	char id[48];

	if (!(s->types >> item->type & 1))
		return true;
	if (s->domain[0] != '\0' &&
	    !mailbox_is_in(str_from(item->sender), str_from(s->domain)))
		return true;
	snprintf(id, sizeof(id), "%s-%" PRIu64, api_of(s->x)->boot, item->seq);
	return say(
	    s->x, event_type_name[item->type], id, control_event_row(item));
}

static void
drop(struct stream *s)
{
	web_stream_end(s->x);
	stream_free(s);
}

static void
on_event(void *arg, const struct event_item *item)
{
	struct stream *s = arg;

	if (item->is_news && !say_event(s, item))
		drop(s);
}

/* The token or session that it hangs on is still there. */
static bool
is_still_known(struct web_exchange *x, enum web_proof proof, const char *id)
{
	struct access_store *store = api_of(x)->settings.store;

	return proof == WEB_PEER ||
	       (store != NULL && access_is_valid(store->access, str_from(id),
				     clock_wall_ms()));
}

static void
on_beat(void *arg, int64_t now)
{
	struct stream *s = arg;

	(void)now;
	if (!is_still_known(s->x, s->proof, s->id) ||
	    !web_stream_write(s->x, STR(": \n\n")))
		drop(s);
}

/* ---- what was missed ---- */

struct past {
	struct stream *stream;
	bool ok;
};

static void
on_past(void *arg, const struct event_item *item)
{
	struct past *p = arg;

	p->ok = p->ok && say_event(p->stream, item);
}

static void
on_first(void *arg, const struct event_item *item)
{
	uint64_t *oldest = arg;

	if (*oldest == 0)
		*oldest = item->seq;
}

/* "BOOT-SEQ" of this run; false: another one's, or too long ago. */
static bool
read_last(const struct api *a, struct str text, uint64_t *seq)
{
	size_t dash = str_rindex(text, '-');
	uint64_t newest = events_before(a->settings.events, 0), oldest = 0;

	events_each(a->settings.events, 0, on_first, &oldest);
	return dash < text.n &&
	       str_eq(str_sub(text, 0, dash), str_from(a->boot)) &&
	       str_to_u64(str_sub(text, dash + 1, text.n), seq) &&
	       *seq <= newest && *seq + 1 >= oldest;
}

static bool
begin(struct stream *s, const struct api *a)
{
	const struct http_request *q = web_request(s->x);
	const struct str *last = http_request_field(q, "Last-Event-ID");
	uint64_t newest = events_before(a->settings.events, 0), seq = 0;
	struct past past = {s, true};

	if (!web_stream_write(s->x, STR("retry: 2000\n")) ||
	    !say(s->x, "hello", "",
		json_pack("{s:s, s:I, s:s}", "boot", a->boot, "seq",
		    (json_int_t)newest, "version", a->settings.version)))
		return false;
	if (last == NULL)
		return true;
	if (!read_last(a, *last, &seq))
		return say(s->x, "reset", "", json_object());
	events_each(a->settings.events, seq, on_past, &past);
	return past.ok;
}

static bool
is_head(struct web_exchange *x)
{
	if (!str_eq(web_request(x)->method, STR("HEAD")))
		return false;
	web_refuse(x, 405, "HEAD is not available for a stream.");
	return true;
}

/* "type=freeze,thaw"; without it all. A message per event is most of what a
 * busy relay tells, and few ask for that. False: refused. */
static bool
read_types(struct web_exchange *x, uint64_t *types)
{
	const struct str *value =
	    http_target_parameter(web_target(x), API_STREAM_TYPES);
	struct str rest, name;
	char shown[64];
	bool is_more;

	*types = value == NULL ? UINT64_MAX : 0;
	if (value == NULL)
		return true;
	rest = *value;
	do {
		int type = 0;

		is_more = str_index(rest, ',') < rest.n;
		name = str_cut(&rest, ',');
		while (type < EVENT_TYPE_MAX &&
		       !str_eq(name, str_from(event_type_name[type])))
			type++;
		if (type == EVENT_TYPE_MAX) {
			web_refuse(x, 400,
			    "type: no event \"%s\"; GET session lists them.",
			    str_escape(name, shown, sizeof(shown)));
			return false;
		}
		*types |= UINT64_C(1) << type;
	} while (is_more);
	return true;
}

void
api_get_stream(struct web_exchange *x, int64_t now)
{
	const struct api *a = api_of(x);
	const struct web_who *who = web_who(x);
	struct stream *s;
	uint64_t types;

	(void)now;
	if (is_head(x) || !read_types(x, &types))
		return;
	s = xcalloc(1, sizeof(*s));
	s->x = x;
	s->types = types;
	s->proof = who->proof;
	(void)str_copy(str_from(who->domain), s->domain, sizeof(s->domain));
	(void)str_copy(str_from(who->id), s->id, sizeof(s->id));
	list_init(&s->follower.entry);
	web_stream(x, "text/event-stream", API_BEAT_MS, on_beat, on_gone, s);
	if (!begin(s, a)) {
		drop(s);
		return;
	}
	s->follower.on_event = on_event;
	s->follower.arg = s;
	events_follow(a->settings.events, &s->follower);
}

/* ---- a trace ---- */

struct traced {
	struct web_exchange *x;
	struct control_conn *c;
	enum web_proof proof;
	char id[32];
	bool is_open, is_over;
};

static bool
on_trace_row(void *arg, const char *kind, json_t *value)
{
	struct traced *t = arg;

	(void)kind;
	if (say(t->x, "trace", "", value))
		return true;
	/* Who asked for the row ends the command. */
	web_stream_end(t->x);
	free(t);
	return false;
}

static void
on_trace_end(void *arg, const struct control_end *end)
{
	struct traced *t = arg;

	if (!t->is_open) {
		web_refuse(t->x, api_code(end->fault), "%s",
		    end->error != NULL ? end->error : "It is over.");
		t->is_over = true;
		return;
	}
	/* Or else a browser would begin it anew. */
	(void)!say(t->x, "end", "", json_object());
	web_stream_end(t->x);
	free(t);
}

static const struct control_sink trace_sink = {
    .row = on_trace_row, .end = on_trace_end};

static void
on_trace_gone(void *arg)
{
	struct traced *t = arg;

	control_conn_end(t->c);
	free(t);
}

static void
on_trace_beat(void *arg, int64_t now)
{
	struct traced *t = arg;

	(void)now;
	if (is_still_known(t->x, t->proof, t->id) &&
	    web_stream_write(t->x, STR(": \n\n")))
		return;
	web_stream_end(t->x);
	on_trace_gone(t);
}

void
api_get_trace(struct web_exchange *x, int64_t now)
{
	const struct web_who *who = web_who(x);
	struct control_asker asker = api_asker(x);
	struct control_cursor cursor;
	uint64_t limit;
	struct traced *t;
	json_t *request;

	if (is_head(x) || (request = api_request(x, &limit, &cursor)) == NULL)
		return;
	t = xcalloc(1, sizeof(*t));
	t->x = x;
	t->proof = who->proof;
	(void)str_copy(str_from(who->id), t->id, sizeof(t->id));
	/* What is said comes later; what is wrong with the request, at once. */
	t->c = control_ask(api_of(x)->settings.control, &asker, request, cursor,
	    &trace_sink, t, now);
	if (t->is_over) {
		free(t);
		return;
	}
	t->is_open = true;
	web_stream(x, "text/event-stream", API_BEAT_MS, on_trace_beat,
	    on_trace_gone, t);
	(void)!web_stream_write(x, STR(": \n\n"));
}
