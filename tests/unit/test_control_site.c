/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of a site: what one relay asks of others that the test plays, and
 * what it answers them.
 */
#include "config.h"

#include "control/site.h"
#include "control_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const others[] = {"b.test", "c.test"};

struct site {
	struct world *w;
	/* The question that waits for its answer, and how many there were. */
	const char *to;
	json_t *question;
	control_reply_fn *fn;
	void *fn_arg;
	size_t questions;
	/* What was answered last. */
	json_t *answer;
};

static const char *
on_self(void *arg)
{
	(void)arg;
	return "a.test";
}

static const char *
on_no_trouble(void *arg)
{
	(void)arg;
	return NULL;
}

static bool
on_peer(void *arg, size_t i, struct control_peer *out)
{
	(void)arg;
	if (i >= ARRAY_LEN(others))
		return false;
	*out = (struct control_peer){.name = others[i], .is_up = true};
	return true;
}

static void *
on_ask(void *arg, const char *name, struct str text, control_reply_fn *fn,
    void *fn_arg)
{
	struct site *s = arg;

	s->to = strcmp(name, others[0]) == 0 ? others[0] : others[1];
	json_decref(s->question);
	s->question = json_loadb(text.p, text.n, 0, NULL);
	s->fn = fn;
	s->fn_arg = fn_arg;
	s->questions++;
	return s;
}

static void
on_unask(void *arg, void *asked)
{
	(void)asked;
	((struct site *)arg)->fn = NULL;
}

static void
on_reply(void *arg, const char *to, uint64_t question, struct str text)
{
	struct site *s = arg;

	(void)to;
	assert_int_equal(question, 7);
	assert_null(s->answer);
	s->answer = json_loadb(text.p, text.n, JSON_ALLOW_NUL, NULL);
	assert_non_null(s->answer);
}

static const struct control_site site_ops = {
    .self = on_self,
    .trouble = on_no_trouble,
    .peer = on_peer,
    .ask = on_ask,
    .unask = on_unask,
    .answer = on_reply,
};

static bool
is_asked(void *arg)
{
	return ((struct site *)arg)->fn != NULL;
}

static bool
has_answered(void *arg)
{
	return ((struct site *)arg)->answer != NULL;
}

static void
begin(struct world *w, struct site *s)
{
	*s = (struct site){.w = w};
	w->control->server.site = &site_ops;
	w->control->server.site_arg = s;
}

static void
end(struct site *s)
{
	json_decref(s->question);
	json_decref(s->answer);
	s->w->control->server.site = NULL;
}

static void
no_reply(struct site *s)
{
	control_reply_fn *fn = s->fn;

	s->fn = NULL;
	fn(s->fn_arg, (struct str){0}, loop_now(s->w->loop));
}

/* The other one's answer; answer is taken. */
static void
reply(struct site *s, json_t *answer)
{
	char *text = json_dumps(answer, 0);
	control_reply_fn *fn = s->fn;

	json_decref(answer);
	s->fn = NULL;
	fn(s->fn_arg, str_from(text), loop_now(s->w->loop));
	free(text);
}

static void
expect_asked(struct site *s, const char *to, const char *id)
{
	const json_t *ids;

	assert_true(pump_until(s->w->loop, is_asked, s));
	assert_string_equal(s->to, to);
	ids = json_object_get(json_object_get(s->question, "request"), "ids");
	assert_int_equal(json_array_size(ids), 1);
	assert_string_equal(json_string_value(json_array_get(ids, 0)), id);
}

/* What another one asks; request is taken. The answer is the caller's. */
static json_t *
question(struct site *s, const char *from, json_t *root)
{
	char *text = json_dumps(root, 0);
	json_t *answer;

	json_decref(root);
	control_site_question(
	    s->w->control, from, 7, str_from(text), loop_now(s->w->loop));
	free(text);
	assert_true(pump_until(s->w->loop, has_answered, s));
	answer = s->answer;
	s->answer = NULL;
	return answer;
}

static json_t *
question_of(json_t *request, json_int_t cursor, json_int_t rows)
{
	return json_pack("{s:s, s:i, s:o, s:I, s:I}", "who", "alice", "rights",
	    3, "request", request, "cursor", cursor, "rows", rows);
}

/* ---- ids ---- */

struct mail {
	char here[3][SPOOL_ID_TEXT], elsewhere[SPOOL_ID_TEXT];
	uint64_t away;
};

static void
put_mail(struct world *w, struct mail *m)
{
	uint64_t id = 0;

	(void)submit_many(w, "alice@example.org", 0);
	for (int i = 0; i < 3; i++) {
		char to[32];

		snprintf(to, sizeof(to), "m%d@example.net", i);
		id = submit(w, "alice@example.org", to, STR("x\r\n"));
		assert_true(id != 0);
		(void)spool_id_format(id, m->here[i]);
	}
	m->away = id + ((uint64_t)1 << 30);
	(void)spool_id_format(m->away, m->elsewhere);
}

static void
test_an_id_is_one_relays(void **state)
{
	struct world *w = *state;
	char line[256];
	struct client c;
	struct mail m;
	struct site s;
	json_t *lines;

	put_mail(w, &m);
	begin(w, &s);
	client_open(w, &c);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\",\"%s\",\"%s\"]}",
	    m.here[0], m.elsewhere, m.here[1]);
	client_send(&c, line);
	expect_asked(&s, "b.test", m.elsewhere);
	reply(&s, json_pack("{s:[], s:i, s:{s:i}, s:[I]}", "rows", "fault", 0,
		      "fields", "recipients", 1, "found", (json_int_t)m.away));
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_int_equal(number(last(lines), "recipients"), 3);
	assert_null(json_object_get(last(lines), "found"));
	json_decref(lines);
	/* Where all are found nobody else is asked. */
	assert_int_equal(s.questions, 1);
	client_close(&c);
	end(&s);
}

/* There is nothing to flush of what is held, and what others have by its id is
 * another's. */
static void
test_in_vain_is_found_as_well(void **state)
{
	struct world *w = *state;
	char line[256];
	struct client c;
	struct mail m;
	struct site s;
	json_t *lines;

	put_mail(w, &m);
	begin(w, &s);
	snprintf(line, sizeof(line), "{\"command\":\"flush\",\"ids\":[\"%s\"]}",
	    m.here[0]);
	expect_error(w, line, 1, "no held mail matches");
	assert_int_equal(s.questions, 0);
	client_open(w, &c);
	snprintf(line, sizeof(line),
	    "{\"command\":\"flush\",\"ids\":[\"%s\",\"%s\"]}", m.here[0],
	    m.elsewhere);
	client_send(&c, line);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		expect_asked(&s, others[i], m.elsewhere);
		reply(&s, json_pack("{s:[], s:i, s:s, s:[]}", "rows", "fault",
			      CONTROL_ABSENT, "error", "no", "found"));
	}
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_string_equal(text(last(lines), "error"), "no held mail matches");
	json_decref(lines);
	client_close(&c);
	end(&s);
}

static void
test_a_count_goes_on_to_where_it_is(void **state)
{
	struct world *w = *state;
	char line[256];
	struct client c;
	struct mail m;
	struct site s;
	json_t *lines;

	put_mail(w, &m);
	begin(w, &s);
	client_open(w, &c);
	snprintf(line, sizeof(line),
	    "{\"command\":\"discard\",\"dry_run\":true,\"ids\":[\"%s\"]}",
	    m.elsewhere);
	client_send(&c, line);
	expect_asked(&s, "b.test", m.elsewhere);
	reply(&s, json_pack("{s:[], s:i, s:{s:i, s:i}, s:[I]}", "rows", "fault",
		      0, "fields", "messages", 1, "recipients", 2, "found",
		      (json_int_t)m.away));
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_int_equal(number(last(lines), "messages"), 1);
	assert_int_equal(number(last(lines), "recipients"), 2);
	json_decref(lines);
	client_close(&c);
	end(&s);
}

static void
test_what_is_found_is_told(void **state)
{
	struct world *w = *state;
	struct mail m;
	struct site s;
	json_t *answer;
	uint64_t id;

	put_mail(w, &m);
	assert_true(spool_id_parse(str_from(m.here[1]), &id));
	begin(w, &s);
	answer = question(&s, "b.test",
	    question_of(json_pack("{s:s, s:[s, s]}", "command", "discard",
			    "ids", m.elsewhere, m.here[1]),
		0, 0));
	assert_int_equal(number(answer, "fault"), 0);
	assert_int_equal(json_array_size(json_object_get(answer, "found")), 1);
	assert_int_equal(json_integer_value(json_array_get(
			     json_object_get(answer, "found"), 0)),
	    id);
	json_decref(answer);
	end(&s);
}

/* ---- who asks ---- */

static void
test_whoever_asks_is_named_whole(void **state)
{
	struct world *w = *state;
	char relay[256], who[300];
	struct mail m;
	struct site s;
	json_t *answer, *lines;

	memset(relay, 'r', 255);
	relay[255] = '\0';
	snprintf(who, sizeof(who), "alice at %s", relay);
	put_mail(w, &m);
	begin(w, &s);
	answer = question(&s, relay,
	    question_of(json_pack("{s:s, s:[s]}", "command", "discard", "ids",
			    m.here[0]),
		0, 0));
	assert_int_equal(number(answer, "fault"), 0);
	json_decref(answer);
	lines = ask(w, "{\"command\":\"audit\"}");
	assert_string_equal(text(row(lines, 0), "who"), who);
	json_decref(lines);
	end(&s);
}

static void
test_a_limit_that_is_none(void **state)
{
	struct world *w = *state;
	struct mail m;
	struct site s;
	json_t *root, *answer;

	put_mail(w, &m);
	begin(w, &s);
	root = question_of(
	    json_pack("{s:s, s:b}", "command", "discard", "all", 1), 0, 0);
	json_object_set_new(root, "domain", json_integer(7));
	answer = question(&s, "b.test", json_incref(root));
	assert_int_equal(number(answer, "fault"), CONTROL_USAGE);
	json_decref(answer);
	json_object_set_new(root, "domain", json_string("example.com"));
	answer = question(&s, "b.test", root);
	assert_int_equal(number(answer, "fault"), 0);
	json_decref(answer);
	end(&s);
	assert_int_equal(count_rows(w, "{\"command\":\"queue\"}"), 3);
}

/* ---- a text in pages ---- */

#define BODY (1u << 20)

static void
add_bytes(struct buf *out, const json_t *data)
{
	struct str s = {json_string_value(data), json_string_length(data)};

	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (b >= 0x80)
			b = (unsigned char)(b << 6 | (s.p[++i] & 0x3f));
		assert_true(buf_append(out, &b, 1));
	}
}

static void
test_a_long_text_for_another(void **state)
{
	struct world *w = *state;
	size_t envelopes = 0, pages = 0, i;
	char id[SPOOL_ID_TEXT], *body = xmalloc(BODY);
	struct str whole = {body, BODY};
	json_int_t cursor = 0;
	struct buf got;
	struct site s;
	bool goes_on = true;
	json_t *item;

	/* Some of it takes six bytes in JSON. */
	for (i = 0; i < BODY; i++)
		body[i] = (char)(i < BODY / 2 ? i % 251 : 1);
	buf_init(&got, BODY);
	(void)submit_many(w, "alice@example.org", 0);
	(void)spool_id_format(
	    submit(w, "alice@example.org", "x@example.net", whole), id);
	begin(w, &s);
	while (goes_on) {
		json_t *answer = question(&s, "b.test",
		    question_of(
			json_pack("{s:s, s:[s]}", "command", "cat", "ids", id),
			cursor, 0));

		assert_int_equal(number(answer, "fault"), 0);
		json_array_foreach(json_object_get(answer, "rows"), i, item)
		{
			json_t *value = json_array_get(item, 2);
			json_t *data = json_object_get(value, "data");

			if (data != NULL)
				add_bytes(&got, data);
			else
				envelopes++;
		}
		goes_on = json_object_get(answer, "cut") != NULL;
		if (goes_on)
			cursor = number(answer, "cut");
		json_decref(answer);
		assert_true(++pages < 100);
	}
	assert_int_equal(envelopes, 1);
	assert_true(pages > 1);
	assert_true(str_eq(buf_str(&got), whole));
	buf_clear(&got);
	free(body);
	end(&s);
}

/* ---- rows of several ---- */

static void
test_a_search_has_its_limit(void **state)
{
	struct world *w = *state;
	struct client c;
	struct mail m;
	struct site s;
	json_t *lines, *answer;

	put_mail(w, &m);
	begin(w, &s);
	/* Two were in the pages before. */
	answer = question(&s, "b.test",
	    question_of(json_pack("{s:s, s:s, s:i}", "command", "find", "term",
			    "example", "max", 3),
		0, 2));
	assert_int_equal(json_array_size(json_object_get(answer, "rows")), 1);
	assert_true(json_is_true(
	    json_object_get(json_object_get(answer, "fields"), "more")));
	json_decref(answer);
	/* Nothing more than what was in the pages before. */
	answer = question(&s, "b.test",
	    question_of(
		json_pack("{s:s, s:s}", "command", "find", "term", "nobody"), 0,
		1));
	assert_int_equal(number(answer, "fault"), 0);
	json_decref(answer);
	/* Of all relays together. */
	client_open(w, &c);
	client_send(
	    &c, "{\"command\":\"find\",\"term\":\"example\",\"max\":4}");
	assert_true(pump_until(w->loop, is_asked, &s));
	reply(&s, json_pack("{s:[[i,s,{s:s}],[i,s,{s:s}]], s:i}", "rows", 0,
		      "row", "id", "x", 1, "row", "id", "y", "fault", 0));
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_int_equal(json_array_size(lines), 5);
	assert_string_equal(text(row(lines, 3), "id"), "x");
	assert_true(json_is_true(json_object_get(last(lines), "more")));
	json_decref(lines);
	assert_int_equal(s.questions, 1);
	client_close(&c);
	end(&s);
}

/* A page without a row says that it goes on. */
static void
test_a_long_search_is_cut(void **state)
{
	struct world *w = *state;
	json_t *root, *answer;
	char name[64], *line;
	size_t cuts = 0;
	struct site s;

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "s%d@example.org", i);
		(void)submit_many(w, name, 30);
	}
	begin(w, &s);
	root = question_of(
	    json_pack("{s:s, s:s}", "command", "queue", "state", "deferred"), 0,
	    0);
	line = json_dumps(root, 0);
	control_site_question(
	    w->control, "b.test", 7, str_from(line), loop_now(w->loop));
	/* It began a second ago. */
	LIST_ITEM(w->control->conns.prev, struct control_conn, entry)->began -=
	    1000;
	free(line);
	assert_true(pump_until(w->loop, has_answered, &s));
	answer = s.answer;
	s.answer = NULL;
	assert_int_equal(json_array_size(json_object_get(answer, "rows")), 0);
	while (json_object_get(answer, "cut") != NULL) {
		json_object_set_new(
		    root, "cursor", json_integer(number(answer, "cut")));
		json_decref(answer);
		answer = question(&s, "b.test", json_incref(root));
		cuts++;
	}
	assert_true(cuts > 0);
	assert_int_equal(number(answer, "fault"), 0);
	json_decref(answer);
	json_decref(root);
	end(&s);
}

/* ---- nobody answers ---- */

static void
test_no_answer_is_a_failure(void **state)
{
	struct world *w = *state;
	struct client c;
	struct mail m;
	struct site s;
	char line[256];
	json_t *lines;

	put_mail(w, &m);
	begin(w, &s);
	client_open(w, &c);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"relay\":\"b.test\",\"ids\":[\"%s\"]}",
	    m.here[0]);
	client_send(&c, line);
	assert_true(pump_until(w->loop, is_asked, &s));
	no_reply(&s);
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_non_null(strstr(text(last(lines), "error"), "is not known"));
	json_decref(lines);
	client_close(&c);
	end(&s);
}

/* It may have been carried out there; an equal id elsewhere is another's. What
 * names no ids goes on. */
static void
test_an_id_that_may_be_done_is_asked_of_nobody_else(void **state)
{
	struct world *w = *state;
	struct client c;
	struct mail m;
	struct site s;
	char line[256];
	json_t *lines;

	put_mail(w, &m);
	begin(w, &s);
	client_open(w, &c);
	snprintf(line, sizeof(line),
	    "{\"command\":\"release\",\"ids\":[\"%s\",\"%s\"]}", m.here[0],
	    m.elsewhere);
	client_send(&c, line);
	expect_asked(&s, "b.test", m.elsewhere);
	no_reply(&s);
	assert_true(pump_until(w->loop, is_answered, &c));
	lines = client_take(&c);
	assert_int_equal(number(last(lines), "recipients"), 1);
	assert_true(json_is_true(json_object_get(last(lines), "failed")));
	assert_non_null(strstr(
	    text(json_array_get(json_object_get(last(lines), "elsewhere"), 0),
		"error"),
	    "no further relays were asked"));
	json_decref(lines);
	assert_int_equal(s.questions, 1);
	client_send(&c, "{\"command\":\"release\",\"sender\":\"alice\"}");
	assert_true(pump_until(w->loop, is_asked, &s));
	assert_string_equal(s.to, "b.test");
	no_reply(&s);
	assert_true(pump_until(w->loop, is_asked, &s));
	assert_string_equal(s.to, "c.test");
	no_reply(&s);
	assert_true(pump_until(w->loop, is_answered, &c));
	json_decref(client_take(&c));
	client_close(&c);
	end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_an_id_is_one_relays),
	    TEST(test_in_vain_is_found_as_well),
	    TEST(test_a_count_goes_on_to_where_it_is),
	    TEST(test_what_is_found_is_told),
	    TEST(test_whoever_asks_is_named_whole),
	    TEST(test_a_limit_that_is_none),
	    TEST(test_a_long_text_for_another),
	    TEST(test_a_search_has_its_limit),
	    TEST(test_a_long_search_is_cut),
	    TEST(test_no_answer_is_a_failure),
	    TEST(test_an_id_that_may_be_done_is_asked_of_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
