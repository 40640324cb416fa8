/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests for decisions, and what is answered. A batch is one request after
 * the other. An answer is remembered by its Idempotency-Key, so that a program
 * that did not hear it may ask again without spending twice.
 */
#include "config.h"

#include "maild/decide_private.h"

#include "base/hash.h"
#include "base/mailbox.h"
#include "http/reply.h"
#include "maild/maild_internal.h"
#include "os/clock.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 100
#define KEY_MAX 128
#define RETRY_FROZEN_S 3600 /* nobody knows when an administrator looks */

struct ask {
	struct web_exchange *x; /* NULL: the client has gone */
	struct decider *d;
	json_t *body, *answers, *answer;
	struct decide_wait wait; /* for what the answer promises */
	bool is_open, has_place; /* one waits for its commit; has a ticket */
	size_t at;
	enum decide_kind kind;
	unsigned code; /* of the last answer that is no success */
	char domain[WEB_DOMAIN_MAX];
	struct remembered *remembered;
	struct decision *decision; /* under way */
	bool is_pumping, is_waiting;
};

static struct decider *
decider_of(const struct web_exchange *x)
{
	const struct maild *m = api_arg(x);

	return m->decider;
}

static void
set_retry(struct web_exchange *x)
{
	char text[24];

	snprintf(text, sizeof(text), "%d", RETRY_FROZEN_S);
	web_set_field(x, "Retry-After", text);
}

/* True: answered from memory, or refused; or *out is where the answer goes
 * (NULL: the request has no key). */
static bool
is_known(struct web_exchange *x, struct decider *d, struct remembered **out)
{
	const struct http_request *q = web_request(x);
	const struct str *field = http_request_field(q, "Idempotency-Key");
	uint64_t body = hash_bytes(q->body.p, q->body.n, 0);
	struct remembered *r;
	char key[DECIDE_KEY_MAX];
	struct buf answer;

	*out = NULL;
	if (field == NULL)
		return false;
	if (field->n == 0 || field->n > KEY_MAX || !str_is_shown(*field)) {
		web_refuse(x, 400,
		    "Idempotency-Key must be 1 to %d printable characters.",
		    KEY_MAX);
		return true;
	}
	/* One's keys are nobody else's. */
	snprintf(
	    key, sizeof(key), "%s %.*s", web_who(x)->name, STR_ARG(*field));
	r = decide_find_remembered(d, key, loop_now(d->loop));
	if (r == NULL) {
		*out = decide_remember(d, key, body);
		return false;
	}
	if (r->body != body) {
		web_refuse(x, 422,
		    "This Idempotency-Key was used for another request.");
		return true;
	}
	if (r->code == 0) {
		web_refuse(x, 409, "The first request is still under way.");
		return true;
	}
	buf_init(&answer, DECIDE_ANSWER_MAX);
	if (!buf_append_str(&answer, buf_str(&r->answer)))
		panic("decide: an answer that is too large to be given");
	if (r->code == 429)
		set_retry(x);
	web_answer(x, r->code, "application/json", &answer);
	return true;
}

/* ---- answers ---- */

static const char *const verdict_names[] = {
    [THROTTLE_PASS] = "pass",
    [THROTTLE_HOLD] = "hold",
    [THROTTLE_REFUSE] = "refuse",
};

static json_t *
seconds(int64_t ms)
{
	return ms >= 0 ? json_integer((ms + 999) / 1000) : json_null();
}

static json_t *
item_row(const struct decision *c, const struct decide_item *item)
{
	char ticket[DECIDE_TICKET_MAX] = "";

	if (item->has_ticket)
		decide_ticket(c->key, item->destination, ticket);
	return json_pack("{s:o, s:s, s:o, s:o, s:s?, s:b}", "destination",
	    control_text(item->text), "verdict", verdict_names[item->verdict],
	    "why", control_text(item->why), "retry_after_s",
	    seconds(item->retry_ms), "ticket", item->has_ticket ? ticket : NULL,
	    "observed", (int)item->observed);
}

static json_t *
decision_row(const struct decision *c)
{
	struct gate_sender_info s;
	int64_t now = loop_now(c->d->loop), wall = clock_wall_ms();
	bool is_known =
	    gate_sender_find(c->d->gate, str_from(c->key), now, wall, &s);
	json_t *rows = json_array();

	for (size_t i = 0; i < c->n; i++)
		json_array_append_new(rows, item_row(c, &c->items[i]));
	return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "source",
	    control_text(c->key), "policy", control_text(c->policy),
	    "remaining",
	    is_known ? json_integer((json_int_t)s.t.allowance) : json_null(),
	    "frozen", (int)(is_known && s.t.frozen), "decision",
	    c->phase == DECIDE_OPEN ? json_string(c->id) : json_null(),
	    "expires",
	    c->phase == DECIDE_OPEN ? control_time(wall + DECIDE_OPEN_MS)
				    : json_null(),
	    "destinations", rows);
}

static bool
is_all_refused(const struct decision *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->items[i].verdict != THROTTLE_REFUSE)
			return false;
	}
	return true;
}

static void ask_pump(struct ask *a, int64_t now);

static void
ask_free(struct ask *a)
{
	json_decref(a->body);
	json_decref(a->answers);
	json_decref(a->answer);
	free(a);
}

static bool
is_batch(const struct ask *a)
{
	return json_object_get(a->body, "batch") != NULL;
}

static void
on_durable(struct decide_wait *w, bool ok)
{
	struct ask *a = CONTAINER_OF(w, struct ask, wait);

	if (a->x != NULL) {
		if (a->code == 429)
			set_retry(a->x);
		if (!ok)
			json_object_set_new(a->answer, "durable", json_false());
		api_answer(a->x, a->code, json_incref(a->answer));
	}
	ask_free(a);
}

static void
on_ended(struct decide_wait *w)
{
	ask_free(CONTAINER_OF(w, struct ask, wait));
}

/* A place, and a key that was used, are promises: they are on the disk first.
 */
static void
ask_end(struct ask *a, int64_t now)
{
	struct remembered *r = a->remembered;
	char *text;

	a->code = is_batch(a) || a->code == 0 ? 200 : a->code;
	a->answer = is_batch(a) ? json_pack("{s:O}", "batch", a->answers)
				: json_incref(json_array_get(a->answers, 0));
	if (r != NULL) {
		text =
		    json_dumps(a->answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
		/* A restart cancels what waits for its commit. */
		r->is_stored = !a->is_open;
		if (decide_remember_answer(a->d, r, a->code,
			str_from(text != NULL ? text : ""),
			now + DECIDE_REMEMBERED_MS) &&
		    !a->is_open)
			decide_file_answer(a->d, r);
		free(text);
	}
	a->wait.fn = on_durable;
	a->wait.drop = on_ended;
	if (a->has_place || r != NULL)
		decide_file_wait(a->d, &a->wait);
	else
		on_durable(&a->wait, true);
}

static void
on_decided(struct decision *c)
{
	struct ask *a = CONTAINER_OF(c->x_slot, struct ask, x);

	json_array_append_new(a->answers, decision_row(c));
	if (is_all_refused(c))
		a->code = 429;
	a->is_open = a->is_open || c->phase == DECIDE_OPEN;
	for (size_t i = 0; i < c->n; i++)
		a->has_place = a->has_place || c->items[i].has_ticket;
	a->decision = NULL;
	a->is_waiting = false;
	if (!a->is_pumping)
		ask_pump(a, loop_now(a->d->loop));
}

static void
on_dropped(struct decision *c)
{
	ask_free(CONTAINER_OF(c->x_slot, struct ask, x));
}

/* ---- requests ---- */

/* A problem in place of the decision. */
static void
add_problem(struct ask *a, unsigned code, const char *detail)
{
	a->code = code;
	json_array_append_new(a->answers,
	    json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title",
		http_reason(code), "status", (int)code, "detail", detail));
}

static bool
is_application(const char *s)
{
	size_t n = strlen(s);

	/* What `match` has words for. */
	if (strcmp(s, "user") == 0 || strcmp(s, "from") == 0 ||
	    strcmp(s, "client") == 0 || strcmp(s, "file") == 0)
		return false;
	return n > 0 && n <= DECIDE_APPLICATION_MAX &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static const char *
text_of(const json_t *request, const char *name)
{
	return json_string_value(json_object_get(request, name));
}

/* NULL: what is wrong with it. */
static const char *
check_members(const json_t *request)
{
	static const char *const names[] = {"source", "application",
	    "destinations", "policy", "client", "commit"};
	json_t *value;
	const char *name;

	json_object_foreach((json_t *)request, name, value)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(names) && strcmp(names[i], name) != 0)
			i++;
		if (i == ARRAY_LEN(names))
			return "A decision has the members source, "
			       "application, destinations, policy, client and "
			       "commit.";
	}
	return NULL;
}

static const char *
read_kind(const json_t *request, enum decide_kind *kind)
{
	const json_t *value = json_object_get(request, "commit");
	const char *text = json_string_value(value);

	if (value == NULL || *kind == DECIDE_CHECK)
		return NULL;
	if (text != NULL && strcmp(text, "later") == 0)
		*kind = DECIDE_LATER;
	else if (text == NULL || strcmp(text, "now") != 0)
		return "\"commit\" must be \"now\" or \"later\".";
	return NULL;
}

static const char *
add_destinations(struct decision *c, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);
		const char *text = json_string_value(value);

		if (text == NULL || strlen(text) != json_string_length(value) ||
		    !decision_add(c, text))
			return "A destination is 1 to 200 bytes of printable "
			       "text.";
	}
	return NULL;
}

/* NULL and what is wrong in *why. */
static struct decision *
make_decision(struct ask *a, const json_t *request, const char **why)
{
	const json_t *list = json_object_get(request, "destinations");
	const char *source = text_of(request, "source");
	const char *application = text_of(request, "application");
	const char *client = text_of(request, "client");
	const char *policy = text_of(request, "policy");
	size_t n = json_array_size(list);
	enum decide_kind kind = a->kind;
	struct ip ip = {.family = IP_NONE};
	struct decision *c;

	*why = check_members(request);
	if (*why == NULL)
		*why = read_kind(request, &kind);
	if (*why != NULL)
		return NULL;
	if (source == NULL || source[0] == '\0' ||
	    strlen(source) > DECIDE_NAME_MAX || !str_is_shown(str_from(source)))
		*why = "\"source\" must be 1 to 200 bytes of printable text.";
	else if (application == NULL || !is_application(application))
		*why = "\"application\" must be 1 to 32 small letters, digits "
		       "and hyphens.";
	else if (client != NULL && !ip_parse(str_from(client), &ip))
		*why = "\"client\" must be an IP address.";
	else if (json_object_get(request, "policy") != NULL &&
		 (policy == NULL ||
		     !gate_has_policy(a->d->gate, str_from(policy))))
		*why = "\"policy\" must be the name of a policy.";
	else if (n < 1 || n > DECIDE_DESTINATIONS_MAX)
		*why = "\"destinations\" must be a list of 1 to 1000.";
	else if (kind == DECIDE_LATER && a->d->open_count >= DECIDE_OPEN_MAX)
		*why = "Too many decisions wait for their commit.";
	if (*why != NULL)
		return NULL;
	c = decision_new(
	    a->d, source, application, policy != NULL ? policy : "", &ip, n);
	c->kind = kind;
	c->on_done = on_decided;
	c->on_drop = on_dropped;
	c->x_slot = &a->x;
	*why = add_destinations(c, list);
	if (*why == NULL)
		return c;
	decision_free(c, loop_now(a->d->loop));
	return NULL;
}

static void
ask_one(struct ask *a, const json_t *request, int64_t now)
{
	const char *why;
	struct decision *c = make_decision(a, request, &why);

	if (c == NULL) {
		add_problem(a, 400, why);
		return;
	}
	if (a->domain[0] != '\0' &&
	    !mailbox_is_in(str_from(c->source), str_from(a->domain))) {
		decision_free(c, now);
		add_problem(a, 403, "This token is for another domain.");
		return;
	}
	a->decision = c;
	a->is_waiting = true;
	decision_run(c, now);
}

static const json_t *
request_at(const struct ask *a, size_t i)
{
	const json_t *batch = json_object_get(a->body, "batch");

	if (batch != NULL)
		return json_array_get(batch, i);
	return i == 0 ? a->body : NULL;
}

static void
ask_pump(struct ask *a, int64_t now)
{
	const json_t *request;

	a->is_pumping = true;
	while (!a->is_waiting && (request = request_at(a, a->at)) != NULL) {
		a->at++;
		ask_one(a, request, now);
	}
	a->is_pumping = false;
	if (!a->is_waiting)
		ask_end(a, now);
}

/* What is under way goes on: it may have been spent. */
static void
on_gone(void *arg)
{
	struct ask *a = arg;

	a->x = NULL;
}

static bool
is_good_body(struct web_exchange *x, const json_t *body)
{
	const json_t *batch = json_object_get(body, "batch");

	if (batch == NULL)
		return true;
	if (json_object_size(body) == 1 && json_is_array(batch) &&
	    json_array_size(batch) >= 1 && json_array_size(batch) <= BATCH_MAX)
		return true;
	web_refuse(x, 400, "\"batch\" must be a list of 1 to %d decisions.",
	    BATCH_MAX);
	return false;
}

static void
begin(struct web_exchange *x, enum decide_kind kind, int64_t now)
{
	struct decider *d = decider_of(x);
	struct remembered *remembered = NULL;
	json_t *body = api_body(x);
	struct ask *a;

	if (body == NULL)
		return;
	if (!is_good_body(x, body) ||
	    (kind != DECIDE_CHECK && is_known(x, d, &remembered))) {
		json_decref(body);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->x = x;
	a->d = d;
	a->kind = kind;
	a->body = body;
	a->answers = json_array();
	a->remembered = remembered;
	(void)str_copy(
	    str_from(web_who(x)->domain), a->domain, sizeof(a->domain));
	web_wait(x, on_gone, a);
	ask_pump(a, now);
}

void
decide_post(struct web_exchange *x, int64_t now)
{
	begin(x, DECIDE_NOW, now);
}

void
decide_post_check(struct web_exchange *x, int64_t now)
{
	begin(x, DECIDE_CHECK, now);
}

/* ---- what is open ---- */

/* NULL: refused. */
static struct decision *
find_open(struct web_exchange *x)
{
	struct str name, id;
	struct decision *c = NULL;
	const char *domain = web_who(x)->domain;

	if (web_path_part(x, 0, &name, &id))
		c = decide_find_open(decider_of(x), id);
	if (c != NULL && domain[0] != '\0' &&
	    !mailbox_is_in(str_from(c->source), str_from(domain)))
		c = NULL;
	if (c == NULL)
		web_refuse(x, 404,
		    "There is no such decision (any more): one that is not "
		    "committed within 60 s is cancelled.");
	return c;
}

void
decide_post_commit(struct web_exchange *x, int64_t now)
{
	struct decision *c = find_open(x);
	struct ask *a;

	if (c == NULL)
		return;
	a = xcalloc(1, sizeof(*a));
	a->x = x;
	a->d = c->d;
	a->body = json_object();
	a->answers = json_array();
	/* There is nothing more to ask. */
	a->at = 1;
	a->decision = c;
	a->is_waiting = true;
	c->x_slot = &a->x;
	web_wait(x, on_gone, a);
	decision_commit(c, now);
}

void
decide_post_cancel(struct web_exchange *x, int64_t now)
{
	struct decision *c = find_open(x);

	if (c == NULL)
		return;
	decision_free(c, now);
	web_answer_nothing(x);
}

void
decide_get_ticket(struct web_exchange *x, int64_t now)
{
	struct decider *d = decider_of(x);
	const char *domain = web_who(x)->domain;
	int64_t wall = clock_wall_ms(), retry_ms = -1;
	struct waiting *w = NULL;
	struct gate_wait wait;
	struct str name, ticket;

	if (web_path_part(x, 0, &name, &ticket))
		w = decide_find_waiting(d, ticket);
	if (w != NULL && domain[0] != '\0' &&
	    !mailbox_is_in(str_from(w->sender), str_from(domain)))
		w = NULL;
	if (w == NULL) {
		web_refuse(x, 404,
		    "Nothing waits under this ticket: its turn has come, or it "
		    "is too long ago. Ask again.");
		return;
	}
	if (gate_expected(d->gate, str_from(w->sender), w->destination, now,
		wall, &wait)) {
		if (wait.due != INT64_MAX)
			retry_ms = wait.due > wall ? wait.due - wall : 0;
		api_answer(x, 200,
		    json_pack("{s:s, s:o, s:s, s:o, s:o, s:I, s:b}", "ticket",
			w->ticket, "source", control_text(w->sender),
			"application", w->application, "destination",
			control_text(w->text), "retry_after_s",
			seconds(retry_ms), "before", (json_int_t)wait.ahead,
			"frozen", (int)wait.frozen));
		return;
	}
	decide_drop_waiting(d, w);
	web_refuse(x, 404, "Nothing waits under this ticket any more.");
}
