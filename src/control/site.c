/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A round (of who asks) and an errand (of who is asked). What goes between the
 * two is JSON: a question has who asks and his rights, the request, and where
 * to begin; an answer has a page of rows, each with the cursor before it, and
 * how the command ended. A page is asked for when the client has taken the one
 * before it.
 */
#include "config.h"

#include "control/site.h"

#include "base/hash.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 200 /* of a page */
#define PAGE_BYTES (256u << 10)
#define ROW_BYTES (3u << 19) /* of one row by itself */
#define DUMP_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER)
#define LOAD_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)
#define PEERS_MAX 64

struct control_round {
	char *self;
	char *names[PEERS_MAX]; /* of the others, to be asked */
	size_t n, next;
	json_t *request;
	void *asked; /* NULL: nobody */
	/* Of the one that was asked last. */
	json_t *page;
	size_t page_at;
	bool is_cut;
	uint64_t cursor;
	uint64_t had;   /* rows */
	uint32_t place; /* 0: here */
	json_t *end;

	bool is_done;  /* somewhere */
	bool has_all;  /* each id that was asked for was somewhere */
	uint64_t rows; /* of all */
	enum control_fault fault;
	char *error; /* of the first that failed */
	json_t *fields, *troubles;
	json_t *row;  /* CONTROL_ONE */
	json_t *each; /* what is each one's own */
};

static const struct control_site *
site_of(const struct control_conn *c)
{
	return c->control->server.site;
}

static void *
site_arg(const struct control_conn *c)
{
	return c->control->server.site_arg;
}

static uint32_t
place_of(const char *name)
{
	return (uint32_t)hash_str(str_from(name), 0) | 1;
}

/* ---- the end of a round ---- */

void
control_round_free(struct control_conn *c)
{
	struct control_round *r = c->round;

	if (r == NULL)
		return;
	c->round = NULL;
	if (r->asked != NULL) {
		site_of(c)->unask(site_arg(c), r->asked);
		c->is_waiting = false;
	}
	for (size_t i = 0; i < r->n; i++)
		free(r->names[i]);
	free(r->self);
	free(r->error);
	json_decref(r->request);
	json_decref(r->page);
	json_decref(r->end);
	json_decref(r->fields);
	json_decref(r->troubles);
	json_decref(r->row);
	json_decref(r->each);
	free(r);
}

static void
note_trouble(struct control_round *r, const char *name, const char *error)
{
	json_array_append_new(
	    r->troubles, json_pack("{s:o, s:o}", "relay", control_text(name),
			     "error", control_text(error)));
}

/* "mx2.example.org: down for 2m; mx3.example.org: did not answer" */
static char *
words_of(const json_t *troubles)
{
	struct buf text;
	json_t *t;
	size_t i;

	buf_init(&text, 900);
	json_array_foreach((json_t *)troubles, i, t)
	{
		if (!buf_printf(&text, "%s%s: %s", i > 0 ? "; " : "",
			json_string_value(json_object_get(t, "relay")),
			json_string_value(json_object_get(t, "error"))))
			break;
	}
	return buf_take(&text);
}

static bool
is_change(const struct control_conn *c)
{
	return c->request.command->reach == CONTROL_EACH;
}

static void
end_well(struct control_conn *c)
{
	struct control_round *r = c->round;
	json_t *fields = json_incref(r->fields), *row = r->row;

	if (json_array_size(r->troubles) > 0) {
		json_object_set(fields, "elsewhere", r->troubles);
		if (is_change(c))
			json_object_set_new(fields, "failed", json_true());
	}
	if (row != NULL) {
		json_object_set(row, "relays", r->each);
		r->row = NULL;
	}
	control_round_free(c);
	if (row == NULL || control_send_only(c, row))
		control_done(c, fields);
	else
		json_decref(fields);
}

static void
end_badly(struct control_conn *c)
{
	struct control_round *r = c->round;
	enum control_fault fault = r->error != NULL ? r->fault : CONTROL_FAILED;
	char *error = r->error, *words = NULL;

	r->error = NULL;
	if (json_array_size(r->troubles) > 0)
		words = words_of(r->troubles);
	control_round_free(c);
	control_fail(c, fault, "%s%s%s",
	    error != NULL ? error : "no other relay has answered",
	    words != NULL ? "; " : "", words != NULL ? words : "");
	free(error);
	free(words);
}

static void
end_round(struct control_conn *c)
{
	if (c->round->is_done)
		end_well(c);
	else
		end_badly(c);
}

/* ---- from one to the next ---- */

static void ask(struct control_conn *c, const char *name);

static void
go_on(struct control_conn *c)
{
	struct control_round *r = c->round;
	const char *trouble = site_of(c)->trouble(site_arg(c));

	c->on_step = NULL;
	c->cursor = 0;
	json_decref(c->kept);
	c->kept = NULL;
	json_decref(c->found);
	c->found = NULL;
	if (r->next >= r->n) {
		end_round(c);
		return;
	}
	if (trouble != NULL) {
		note_trouble(r, "other relays", trouble);
		end_round(c);
		return;
	}
	r->cursor = r->had = 0;
	r->place = place_of(r->names[r->next]);
	ask(c, r->names[r->next]);
}

static void
next_peer(struct control_conn *c)
{
	c->round->next++;
	go_on(c);
}

/* Numbers are added up, flags hold where one holds. */
static void
add_fields(json_t *sum, const json_t *fields)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)fields, name, value)
	{
		const json_t *was = json_object_get(sum, name);

		if (json_is_integer(value) && json_is_integer(was))
			json_object_set_new(sum, name,
			    json_integer(json_integer_value(value) +
					 json_integer_value(was)));
		else if (was == NULL || json_is_true(value))
			json_object_set(sum, name, value);
	}
}

/* What was one's full name here is the same elsewhere: there another sender may
 * be what was typed. */
static void
name_sender(struct control_round *r, const char *sender)
{
	if (sender != NULL && json_object_get(r->request, "sender") != NULL)
		json_object_set_new(r->request, "sender", control_text(sender));
}

/* ---- ids ---- */

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
has_id(const struct control_conn *c, const json_t *id, const uint64_t *ids,
    size_t n)
{
	const struct control_grammar *grammar = c->control->server.grammar;
	const char *text = json_string_value(id);
	uint64_t v;

	return text != NULL && grammar->parse_id(str_from(text), &v) &&
	       bsearch(&v, ids, n, sizeof(v), compare_ids) != NULL;
}

/* An id is its daemon's own: another one's message of the same id is not meant.
 * found NULL: which were there is not known. */
static void
drop_found(struct control_conn *c, const json_t *found)
{
	struct control_round *r = c->round;
	size_t n = json_array_size(found), i;
	uint64_t *ids = xcalloc(n + 1, sizeof(*ids));
	json_t *left = json_array(), *id;

	for (i = 0; i < n; i++)
		ids[i] = (uint64_t)json_integer_value(json_array_get(found, i));
	qsort(ids, n, sizeof(*ids), compare_ids);
	json_array_foreach(json_object_get(r->request, "ids"), i, id)
	{
		if (found != NULL && !has_id(c, id, ids, n))
			json_array_append(left, id);
	}
	free(ids);
	r->has_all = json_array_size(left) == 0;
	json_object_set_new(r->request, "ids", left);
}

static void
note_found(struct control_conn *c, const struct control_end *end)
{
	if (is_change(c) && c->request.id_count > 0 &&
	    (end->found != NULL || end->fault == CONTROL_OK))
		drop_found(c, end->found);
}

/* Nobody else has what was asked for. */
static bool
is_found(const struct control_conn *c)
{
	const struct control_round *r = c->round;

	return r->has_all ||
	       (r->is_done && !is_change(c) &&
		   (c->request.id_count == 1 ||
		       c->request.command->reach == CONTROL_FIRST));
}

void
control_round_part(struct control_conn *c, const struct control_end *end)
{
	struct control_round *r = c->round;

	if (end->fault == CONTROL_OK) {
		r->is_done = true;
		if (end->fields != NULL)
			add_fields(r->fields, end->fields);
	} else if (r->error == NULL) {
		r->fault = end->fault;
		r->error = xstrdup(end->error);
	}
	note_found(c, end);
	if (r->place == 0 && end->fault == CONTROL_OK)
		r->rows = c->rows;
	name_sender(r, c->request.sender);
	if (is_found(c) ||
	    (end->fault != CONTROL_OK && end->fault != CONTROL_ABSENT)) {
		r->next = r->n;
		go_on(c);
	} else if (r->place == 0) {
		go_on(c);
	} else {
		next_peer(c);
	}
}

/* ---- rows ---- */

static json_t *
part_of(const struct control_conn *c, const json_t *row, const char *name)
{
	json_t *part = json_pack("{s:o}", "relay", control_text(name));

	for (const char *const *m = c->request.command->each; *m != NULL; m++)
		json_object_set(part, *m, json_object_get(row, *m));
	return part;
}

/* value is taken where it is kept. */
static bool
take_row(
    struct control_conn *c, const char *name, const char *kind, json_t *value)
{
	struct control_round *r = c->round;
	bool is_row = strcmp(kind, "row") == 0;

	if (is_row && c->request.command->reach == CONTROL_ROWS)
		json_object_set_new(value, "relay", control_text(name));
	if (!is_row || c->request.command->reach != CONTROL_ONE)
		return true;
	json_array_append_new(r->each, part_of(c, value, name));
	if (r->row == NULL)
		r->row = value;
	else
		json_decref(value);
	return false;
}

bool
control_round_row(struct control_conn *c, const char *kind, json_t *value)
{
	struct control_round *r = c->round;

	return r->place != 0 || take_row(c, r->self, kind, value);
}

bool
control_round_is_on(const struct control_conn *c)
{
	return c->round != NULL || c->is_errand;
}

struct control_cursor
control_round_cursor(const struct control_conn *c)
{
	return (struct control_cursor){
	    .at = c->cursor, .place = c->round != NULL ? c->round->place : 0};
}

/* ---- a page of another's ---- */

static void
end_page(struct control_conn *c)
{
	struct control_round *r = c->round;
	json_t *answer = r->end;
	const char *error = json_string_value(json_object_get(answer, "error"));
	const json_t *fields = json_object_get(answer, "fields");
	struct control_end end = {
	    .fault = (enum control_fault)json_integer_value(
		json_object_get(answer, "fault")),
	    .error = error != NULL ? error : "",
	    .fields = (json_t *)fields,
	    .found = json_object_get(answer, "found")};

	json_decref(r->page);
	r->page = NULL;
	r->end = NULL;
	if (r->is_cut) {
		ask(c, r->names[r->next]);
	} else if (end.fault == CONTROL_OK || end.fault == CONTROL_ABSENT) {
		name_sender(
		    r, json_string_value(json_object_get(fields, "sender")));
		control_round_part(c, &end);
	} else {
		note_found(c, &end);
		note_trouble(r, r->names[r->next], end.error);
		r->next = r->has_all ? r->n : r->next + 1;
		go_on(c);
	}
	json_decref(answer);
}

static bool
has_enough(const struct control_conn *c)
{
	return (c->request.given & CONTROL_MAX) != 0 &&
	       c->round->rows >= c->request.max;
}

/* There are more rows than the client wants. */
static void
end_early(struct control_conn *c)
{
	struct control_round *r = c->round;

	json_decref(r->page);
	json_decref(r->end);
	r->page = r->end = NULL;
	r->is_done = true;
	r->next = r->n;
	json_object_set_new(r->fields, "more", json_true());
	go_on(c);
}

/* The rows that the client has room for. */
static void
step_page(struct control_conn *c, int64_t now)
{
	struct control_round *r = c->round;
	const char *name = r->names[r->next];

	(void)now;
	while (r->page_at < json_array_size(r->page)) {
		json_t *item = json_array_get(r->page, r->page_at), *row;
		const char *kind = json_string_value(json_array_get(item, 1));
		bool is_row = strcmp(kind, "row") == 0;

		if (is_row && has_enough(c)) {
			end_early(c);
			return;
		}
		row = json_deep_copy(json_array_get(item, 2));
		c->cursor =
		    (uint64_t)json_integer_value(json_array_get(item, 0));
		if (take_row(c, name, kind, row) &&
		    !control_send(c, kind, row)) {
			if (control_is_behind(c))
				return;
			control_round_free(c);
			control_fail(
			    c, CONTROL_FAILED, "the answer is too large");
			return;
		}
		r->page_at++;
		r->had += is_row;
		r->rows += is_row;
	}
	c->on_step = NULL;
	end_page(c);
}

static bool
is_item(const json_t *item)
{
	return json_array_size(item) == 3 &&
	       json_is_integer(json_array_get(item, 0)) &&
	       json_is_string(json_array_get(item, 1)) &&
	       json_is_object(json_array_get(item, 2));
}

static bool
is_ids(const json_t *ids)
{
	const json_t *id;
	size_t i;

	if (!json_is_array(ids) || json_array_size(ids) > CONTROL_IDS_MAX)
		return false;
	json_array_foreach((json_t *)ids, i, id)
	{
		if (!json_is_integer(id))
			return false;
	}
	return true;
}

static bool
is_answer(const json_t *answer)
{
	const json_t *rows = json_object_get(answer, "rows"), *item;
	const json_t *fault = json_object_get(answer, "fault");
	const json_t *fields = json_object_get(answer, "fields");
	const json_t *found = json_object_get(answer, "found");
	size_t i;

	if (!json_is_array(rows) || json_array_size(rows) > ROWS_MAX ||
	    (found != NULL && !is_ids(found)) || !json_is_integer(fault) ||
	    json_integer_value(fault) < 0 ||
	    json_integer_value(fault) > CONTROL_DENIED ||
	    (fields != NULL && !json_is_object(fields)))
		return false;
	json_array_foreach((json_t *)rows, i, item)
	{
		if (!is_item(item))
			return false;
	}
	return true;
}

/* An id is carried out at one relay. Where it may have been, nobody else is
 * asked for it: there it is another message's. */
static void
end_unanswered(struct control_conn *c)
{
	struct control_round *r = c->round;
	bool ends = is_change(c) && c->request.id_count > 0;
	bool has_more = ends && r->next + 1 < r->n;

	note_trouble(r, r->names[r->next],
	    has_more ? "did not answer; it is not known whether it was done "
		       "there, and no further relays were asked"
	    : is_change(c)
		? "did not answer; it is not known whether it was done there"
		: "did not answer");
	r->next = ends ? r->n : r->next + 1;
	go_on(c);
}

static void
on_reply(void *arg, struct str text, int64_t now)
{
	struct control_conn *c = arg;
	struct control_round *r = c->round;
	json_t *answer = NULL, *cut;

	(void)now;
	r->asked = NULL;
	if (!control_resume(c))
		return;
	if (text.p != NULL)
		answer = json_loadb(text.p, text.n, LOAD_FLAGS, NULL);
	if (!is_answer(answer)) {
		json_decref(answer);
		end_unanswered(c);
		return;
	}
	cut = json_object_get(answer, "cut");
	r->is_cut = json_is_integer(cut);
	r->cursor = (uint64_t)json_integer_value(cut);
	r->page = json_incref(json_object_get(answer, "rows"));
	r->page_at = 0;
	r->end = answer;
	c->on_step = step_page;
}

static bool
find_peer(
    const struct control_conn *c, const char *name, struct control_peer *out)
{
	for (size_t i = 0; site_of(c)->peer(site_arg(c), i, out); i++) {
		if (strcmp(out->name, name) == 0)
			return true;
	}
	return false;
}

static void
ask(struct control_conn *c, const char *name)
{
	struct control_round *r = c->round;
	json_t *question =
	    json_pack("{s:o, s:i, s:O, s:I, s:I}", "who", control_text(c->who),
		"rights", (int)c->rights, "request", r->request, "cursor",
		(json_int_t)r->cursor, "rows", (json_int_t)r->had);
	char *text, span[UNITS_TEXT_MAX], why[80];
	struct control_peer peer = {0};

	if (c->domain != NULL)
		json_object_set_new(
		    question, "domain", control_text(c->domain));
	text = json_dumps(question, DUMP_FLAGS);
	json_decref(question);
	if (!find_peer(c, name, &peer) || !peer.is_up) {
		snprintf(why, sizeof(why), "down for %s",
		    units_format_duration(peer.silent_ms / 1000 * 1000, span));
		note_trouble(r, name, why);
	} else if (text != NULL) {
		r->asked = site_of(c)->ask(
		    site_arg(c), name, str_from(text), on_reply, c);
		if (r->asked == NULL)
			note_trouble(r, name, "cannot be asked now");
	}
	free(text);
	if (r->asked != NULL)
		control_wait(c);
	else
		next_peer(c);
}

/* ---- the beginning ---- */

static void
add_peers(struct control_conn *c, const char *only)
{
	struct control_round *r = c->round;
	struct control_peer peer;

	for (size_t i = 0;
	     r->n < PEERS_MAX && site_of(c)->peer(site_arg(c), i, &peer); i++) {
		if (only == NULL || strcmp(peer.name, only) == 0)
			r->names[r->n++] = xstrdup(peer.name);
	}
}

/* False: none has that place; it has gone since the page before. */
static bool
find_place(struct control_round *r, uint32_t place)
{
	while (r->next < r->n && place_of(r->names[r->next]) != place)
		r->next++;
	return r->next < r->n;
}

bool
control_round_begin(struct control_conn *c, const json_t *root,
    struct control_cursor from, int64_t now)
{
	const struct control_command *command = c->request.command;
	const char *only = c->request.relay, *self = NULL;
	struct control_round *r;

	(void)now;
	if (site_of(c) != NULL)
		self = site_of(c)->self(site_arg(c));
	if (command->reach == CONTROL_HERE || c->is_errand)
		return true;
	if (self == NULL && only == NULL)
		return true;
	if (self == NULL) {
		control_fail(c, CONTROL_USAGE,
		    "this relay works alone: there is no relay \"%s\"", only);
		return false;
	}
	r = c->round = xcalloc(1, sizeof(*r));
	r->self = xstrdup(self);
	r->request = json_copy((json_t *)root);
	r->fields = json_object();
	r->troubles = json_array();
	r->each = json_array();
	if (only == NULL || strcmp(only, self) != 0)
		add_peers(c, only);
	if (only != NULL && strcmp(only, self) != 0 && r->n == 0) {
		control_round_free(c);
		control_fail(c, CONTROL_ABSENT, "no such relay: %s", only);
		return false;
	}
	if (from.place == 0 && (only == NULL || strcmp(only, self) == 0)) {
		/* The server has not said yet who the others are. */
		if (r->n == 0 && only == NULL &&
		    site_of(c)->trouble(site_arg(c)) != NULL)
			note_trouble(r, "other relays",
			    site_of(c)->trouble(site_arg(c)));
		return true;
	}
	if (from.place != 0 && !find_place(r, from.place))
		r->is_done = true;
	c->cursor = 0;
	if (r->next < r->n && from.place != 0) {
		r->place = from.place;
		r->cursor = from.at;
		r->is_done = true;
		ask(c, r->names[r->next]);
	} else {
		go_on(c);
	}
	return false;
}

/* ---- errands ---- */

struct errand {
	struct list entry;
	struct control *control;
	struct control_conn *c;
	char *from;
	uint64_t question;
	json_t *rows;
	size_t bytes;
	bool is_running, is_over;
};

static void
errand_free(struct errand *e)
{
	list_remove(&e->entry);
	json_decref(e->rows);
	free(e->from);
	free(e);
}

void
control_errands_free(struct control *control)
{
	while (!list_is_empty(&control->errands))
		errand_free(
		    LIST_ITEM(control->errands.next, struct errand, entry));
}

static bool
on_row(void *arg, const char *kind, json_t *value)
{
	struct errand *e = arg;
	size_t bytes = json_dumpb(value, NULL, 0, DUMP_FLAGS);
	size_t n = json_array_size(e->rows);

	if (n >= ROWS_MAX || (n > 0 && e->bytes + bytes > PAGE_BYTES) ||
	    bytes > ROW_BYTES) {
		json_decref(value);
		return false;
	}
	e->bytes += bytes;
	json_array_append_new(e->rows,
	    json_pack("[I, s, o]", (json_int_t)e->c->cursor, kind, value));
	return true;
}

static void
answer(struct control *control, const char *to, uint64_t question, json_t *rows,
    const struct control_end *end)
{
	const struct control_server *s = &control->server;
	json_t *root =
	    json_pack("{s:O, s:i}", "rows", rows, "fault", (int)end->fault);
	char *text;

	if (end->error != NULL)
		json_object_set_new(root, "error", control_text(end->error));
	if (end->fields != NULL)
		json_object_set(root, "fields", end->fields);
	if (end->found != NULL)
		json_object_set(root, "found", end->found);
	if (end->is_cut)
		json_object_set_new(
		    root, "cut", json_integer((json_int_t)end->cursor.at));
	text = json_dumps(root, DUMP_FLAGS);
	json_decref(root);
	if (text != NULL)
		s->site->answer(s->site_arg, to, question, str_from(text));
	free(text);
}

static void
on_end(void *arg, const struct control_end *end)
{
	struct errand *e = arg;

	answer(e->control, e->from, e->question, e->rows, end);
	e->is_over = true;
	if (!e->is_running)
		errand_free(e);
}

static const struct control_sink errand_sink = {.row = on_row, .end = on_end};

static void
refuse(struct control *control, const char *to, uint64_t question,
    enum control_fault fault, const char *why)
{
	json_t *rows = json_array();

	answer(control, to, question, rows,
	    &(struct control_end){.fault = fault, .error = why});
	json_decref(rows);
}

static bool
has_room(const struct control *control)
{
	const struct list *e;
	size_t n = 0;

	list_each (e, &control->errands)
		n++;
	return n < CONTROL_ERRANDS_MAX;
}

/* Only what goes round is done for others. */
static bool
goes_round(const struct control *control, const char *name)
{
	const struct control_command *k = NULL;

	if (name != NULL)
		k = control_command_find(control->server.grammar, name);
	return k != NULL && k->reach != CONTROL_HERE;
}

static void
run_errand(struct control *control, const char *from, uint64_t question,
    const json_t *root, int64_t now)
{
	json_t *request = json_object_get(root, "request");
	const char *who = json_string_value(json_object_get(root, "who"));
	char name[CONTROL_WHO_MAX];
	struct control_asker asker = {
	    .who = name,
	    .rights =
		(unsigned)json_integer_value(json_object_get(root, "rights")) &
		CONTROL_RIGHTS,
	    .domain = json_string_value(json_object_get(root, "domain")),
	    .is_errand = true,
	};
	struct control_cursor at = {
	    .at = (uint64_t)json_integer_value(json_object_get(root, "cursor")),
	    .rows = (uint64_t)json_integer_value(json_object_get(root, "rows")),
	};
	struct errand *e = xcalloc(1, sizeof(*e));

	snprintf(name, sizeof(name), "%.95s at %.255s",
	    who != NULL ? who : "somebody", from);
	e->control = control;
	e->from = xstrdup(from);
	e->question = question;
	e->rows = json_array();
	list_append(&control->errands, &e->entry);
	e->is_running = true;
	asker.conn = &e->c;
	control_ask(
	    control, &asker, json_incref(request), at, &errand_sink, e, now);
	e->is_running = false;
	if (e->is_over)
		errand_free(e);
}

void
control_site_question(struct control *control, const char *from,
    uint64_t question, struct str text, int64_t now)
{
	json_t *root = json_loadb(text.p, text.n, LOAD_FLAGS, NULL);
	const json_t *request = json_object_get(root, "request");
	const json_t *domain = json_object_get(root, "domain");
	const char *name =
	    json_string_value(json_object_get(request, "command"));

	if (!goes_round(control, name))
		refuse(control, from, question, CONTROL_USAGE,
		    "does not support this command: another version of weir?");
	else if (domain != NULL && !json_is_string(domain))
		refuse(control, from, question, CONTROL_USAGE,
		    "does not support this request: another version of weir?");
	else if (!has_room(control))
		refuse(control, from, question, CONTROL_LATER,
		    "is busy; try again");
	else
		run_errand(control, from, question, root, now);
	json_decref(root);
}
