/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The API in OpenAPI 3.1, made from the table of routes and the table of
 * commands, so that it says what is.
 */
#include "config.h"

#include "control/api.h"

#include "control/request.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *
right_name(unsigned right)
{
	return right == WEB_ANYBODY      ? "none"
	       : right == WEB_LOGIN      ? "login"
	       : right == WEB_METRICS    ? "metrics"
	       : right == CONTROL_READ   ? "view"
	       : right == CONTROL_CHANGE ? "operate"
					 : "admin";
}

static json_t *
schema_of(const struct control_argument *a)
{
	switch (a->kind) {
	case CONTROL_KIND_FLAG:
		return json_pack("{s:s}", "type", "boolean");
	case CONTROL_KIND_NUMBER:
		return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
	case CONTROL_KIND_LIST:
		return json_pack("{s:s, s:{s:s}}", "type", "array", "items",
		    "type", "string");
	case CONTROL_KIND_ROWS:
		return json_pack("{s:s, s:{s:s, s:{s:s}}}", "type", "array",
		    "items", "type", "array", "items", "type", "string");
	case CONTROL_KIND_TEXT:
		break;
	}
	return json_pack("{s:s}", "type", "string");
}

/* ---- parameters ---- */

static void
add_parameter(json_t *list, const char *name, const char *in, bool required,
    const char *doc, json_t *schema)
{
	json_t *p = json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in,
	    "required", (int)required, "schema", schema);

	if (doc != NULL)
		json_object_set_new(p, "description", json_string(doc));
	/* "ids=a,b" */
	if (strcmp(json_string_value(json_object_get(schema, "type")),
		"array") == 0)
		json_object_set_new(p, "explode", json_false());
	json_array_append_new(list, p);
}

/* The argument's bit for "{id}" is that of ids. */
static unsigned
add_path(json_t *list, const char *path)
{
	unsigned bits = 0;

	for (const char *p = path; (p = strchr(p, '{')) != NULL; p++) {
		struct str name = {p + 1, strcspn(p + 1, "}")};
		const struct control_argument *a;
		char text[64];

		(void)str_copy(name, text, sizeof(text));
		if (str_eq(name, STR("id")))
			name = STR("ids");
		a = control_argument_find(name);
		add_parameter(list, text, "path", true,
		    a != NULL ? a->doc : NULL,
		    json_pack("{s:s}", "type", "string"));
		bits |= a != NULL ? a->bit : 0;
	}
	return bits;
}

static void
add_query(json_t *list, const struct web_route *r,
    const struct control_command *c, unsigned in_path)
{
	const struct control_argument *a;

	for (size_t i = 0; (a = control_argument(i)) != NULL; i++) {
		if (c->takes & a->bit & ~in_path)
			add_parameter(list, a->name, "query",
			    (c->needs & a->bit) != 0, a->doc, schema_of(a));
	}
	if ((r->flags & API_PAGED) == 0)
		return;
	add_parameter(list, "limit", "query", false,
	    "Maximum number of rows per page; a page may have fewer.",
	    json_pack("{s:s, s:i, s:i, s:i}", "type", "integer", "minimum", 1,
		"maximum", API_LIMIT_MAX, "default", API_LIMIT));
	add_parameter(list, "cursor", "query", false,
	    "\"next\" of the previous page.",
	    json_pack("{s:s}", "type", "string"));
}

static json_t *
body_of(const struct control_command *c, unsigned in_path)
{
	json_t *properties = json_object(), *required = json_array(), *schema;
	const struct control_argument *a;
	size_t count;

	for (size_t i = 0; (a = control_argument(i)) != NULL; i++) {
		json_t *property;

		if ((c->takes & a->bit & ~in_path) == 0)
			continue;
		property = schema_of(a);
		json_object_set_new(
		    property, "description", json_string(a->doc));
		json_object_set_new(properties, a->name, property);
		if (c->needs & a->bit)
			json_array_append_new(required, json_string(a->name));
	}
	count = json_array_size(required);
	schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties",
	    properties, "additionalProperties", 0);
	if (count > 0)
		json_object_set(schema, "required", required);
	json_decref(required);
	return json_pack("{s:b, s:{s:{s:o}}}", "required", count > 0, "content",
	    "application/json", "schema", schema);
}

/* ---- answers ---- */

static json_t *
list_schema(const struct web_route *r)
{
	const char *name = r->flags & API_LINES ? "lines" : "items";
	json_t *schema = json_pack("{s:s, s:{s:{s:s, s:{s:s}}}, s:[s]}", "type",
	    "object", "properties", name, "type", "array", "items", "type",
	    r->flags & API_LINES ? "string" : "object", "required", name);

	if (r->flags & API_PAGED)
		json_object_set_new(json_object_get(schema, "properties"),
		    "next", json_pack("{s:[s, s]}", "type", "string", "null"));
	return schema;
}

static json_t *
answer_of(const struct web_route *r)
{
	const char *type = "application/json";
	json_t *schema = json_pack("{s:s}", "type", "object");

	if (r->flags & API_REMOVED || strcmp(r->method, "DELETE") == 0) {
		json_decref(schema);
		return json_pack("{s:s}", "description", "Done.");
	}
	if (r->flags & (API_LIST | API_PAGED | API_LINES)) {
		json_decref(schema);
		schema = list_schema(r);
	}
	if (strstr(r->path, "/stream") != NULL ||
	    strcmp(r->path, "/metrics") == 0) {
		json_object_set_new(schema, "type", json_string("string"));
		type = r->path[1] == 'm' ? "text/plain" : "text/event-stream";
	}
	return json_pack("{s:s, s:{s:{s:o}}}", "description", "The answer.",
	    "content", type, "schema", schema);
}

static json_t *
problem(const char *text)
{
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", text,
	    "content", "application/problem+json", "schema", "$ref",
	    "#/components/schemas/problem");
}

static json_t *
answers_of(const struct web_route *r)
{
	const char *code = r->flags & API_MADE ? "201" : "200";
	json_t *answers;

	if (r->flags & API_REMOVED || strcmp(r->method, "DELETE") == 0)
		code = "204";
	answers = json_pack("{s:o, s:o}", code, answer_of(r), "400",
	    problem("Invalid request."));
	if (r->right != WEB_ANYBODY)
		json_object_set_new(answers, "401", problem("Not logged in."));
	if (r->right != WEB_ANYBODY && r->right != WEB_LOGIN)
		json_object_set_new(
		    answers, "403", problem("Insufficient right."));
	json_object_set_new(answers, "default", problem("The command failed."));
	return answers;
}

/* ---- all of it ---- */

/* "getSendersSender" */
static void
name_operation(const struct web_route *r, char *out, size_t cap)
{
	size_t n = 0;
	bool up = true;

	for (const char *m = r->method; *m != '\0' && n + 1 < cap; m++)
		out[n++] = (char)tolower((unsigned char)*m);
	for (const char *p = r->path; *p != '\0' && n + 1 < cap; p++) {
		if (!isalnum((unsigned char)*p)) {
			up = true;
			continue;
		}
		out[n++] = (char)(up ? toupper((unsigned char)*p) : *p);
		up = false;
	}
	out[n] = '\0';
}

static json_t *
operation(const struct api *a, const struct web_route *r)
{
	const struct control_command *c =
	    r->command == NULL
		? NULL
		: control_command_find(
		      a->settings.control->server.grammar, r->command);
	json_t *parameters = json_array(), *op;
	unsigned in_path = add_path(parameters, r->path);
	bool is_read = strcmp(r->method, "GET") == 0;
	char id[128];

	name_operation(r, id, sizeof(id));
	op = json_pack("{s:s, s:s, s:s, s:o, s:o}", "operationId", id,
	    "description", r->doc, "x-weir-right", right_name(r->right),
	    "parameters", parameters, "responses", answers_of(r));
	if (c != NULL)
		json_object_set_new(op, "x-weir-command", json_string(c->name));
	if (r->run == api_get_stream)
		add_parameter(parameters, API_STREAM_TYPES, "query", false,
		    "Only events of these types.",
		    json_pack("{s:s, s:{s:s}}", "type", "array", "items",
			"type", "string"));
	if (c != NULL && is_read)
		add_query(parameters, r, c, in_path);
	else if (c != NULL && strcmp(r->method, "POST") == 0)
		json_object_set_new(op, "requestBody", body_of(c, in_path));
	else if (r->flags & API_BODY)
		json_object_set_new(op, "requestBody",
		    json_pack("{s:b, s:{s:{s:{s:s}}}}", "required", 1,
			"content", "application/json", "schema", "type",
			"object"));
	if (r->right == WEB_ANYBODY)
		json_object_set_new(op, "security", json_array());
	return op;
}

static json_t *
paths_of(const struct api *a)
{
	json_t *paths = json_object();

	for (const struct web_route *r = a->routes; r->path != NULL; r++) {
		json_t *item = json_object_get(paths, r->path);
		char method[16];
		size_t n =
		    str_copy(str_from(r->method), method, sizeof(method));

		for (size_t i = 0; i < n; i++)
			method[i] = (char)tolower((unsigned char)method[i]);
		if (item == NULL) {
			item = json_object();
			json_object_set_new(paths, r->path, item);
		}
		json_object_set_new(item, method, operation(a, r));
	}
	return paths;
}

static json_t *
describe(const struct api *a)
{
	json_t *schemes =
	    json_pack("{s:{s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}",
		"token", "type", "http", "scheme", "bearer", "basic", "type",
		"http", "scheme", "basic", "description",
		"The password is a token; the user name is ignored.", "session",
		"type", "apiKey", "in", "cookie", "name", API_SESSION);
	json_t *schema = json_pack(
	    "{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object",
	    "properties", "type", "type", "string", "title", "type", "string",
	    "status", "type", "integer", "detail", "type", "string");

	return json_pack(
	    "{s:s, s:{s:s, s:s, s:s}, s:[{s:[]}, {s:[]}, {s:[]}], s:o, "
	    "s:{s:o, s:{s:o}}}",
	    "openapi", "3.1.0", "info", "title", a->settings.daemon, "version",
	    a->settings.version, "description",
	    "The commands of weirctl, with the same names and rights. Times "
	    "are RFC 3339 in UTC; members ending in _s are in seconds.",
	    "security", "token", "basic", "session", "paths", paths_of(a),
	    "components", "securitySchemes", schemes, "schemas", "problem",
	    schema);
}

void
api_get_description(struct web_exchange *x, int64_t now)
{
	(void)now;
	api_answer(x, 200, describe(api_of(x)));
}
