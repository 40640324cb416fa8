/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a request of HTTP to a command, and from its rows to an answer.
 */
#include "config.h"

#include "control/api.h"

#include "page/page.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (6u << 20)
#define PAGE_BYTES (2u << 20) /* a page ends behind them */
#define CONTENT_MAX (256u << 10)
#define DUMP_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY)

static void run_command(struct web_exchange *x, int64_t now);

#define PATH(p) API_PATH p
#define COMMAND(method, path, command, flags)                            \
	{                                                                \
		method, PATH(path), 0, run_command, NULL, command, flags \
	}

/* What each daemon has of it: a command that it does not know has no route. */
static const struct web_route shared[] = {
    {"GET", PATH("/session"), WEB_LOGIN, api_get_session,
	"The current session and its rights.", NULL, 0},
    {"POST", PATH("/session"), WEB_ANYBODY, api_post_session,
	"Logs in: {\"token\": ...} or {\"name\": ..., \"password\": ...}; the "
	"answer sets a cookie.",
	NULL, API_BODY},
    {"DELETE", PATH("/session"), WEB_LOGIN, api_delete_session, "Logs out.",
	NULL, 0},
    {"GET", PATH("/openapi.json"), WEB_LOGIN, api_get_description,
	"This description.", NULL, 0},
    {"GET", PATH("/events/stream"), CONTROL_READ, api_get_stream,
	"Events as they happen, as server-sent events.", NULL, 0},
    COMMAND("GET", "/status", "status", API_ONE),
    COMMAND("GET", "/senders", "senders", API_PAGED | API_OF_RUN),
    COMMAND("GET", "/senders/{sender}", "show", API_ONE),
    COMMAND("POST", "/senders/{sender}/freeze", "freeze", API_CHANGE),
    COMMAND("POST", "/senders/{sender}/thaw", "thaw", API_CHANGE),
    COMMAND("POST", "/senders/{sender}/forget", "forget", API_CHANGE),
    COMMAND("GET", "/queue", "queue", API_PAGED),
    COMMAND("GET", "/queue/{id}", "queue", API_ONE),
    COMMAND("GET", "/queue/{id}/content", "cat", API_CONTENT),
    COMMAND("POST", "/queue/release", "release", API_CHANGE),
    COMMAND("POST", "/queue/discard", "discard", API_CHANGE),
    COMMAND("POST", "/queue/flush", "flush", API_CHANGE),
    COMMAND("GET", "/find", "find", API_LIST),
    COMMAND("GET", "/problems", "problems", API_LIST),
    COMMAND("GET", "/explain", "explain", API_ONE),
    COMMAND("GET", "/events", "events", API_LIST),
    COMMAND("GET", "/audit", "audit", API_LIST),
    COMMAND("GET", "/history", "history", API_PAGED | API_OF_RUN),
    COMMAND("POST", "/learn", "learn", API_CHANGE),
    COMMAND("GET", "/alerts", "alerts", API_LIST),
    COMMAND("POST", "/alerts/{term}/test", "alert_test", API_CHANGE),
    {"GET", PATH("/trace/stream"), 0, api_get_trace, NULL, "trace", 0},
    COMMAND("GET", "/config", "config", API_LINES),
    COMMAND("POST", "/reload", "reload", API_CHANGE),
    COMMAND("GET", "/tokens", "tokens", API_LIST),
    COMMAND("POST", "/tokens", "token_new", API_MADE),
    COMMAND("DELETE", "/tokens/{name}", "token_revoke", API_REMOVED),
    COMMAND("GET", "/users", "users", API_LIST),
    COMMAND("POST", "/users", "user_set", API_REMOVED),
    COMMAND("DELETE", "/users/{name}", "user_remove", API_REMOVED),
};

/* ---- the table ---- */

static unsigned
path_arguments(const char *path)
{
	unsigned bits = 0;

	for (const char *p = path; (p = strchr(p, '{')) != NULL; p++) {
		struct str name = {p + 1, strcspn(p + 1, "}")};
		const struct control_argument *a = control_argument_find(
		    str_eq(name, STR("id")) ? STR("ids") : name);

		bits |= a != NULL ? a->bit : 0;
	}
	return bits;
}

/* The right is the command's, and what it is for is said there. */
static bool
join(const struct api *a, const struct web_route *from, struct web_route *to)
{
	const struct control_command *c;

	*to = *from;
	if (from->command == NULL)
		return true;
	c = control_command_find(
	    a->settings.control->server.grammar, from->command);
	if (c == NULL)
		return false;
	if ((path_arguments(to->path) & ~c->takes) != 0)
		return false;
	to->right = c->right;
	if (to->doc == NULL)
		to->doc = c->doc;
	return true;
}

static void
make_routes(struct api *a)
{
	const struct web_route *own = a->settings.routes;
	size_t n = 0, own_count = 0;

	while (own != NULL && own[own_count].path != NULL)
		own_count++;
	a->routes =
	    xcalloc(ARRAY_LEN(shared) + own_count + 1, sizeof(*a->routes));
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		n += join(a, &shared[i], &a->routes[n]);
	for (size_t i = 0; i < own_count; i++)
		n += join(a, &own[i], &a->routes[n]);
	a->routes[n] = (struct web_route){.path = NULL};
}

static const struct page_file *
find_page(void *arg, const char *path)
{
	return page_find(((struct api *)arg)->page, path);
}

struct api *
api_new(const struct api_settings *settings)
{
	struct api *a = xcalloc(1, sizeof(*a));
	uint8_t boot[8];

	a->settings = *settings;
	a->page = page_new(settings->page_dir);
	if (RAND_bytes(boot, sizeof(boot)) != 1)
		panic("api: no random bytes");
	for (size_t i = 0; i < sizeof(boot); i++)
		snprintf(a->boot + 2 * i, 3, "%02x", boot[i]);
	make_routes(a);
	a->web = web_new(&(struct web_server){.loop = settings->loop,
	    .log = settings->log,
	    .routes = a->routes,
	    .arg = a,
	    .identify = api_identify,
	    .find_file = find_page});
	return a;
}

void
api_free(struct api *a)
{
	if (a == NULL)
		return;
	web_free(a->web);
	free(a->routes);
	page_free(a->page);
	free(a);
}

struct web *
api_web(struct api *a)
{
	return a->web;
}

struct api *
api_of(const struct web_exchange *x)
{
	return web_arg(x);
}

void *
api_arg(const struct web_exchange *x)
{
	return api_of(x)->settings.arg;
}

struct control_asker
api_asker(const struct web_exchange *x)
{
	const struct web_who *who = web_who(x);

	return (struct control_asker){.who = who->name,
	    .rights = who->rights,
	    .domain = who->domain[0] != '\0' ? who->domain : NULL};
}

/* ---- cursors ---- */

const char *
api_cursor_format(
    const char *command, struct control_cursor at, char out[API_CURSOR_MAX])
{
	if (at.place != 0)
		snprintf(out, API_CURSOR_MAX, "%c%" PRIx64 "-%" PRIx32,
		    command[0], at.at, at.place);
	else
		snprintf(out, API_CURSOR_MAX, "%c%" PRIx64, command[0], at.at);
	return out;
}

static bool
parse_hex(struct str text, size_t digits, uint64_t *out)
{
	*out = 0;
	if (text.n < 1 || text.n > digits)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = str_hex_digit(text.p[i]);

		if (digit < 0)
			return false;
		*out = *out << 4 | (uint64_t)digit;
	}
	return true;
}

bool
api_cursor_parse(
    const char *command, struct str text, struct control_cursor *out)
{
	struct str at = str_sub(text, 1, text.n), place;
	bool has_place = str_index(at, '-') < at.n;
	uint64_t number = 0;

	*out = (struct control_cursor){0};
	if (text.n < 2 || text.p[0] != command[0])
		return false;
	place = at;
	at = str_cut(&place, '-');
	if (!parse_hex(at, 16, &out->at) || out->at > INT64_MAX)
		return false;
	if (has_place && (!parse_hex(place, 8, &number) || number == 0))
		return false;
	out->place = (uint32_t)number;
	return true;
}

/* ---- bodies ---- */

static int
append(const char *p, size_t n, void *out)
{
	return buf_append(out, p, n) ? 0 : -1;
}

void
api_answer(struct web_exchange *x, unsigned code, json_t *value)
{
	struct buf body;

	buf_init(&body, BODY_MAX);
	if (value == NULL ||
	    json_dump_callback(value, append, &body, DUMP_FLAGS) != 0) {
		buf_clear(&body);
		web_refuse(x, 500, "The answer is too large.");
	} else {
		web_answer(x, code, "application/json", &body);
	}
	json_decref(value);
}

static bool
is_json(const struct str *type)
{
	struct str rest = type != NULL ? *type : STR("");

	return str_ieq(str_trim(str_cut(&rest, ';')), STR("application/json"));
}

json_t *
api_body(struct web_exchange *x)
{
	const struct http_request *q = web_request(x);
	json_error_t why;
	json_t *body;

	if (q->body.n == 0)
		return json_object();
	if (!is_json(http_request_field(q, "Content-Type"))) {
		web_refuse(x, 415, "The body must be application/json.");
		return NULL;
	}
	body = json_loadb(q->body.p, q->body.n, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(body))
		return body;
	if (body == NULL)
		web_refuse(x, 400,
		    "The body is not valid JSON, at byte %d: %s.", why.position,
		    why.text);
	else
		web_refuse(x, 400, "The body must be a JSON object.");
	json_decref(body);
	return NULL;
}

/* ---- a request ---- */

static json_t *
list_of(struct str text)
{
	json_t *list = json_array();

	while (text.n > 0) {
		struct str part = str_cut(&text, ',');

		json_array_append_new(list, json_stringn(part.p, part.n));
	}
	return list;
}

/* NULL: it is not of that kind. */
static json_t *
from_text(const struct control_argument *a, struct str text)
{
	uint64_t n;

	switch (a->kind) {
	case CONTROL_KIND_FLAG:
		if (str_eq(text, STR("true")))
			return json_true();
		return str_eq(text, STR("false")) ? json_false() : NULL;
	case CONTROL_KIND_NUMBER:
		return str_to_u64(text, &n) && n <= INT64_MAX
			   ? json_integer((json_int_t)n)
			   : NULL;
	case CONTROL_KIND_LIST:
		return list_of(text);
	case CONTROL_KIND_ROWS:
		return NULL;
	case CONTROL_KIND_TEXT:
		break;
	}
	return json_stringn(text.p, text.n);
}

/* False: the request is refused. */
static bool
put(struct web_exchange *x, json_t *request, struct str name, struct str text)
{
	const struct control_argument *a = control_argument_find(name);
	json_t *value;

	if (a == NULL) {
		web_refuse(x, 400, "Unknown parameter \"%.*s\".",
		    name.n < 64 ? (int)name.n : 64, name.p);
		return false;
	}
	value = from_text(a, text);
	if (value == NULL || json_object_get(request, a->name) != NULL) {
		json_decref(value);
		web_refuse(x, 400, "\"%s\" %s.", a->name,
		    value == NULL
			? a->kind == CONTROL_KIND_FLAG ? "must be true or false"
			  : a->kind == CONTROL_KIND_ROWS ? "must be in the body"
							 : "must be a number"
			: "is given twice");
		return false;
	}
	json_object_set_new(request, a->name, value);
	return true;
}

/* What the path says, "{id}" being the one of "ids". */
static bool
put_path(struct web_exchange *x, json_t *request)
{
	struct str name, value;

	for (size_t i = 0; web_path_part(x, i, &name, &value); i++) {
		bool is_id = str_eq(name, STR("id"));

		if (is_id && str_index(value, ',') < value.n) {
			web_refuse(x, 404, "There is no such message.");
			return false;
		}
		if (!put(x, request, is_id ? STR("ids") : name, value))
			return false;
	}
	return true;
}

/* ---- an answer ---- */

struct call {
	struct web_exchange *x;
	struct control_conn *c;
	const char *command;
	unsigned flags;
	uint64_t limit, count;
	struct buf body;    /* rows, with commas between them */
	struct buf content; /* of a message */
	json_t *one, *notes, *events;
	bool is_cut, is_over; /* of content; the call has ended */
	bool is_running;      /* control_ask has not returned */
};

static void
call_free(struct call *call)
{
	buf_clear(&call->body);
	buf_clear(&call->content);
	json_decref(call->one);
	json_decref(call->notes);
	json_decref(call->events);
	free(call);
}

static bool
add_item(struct call *call, const json_t *row)
{
	size_t was = call->body.len;

	if (call->count >= call->limit || (call->count > 0 && was > PAGE_BYTES))
		return false;
	if ((call->count > 0 && !buf_append(&call->body, ",", 1)) ||
	    json_dump_callback(row, append, &call->body, DUMP_FLAGS) != 0) {
		call->body.len = was;
		return false;
	}
	call->count++;
	return true;
}

/* Each character stands for one byte, see control_queue.c. */
static bool
add_content(struct call *call, const json_t *data)
{
	struct str s = {json_string_value(data), json_string_length(data)};

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x80 && i + 1 < s.n)
			c = (unsigned char)(c << 6 | (s.p[++i] & 0x3f));
		if (!buf_append(&call->content, &c, 1)) {
			call->is_cut = true;
			return false;
		}
	}
	return true;
}

static bool
take_row(struct call *call, const char *kind, json_t *value)
{
	const json_t *data = json_object_get(value, "data");
	const json_t *envelope = json_object_get(value, "envelope");
	const json_t *note = json_object_get(value, "note");

	if (data != NULL && (call->flags & API_CONTENT))
		return add_content(call, data);
	if (envelope != NULL && (call->flags & API_CONTENT)) {
		json_object_set(call->one, "envelope", (json_t *)envelope);
		return true;
	}
	if (note != NULL && (call->flags & API_CHANGE)) {
		json_array_append(call->notes, (json_t *)note);
		return true;
	}
	if (call->flags & (API_ONE | API_MADE))
		return call->count++ == 0 &&
		       json_object_update(call->one, value) == 0;
	if (call->flags & API_LINES)
		return add_item(call, json_object_get(value, "line"));
	if (strcmp(kind, "event") == 0 &&
	    strcmp(call->command, "events") != 0) {
		json_array_append(call->events, value);
		return true;
	}
	return add_item(call, value);
}

static bool
on_row(void *arg, const char *kind, json_t *value)
{
	bool ok = take_row(arg, kind, value);

	json_decref(value);
	return ok;
}

unsigned
api_code(enum control_fault fault)
{
	switch (fault) {
	case CONTROL_OK:
		return 200;
	case CONTROL_USAGE:
		return 400;
	case CONTROL_ABSENT:
		return 404;
	case CONTROL_LATER:
		return 503;
	case CONTROL_DENIED:
		return 403;
	case CONTROL_FAILED:
		break;
	}
	return 409;
}

/* One of another run is in another order. */
#define RUN_MAX 8 /* letters of boot */

static json_t *
cursor_text(const struct call *call, struct control_cursor at)
{
	char cursor[API_CURSOR_MAX];

	api_cursor_format(call->command, at, cursor);
	if (call->flags & API_OF_RUN)
		return json_sprintf(
		    "%.*s%s", RUN_MAX, api_of(call->x)->boot, cursor);
	return json_string(cursor);
}

/* The rest of an object whose rows are there already. */
static bool
end_list(struct call *call, const struct control_end *end, struct buf *out)
{
	const char *name = call->flags & API_LINES ? "lines" : "items";
	json_t *rest = json_object();
	char *text;
	bool ok;

	if (end->fields != NULL)
		json_object_update(rest, end->fields);
	if (call->flags & API_PAGED)
		json_object_set_new(rest, "next",
		    end->is_cut ? cursor_text(call, end->cursor) : json_null());
	if (json_array_size(call->events) > 0)
		json_object_set(rest, "events", call->events);
	if (end->error != NULL)
		json_object_set_new(rest, "note", control_text(end->error));
	text = json_dumps(rest, DUMP_FLAGS);
	json_decref(rest);
	ok = text != NULL && buf_printf(out, "{\"%s\":[", name) &&
	     buf_append_str(out, buf_str(&call->body)) &&
	     buf_append_str(out, STR("]"));
	if (ok && strcmp(text, "{}") != 0)
		ok = buf_printf(out, ",%s", text + 1);
	else if (ok)
		ok = buf_append_str(out, STR("}"));
	free(text);
	return ok;
}

static void
answer_list(struct call *call, const struct control_end *end)
{
	struct buf out;

	buf_init(&out, BODY_MAX + PAGE_BYTES);
	if (end_list(call, end, &out)) {
		web_answer(call->x, 200, "application/json", &out);
		return;
	}
	buf_clear(&out);
	web_refuse(call->x, 500, "The answer is too large.");
}

static void
answer_content(struct call *call)
{
	json_object_set_new(call->one, "content",
	    control_bytes(buf_str(&call->content), CONTENT_MAX));
	json_object_set_new(call->one, "truncated", json_boolean(call->is_cut));
	api_answer(call->x, 200, json_incref(call->one));
}

static void
answer_change(struct call *call, const struct control_end *end)
{
	json_t *answer = json_object();

	if (end->fields != NULL)
		json_object_update(answer, end->fields);
	if (json_array_size(call->notes) > 0)
		json_object_set(answer, "notes", call->notes);
	api_answer(call->x, 200, answer);
}

static void
on_end(void *arg, const struct control_end *end)
{
	struct call *call = arg;
	unsigned code = end->fault == CONTROL_OK && (call->flags & API_MADE)
			    ? 201
			    : api_code(end->fault);
	/* A search that finds nothing has found nothing. */
	bool is_empty =
	    end->fault == CONTROL_ABSENT && strcmp(call->command, "find") == 0;

	if ((call->flags & API_CONTENT) && (call->is_cut || code == 200))
		answer_content(call);
	else if (code >= 300 && !is_empty)
		web_refuse(call->x, code, "%s", end->error);
	else if (call->flags & (API_ONE | API_MADE))
		api_answer(call->x, code, json_incref(call->one));
	else if (call->flags & API_CHANGE)
		answer_change(call, end);
	else if (call->flags & API_REMOVED)
		web_answer_nothing(call->x);
	else
		answer_list(call, end);
	call->is_over = true;
	if (!call->is_running)
		call_free(call);
}

static const struct control_sink sink = {.row = on_row, .end = on_end};

static void
on_gone(void *arg)
{
	struct call *call = arg;

	control_conn_end(call->c);
	call_free(call);
}

/* False: the request is refused. */
static bool
read_cursor(
    struct web_exchange *x, struct str text, struct control_cursor *cursor)
{
	const struct web_route *route = web_route(x);
	struct str run = {api_of(x)->boot, RUN_MAX};

	if (route->flags & API_OF_RUN) {
		if (text.n > RUN_MAX &&
		    !str_eq(str_sub(text, 0, RUN_MAX), run)) {
			web_refuse(x, 410,
			    "The daemon was restarted since the previous page: "
			    "start again with the first one.");
			return false;
		}
		text = str_sub(text, RUN_MAX, text.n);
	}
	if (api_cursor_parse(route->command, text, cursor))
		return true;
	web_refuse(x, 400, "\"cursor\" must be \"next\" of the previous page.");
	return false;
}

/* Query and body become the request; limit and cursor are the page's. False: it
 * is refused. */
static bool
read_query(struct web_exchange *x, json_t *request, bool is_paged,
    uint64_t *limit, struct control_cursor *cursor)
{
	const struct http_target *t = web_target(x);

	for (size_t i = 0; i < t->parameter_count; i++) {
		const struct http_parameter *p = &t->parameters[i];

		if (is_paged && str_eq(p->name, STR("limit"))) {
			if (str_to_u64(p->value, limit) && *limit >= 1 &&
			    *limit <= API_LIMIT_MAX)
				continue;
			web_refuse(x, 400,
			    "\"limit\" must be a number from 1 to %d.",
			    API_LIMIT_MAX);
			return false;
		}
		if (is_paged && str_eq(p->name, STR("cursor"))) {
			if (read_cursor(x, p->value, cursor))
				continue;
			return false;
		}
		if (!put(x, request, p->name, p->value))
			return false;
	}
	return true;
}

/* False: the request is refused. */
static bool
check_body(struct web_exchange *x)
{
	if (strcmp(web_route(x)->method, "POST") == 0 ||
	    web_request(x)->body.n == 0)
		return true;
	web_refuse(x, 400, "This request takes no body.");
	return false;
}

json_t *
api_request(
    struct web_exchange *x, uint64_t *limit, struct control_cursor *cursor)
{
	const struct web_route *route = web_route(x);
	bool is_paged = (route->flags & API_PAGED) != 0;
	json_t *request;

	*limit = is_paged ? API_LIMIT : UINT64_MAX;
	*cursor = (struct control_cursor){0};
	if (!check_body(x) || (request = api_body(x)) == NULL)
		return NULL;
	/* Only the path says what is done. */
	if (json_object_get(request, "command") != NULL) {
		json_decref(request);
		web_refuse(x, 400, "Unknown member \"command\".");
		return NULL;
	}
	if (!put_path(x, request) ||
	    !read_query(x, request, is_paged, limit, cursor)) {
		json_decref(request);
		return NULL;
	}
	json_object_set_new(request, "command", json_string(route->command));
	return request;
}

static void
run_command(struct web_exchange *x, int64_t now)
{
	const struct web_route *route = web_route(x);
	const struct api *a = api_of(x);
	struct control_asker asker = api_asker(x);
	struct control_cursor cursor;
	uint64_t limit;
	struct call *call;
	json_t *request = api_request(x, &limit, &cursor);

	if (request == NULL)
		return;
	call = xcalloc(1, sizeof(*call));
	call->x = x;
	call->command = route->command;
	call->flags = route->flags;
	call->limit = limit;
	call->one = json_object();
	call->notes = json_array();
	call->events = json_array();
	buf_init(&call->body, BODY_MAX);
	buf_init(&call->content, CONTENT_MAX);
	call->is_running = true;
	call->c = control_ask(
	    a->settings.control, &asker, request, cursor, &sink, call, now);
	call->is_running = false;
	if (call->is_over)
		call_free(call);
	else
		web_wait(x, on_gone, call);
}
