/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Nothing that a sender chose can start a header line, end a JSON string or
 * leave the quotes of a command that is proposed: items hold no control
 * characters, the JSON is jansson's, and a name with a quote or a backslash in
 * it is not put into a command.
 */
#include "alert/alert_text.h"

#include "base/units.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BASE64_LINE 57 /* bytes that make a line of 76 */

static const struct alert_item *
item_of(const struct list *e)
{
	return LIST_ITEM(e, const struct alert_item, entry);
}

static const struct alert_item *
first_of(const struct alert_batch *b)
{
	return item_of(b->items.next);
}

static size_t
count_of(const struct alert_batch *b)
{
	const struct list *e;
	size_t n = b->omitted;

	list_each (e, &b->items)
		n++;
	return n;
}

/* Appends; what does not fit is cut, which max_items and the items' own limits
 * leave no case for. */
PRINTF_LIKE(2, 3)
static void
put(struct buf *out, const char *fmt, ...)
{
	char line[4 * ALERT_TEXT_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		n = (int)sizeof(line) - 1;
	(void)!buf_append(out, line, (size_t)n);
}

static const char *
state_of(const struct alert_item *i)
{
	if (i->want == ALERT_WANT_END)
		return "resolved";
	return i->want == ALERT_WANT_REMIND ? "reminder" : "new";
}

/* "is frozen", "is still frozen", "was thawed", "is over: ..." */
static void
put_sentence(struct buf *out, const struct alert_item *i)
{
	const struct alert_event_info *info = &alert_event_info[i->event];
	const char *one = info->one;

	if (i->want == ALERT_WANT_END) {
		if (i->event == ALERT_FREEZE)
			put(out, "%s was thawed", i->subject);
		else
			put(out, "resolved: %s %s", i->subject, one);
		return;
	}
	if (i->want == ALERT_WANT_REMIND)
		put(out, "reminder: ");
	put(out, "%s %s", i->subject, one);
	if (i->count > 1)
		put(out, " (%u times)", (unsigned)i->count);
}

/* ---- the summary ---- */

char *
alert_summary(const struct alert_batch *b)
{
	uint32_t now[ALERT_EVENT_MAX] = {0}, over[ALERT_EVENT_MAX] = {0};
	const struct list *e;
	struct buf out;
	bool any = false;

	buf_init(&out, ALERT_MESSAGE_MAX);
	if (count_of(b) == 1) {
		put_sentence(&out, first_of(b));
		return buf_take(&out);
	}
	list_each (e, &b->items) {
		const struct alert_item *i = item_of(e);

		if (i->want == ALERT_WANT_END)
			over[i->event]++;
		else
			now[i->event]++;
	}
	for (size_t t = 0; t < ALERT_EVENT_MAX; t++) {
		if (now[t] > 0) {
			put(&out, "%s%u %s", any ? ", " : "", now[t],
			    alert_event_info[t].many);
			any = true;
		}
		if (over[t] > 0) {
			put(&out, "%s%u resolved (%s)", any ? ", " : "",
			    over[t], alert_event_info[t].name);
			any = true;
		}
	}
	if (b->omitted > 0)
		put(&out, ", and %u more", (unsigned)b->omitted);
	return buf_take(&out);
}

/* ---- links and commands ---- */

static bool
is_about_sender(const struct alert_item *i)
{
	return alert_event_info[i->event].of == ALERT_OF_SENDER &&
	       i->subject[0] != '\0';
}

static void
put_encoded(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (str_is_alnum(*s) || strchr("-._~", *s) != NULL)
			put(out, "%c", *s);
		else
			put(out, "%%%02X", (unsigned char)*s);
	}
}

/* "" where there is none. Heap. */
static char *
link_of(const struct alert_conf *c, const struct alert_item *i)
{
	const char *hole = c->link != NULL ? strstr(c->link, "%s") : NULL;
	struct buf out;

	if (c->link == NULL || hole == NULL)
		return xstrdup(c->link != NULL ? c->link : "");
	buf_init(&out, 8 * ALERT_TEXT_MAX);
	put(&out, "%.*s", (int)(hole - c->link), c->link);
	if (is_about_sender(i))
		put_encoded(&out, i->subject);
	put(&out, "%s", hole + 2);
	return buf_take(&out);
}

static char *
advice_of(const struct alert_item *i)
{
	const char *rest = alert_event_info[i->event].advice, *hole;
	const char *name =
	    strpbrk(i->subject, "'\\") == NULL ? i->subject : "SENDER";
	struct buf out;

	buf_init(&out, 8 * ALERT_TEXT_MAX);
	if (i->want == ALERT_WANT_END)
		rest = "";
	while ((hole = strstr(rest, "%s")) != NULL) {
		put(&out, "%.*s%s", (int)(hole - rest), rest, name);
		rest = hole + 2;
	}
	put(&out, "%s", rest);
	return buf_take(&out);
}

/* ---- for people ---- */

static void
put_lines(struct buf *out, const char *title, const char *lines)
{
	struct str rest = str_from(lines);

	if (rest.n == 0)
		return;
	put(out, "    %s", title);
	while (rest.n > 0) {
		struct str one = str_cut(&rest, '\n');

		put(out, "%.*s%s", STR_ARG(one), rest.n > 0 ? "; " : "\n");
	}
}

static void
put_item(struct buf *out, const struct alert_conf *c,
    const struct alert_item *i, bool advice)
{
	char time[UNITS_TEXT_MAX];
	char *text;

	put_sentence(out, i);
	put(out, "\n");
	if (i->detail[0] != '\0')
		put(out, "    why: %s\n", i->detail);
	if (i->limit > 0)
		put(out, "    waiting: %u of %u recipients\n",
		    (unsigned)i->waiting, (unsigned)i->limit);
	if (i->passed > 0)
		put(out, "    sent before: to %u new recipients\n",
		    (unsigned)i->passed);
	if (i->policy[0] != '\0')
		put(out, "    policy: %s\n", i->policy);
	put(out, "    since: %s\n", units_format_time(i->since, time));
	if (i->ended != 0)
		put(out, "    ended: %s\n", units_format_time(i->ended, time));
	put_lines(out, "from: ", i->clients);
	put_lines(out, "subjects: ", i->subjects);
	text = advice_of(i);
	if (advice && text[0] != '\0')
		put(out, "    what to do: %s\n", text);
	free(text);
	text = link_of(c, i);
	if (text[0] != '\0')
		put(out, "    link: %s\n", text);
	free(text);
	put(out, "\n");
}

/* For people: a line with the host, then a paragraph an item. Heap. */
static char *
plain_text(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b)
{
	bool reported[ALERT_EVENT_MAX] = {false};
	char *summary = alert_summary(b);
	const struct list *e;
	struct buf out;

	buf_init(&out, ALERT_MESSAGE_MAX);
	put(&out, "weir on %s: %s\n\n", v->hostname, summary);
	free(summary);
	/* What to do stands with the first of each kind: a digest of 100 is
	 * to be read at a glance. */
	list_each (e, &b->items) {
		put_item(&out, c, item_of(e), !reported[item_of(e)->event]);
		reported[item_of(e)->event] = true;
	}
	if (b->omitted > 0)
		put(&out, "and %u more; see weirctl events\n\n",
		    (unsigned)b->omitted);
	return buf_take(&out);
}

/* ---- JSON ---- */

static json_t *
pack_lines(const char *lines)
{
	struct str rest = str_from(lines);
	json_t *list = json_array();

	while (rest.n > 0) {
		struct str one = str_cut(&rest, '\n');

		json_array_append_new(list, json_stringn(one.p, one.n));
	}
	return list;
}

static json_t *
pack_time(int64_t wall)
{
	char time[UNITS_TEXT_MAX];

	return wall == 0 ? json_null()
			 : json_string(units_format_time(wall, time));
}

static json_t *
pack_item(const struct alert_conf *c, const struct alert_item *i)
{
	char *advice = advice_of(i), *link = link_of(c, i);
	json_t *j = json_pack(
	    "{s:s,s:s,s:s,s:b,s:s,s:s,s:I,s:o,s:o,s:I,s:I,s:I,s:o,s:o,s:s,s:s}",
	    "event", alert_event_info[i->event].name, "state", state_of(i),
	    is_about_sender(i) ? "sender" : "subject", i->subject, "lasts",
	    (int)alert_event_info[i->event].lasts, "reason", i->detail,
	    "policy", i->policy, "count", (json_int_t)i->count, "since",
	    pack_time(i->since), "ended", pack_time(i->ended), "waiting",
	    (json_int_t)i->waiting, "limit", (json_int_t)i->limit, "passed",
	    (json_int_t)i->passed, "clients", pack_lines(i->clients),
	    "subjects", pack_lines(i->subjects), "what_to_do", advice, "link",
	    link);

	if (i->event == ALERT_RELEASE) {
		json_object_set_new(j, "ticket", json_string(i->ticket));
		json_object_set_new(
		    j, "destination", json_string(i->destination));
	}
	free(advice);
	free(link);
	return j;
}

char *
alert_json(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, size_t max)
{
	char *summary = alert_summary(b), *text;
	json_t *events = json_array(), *j;
	const struct list *e;

	list_each (e, &b->items) {
		if (json_array_size(events) < max)
			json_array_append_new(events, pack_item(c, item_of(e)));
	}
	j = json_pack("{s:i,s:s,s:o,s:s,s:s,s:I,s:s,s:I,s:o}", "version", 1,
	    "id", b->id, "time", pack_time(b->at), "host", v->hostname, "alert",
	    c->name, "count", (json_int_t)count_of(b), "summary", summary,
	    "omitted", (json_int_t)(count_of(b) - json_array_size(events)),
	    "events", events);
	text = j != NULL ? json_dumps(j, JSON_INDENT(1)) : NULL;
	if (text == NULL)
		panic("alert: a message that is not JSON");
	json_decref(j);
	free(summary);
	return text;
}

/* ---- templates ---- */

enum hole {
	HOLE_TEXT,
	HOLE_SUMMARY,
	HOLE_ID,
	HOLE_TIME,
	HOLE_HOST,
	HOLE_COUNT,
	HOLE_EVENT,
	HOLE_SENDER,
	HOLE_LINK,
	HOLES
};

static const char *const hole_name[HOLES] = {"text", "summary", "id", "time",
    "host", "count", "event", "sender", "link"};

/* Within a string of JSON. */
static void
put_string(struct buf *out, const char *value)
{
	json_t *j = json_string(value);
	char *text = j != NULL ? json_dumps(j, JSON_ENCODE_ANY) : NULL;

	if (text != NULL)
		(void)!buf_append(out, text + 1, strlen(text) - 2);
	free(text);
	json_decref(j);
}

/* values NULL: only to see whether it is right, with a letter for every text,
 * which nothing but a string has room for. NULL and why in err. */
static char *
fill(const char *text, char *const *values, char *err, size_t cap)
{
	struct str rest = str_from(text);
	struct buf out;
	const char *hole;

	buf_init(&out, ALERT_MESSAGE_MAX);
	while ((hole = strstr(rest.p, "{{")) != NULL) {
		const char *end = strstr(hole, "}}");
		struct str name;
		size_t i = 0;

		if (end == NULL) {
			snprintf(err, cap, "a {{ without }}");
			goto wrong;
		}
		name =
		    str_trim((struct str){hole + 2, (size_t)(end - hole) - 2});
		while (i < HOLES && !str_eq(name, str_from(hole_name[i])))
			i++;
		if (i == HOLES) {
			snprintf(err, cap,
			    "unknown placeholder {{%.*s}}; use text, summary, "
			    "id, time, host, count, event, sender, link",
			    (int)(name.n > 40 ? 40 : name.n), name.p);
			goto wrong;
		}
		(void)!buf_append(&out, rest.p, (size_t)(hole - rest.p));
		put_string(&out, values != NULL    ? values[i]
				 : i == HOLE_COUNT ? "1"
						   : "g");
		rest = str_from(end + 2);
	}
	(void)!buf_append_str(&out, rest);
	return buf_take(&out);
wrong:
	buf_clear(&out);
	return NULL;
}

bool
alert_template_check(const char *text, char *err, size_t cap)
{
	char *filled = fill(text, NULL, err, cap);
	json_error_t error;
	json_t *j;

	if (filled == NULL)
		return false;
	j = json_loads(filled, 0, &error);
	free(filled);
	if (j == NULL)
		snprintf(err, cap, "line %d: is not valid JSON: %s", error.line,
		    error.text);
	json_decref(j);
	return j != NULL;
}

char *
alert_body(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b)
{
	const struct alert_item *i = first_of(b);
	char time[UNITS_TEXT_MAX], err[200];
	char *values[HOLES], *text;
	json_t *j;

	if (c->template_text == NULL)
		return alert_json(v, c, b, ALERT_DIGEST_MAX);
	values[HOLE_TEXT] = plain_text(v, c, b);
	values[HOLE_SUMMARY] = alert_summary(b);
	values[HOLE_ID] = xstrdup(b->id);
	values[HOLE_TIME] = xstrdup(units_format_time(b->at, time));
	values[HOLE_HOST] = xstrdup(v->hostname);
	values[HOLE_COUNT] = xasprintf("%zu", count_of(b));
	values[HOLE_EVENT] = xstrdup(alert_event_info[i->event].name);
	values[HOLE_SENDER] = xstrdup(i->subject);
	values[HOLE_LINK] = link_of(c, i);
	text = fill(c->template_text, values, err, sizeof(err));
	for (size_t h = 0; h < HOLES; h++)
		free(values[h]);
	j = text != NULL ? json_loads(text, 0, NULL) : NULL;
	if (j == NULL) { /* "1e{{count}}" */
		free(text);
		return alert_json(v, c, b, ALERT_DIGEST_MAX);
	}
	json_decref(j);
	return text;
}

/* ---- mail ---- */

/* RFC 5322, in UTC; the locale's names of days would be wrong. */
static void
put_date(struct buf *out, int64_t wall)
{
	static const char days[7][4] = {
	    "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May",
	    "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t t = (time_t)(wall / 1000);
	struct tm tm = {0};

	gmtime_r(&t, &tm);
	put(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n",
	    days[tm.tm_wday % 7], tm.tm_mday, months[tm.tm_mon % 12],
	    tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Lines end in CR LF; base64 where it is not short lines of ASCII. */
static void
put_text(struct buf *out, const char *text)
{
	struct str rest = str_from(text);
	bool plain = str_is_ascii(rest);

	for (size_t i = 0, line = 0; i < rest.n; i++) {
		line = rest.p[i] == '\n' ? 0 : line + 1;
		plain = plain && line < 900;
	}
	put(out,
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=%s\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    plain ? "us-ascii" : "utf-8", plain ? "7bit" : "base64");
	while (plain && rest.n > 0) {
		struct str line = str_cut(&rest, '\n');

		(void)!buf_append_str(out, line);
		put(out, "\r\n");
	}
	while (rest.n > 0) {
		unsigned char line[BASE64_LINE / 3 * 4 + 1];
		struct str part = str_sub(rest, 0, BASE64_LINE);

		EVP_EncodeBlock(
		    line, (const unsigned char *)part.p, (int)part.n);
		put(out, "%s\r\n", (const char *)line);
		rest = str_sub(rest, part.n, rest.n);
	}
}

static void
put_header(struct buf *out, const struct alert_voice *v, const char *from,
    const char *id, int64_t wall)
{
	put_date(out, wall);
	put(out,
	    "From: weir <%s>\r\n"
	    "Message-ID: <%s.alert@%s>\r\n"
	    "Auto-Submitted: auto-generated\r\n"
	    "X-Auto-Response-Suppress: All\r\n",
	    from, id, v->hostname);
}

char *
alert_subject(const struct alert_voice *v, const struct alert_batch *b)
{
	char *summary = alert_summary(b);
	char *subject;

	for (char *p = summary; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x7f || (unsigned char)*p < 0x20)
			*p = '?';
	}
	subject = xasprintf("weir on %s: %.400s", v->hostname, summary);
	free(summary);
	return subject;
}

char *
alert_mail(const struct alert_voice *v, const struct alert_conf *c,
    const struct alert_batch *b, int64_t wall)
{
	char *text = plain_text(v, c, b), *subject = alert_subject(v, b);
	struct buf out;

	buf_init(&out, 2 * ALERT_MESSAGE_MAX);
	put_header(
	    &out, v, c->from != NULL ? c->from : v->postmaster, b->id, wall);
	for (size_t i = 0; i < c->to.n; i++)
		put(&out, "%s%s%s", i == 0 ? "To: " : "\t", c->to.v[i],
		    i + 1 < c->to.n ? ",\r\n" : "\r\n");
	put(&out, "Subject: %s\r\n", subject);
	put_text(&out, text);
	free(subject);
	free(text);
	return buf_take(&out);
}

/* ---- to the sender ---- */

const char *
alert_sender_subject(const struct alert_item *item)
{
	return item->event == ALERT_FREEZE
		   ? "Mail from your account has been stopped"
		   : "Your account is close to a sending limit";
}

/* Whoever reads it may have stolen the account: no number, no limit, and not
 * what would have gone unnoticed. */
char *
alert_mail_to_sender(const struct alert_voice *v, const struct alert_item *item,
    const char *id, int64_t wall)
{
	const char *help =
	    item->contact[0] != '\0' ? item->contact : v->postmaster;
	char time[UNITS_TEXT_MAX];
	struct buf out, text;
	char *body;

	buf_init(&out, ALERT_MESSAGE_MAX);
	buf_init(&text, ALERT_MESSAGE_MAX);
	put_header(&out, v, v->postmaster, id, wall);
	put(&out, "To: %s\r\nSubject: %s\r\n", item->to,
	    alert_sender_subject(item));
	if (item->event == ALERT_FREEZE)
		put(&text,
		    "The mail server %s has stopped mail from your account\n%s "
		    "since %s.\n\nIt was sent to an unusual number of new "
		    "recipients. The most\ncommon cause is a stolen "
		    "password.\n\nWhat to do:\n\n- If you did not send this "
		    "mail: change your password now,\n  on a computer that you "
		    "trust, and contact us.\n- If you did: tell us what it is, "
		    "and we will release it.\n",
		    v->hostname, item->to,
		    units_format_time(item->since, time));
	else
		put(&text,
		    "Your account %s is close to the limit for mail to "
		    "new\nrecipients at the mail server %s. Mail beyond "
		    "the\nlimit is delayed.\n\nWhat to do:\n\n- If you did not "
		    "send mail to many people: change your\n  password now, on "
		    "a computer that you trust, and contact us.\n- If you did: "
		    "no action is needed. For large mailings, ask\n  us for a "
		    "better way.\n",
		    item->to, v->hostname);
	put(&text,
	    "\nContact: %s\n\nThis message was sent automatically. We never "
	    "ask for your\npassword, and this message contains no links.\n",
	    help);
	body = buf_take(&text);
	put_text(&out, body);
	free(body);
	return buf_take(&out);
}
