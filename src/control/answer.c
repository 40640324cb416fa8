/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of the control socket: rows, the last line, and the log of changes.
 * Room for the last line is kept back, so that an answer always ends.
 */
#include "config.h"

#include "control/control.h"

#include "base/mailbox.h"
#include "base/units.h"
#include "control/site.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DUMP_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER)
#define TEXT_MAX (64u << 10)

static int
append(const char *p, size_t n, void *out)
{
	return buf_append(out, p, n) ? 0 : -1;
}

/* The line, or nothing of it. */
static bool
write_line(struct control_conn *c, json_t *root, size_t limit)
{
	size_t was = c->out.len;
	bool ok;

	if (root == NULL)
		panic("control: a row could not be made");
	ok = json_dump_callback(root, append, &c->out, DUMP_FLAGS) == 0 &&
	     buf_append(&c->out, "\n", 1) && c->out.len <= limit;
	if (!ok)
		c->out.len = was;
	json_decref(root);
	if (!c->is_ended)
		loop_timer_set(&c->tick, loop_now(c->control->server.loop));
	return ok;
}

bool
control_send(struct control_conn *c, const char *kind, json_t *value)
{
	size_t limit = c->is_following ? CONTROL_FOLLOW_MAX : CONTROL_OUT_MAX;

	if (c->round != NULL && !control_round_row(c, kind, value)) {
		c->rows++;
		return true;
	}
	if (c->sink != NULL) {
		bool has_room = c->sink->row(c->sink_arg, kind, value);

		c->rows += has_room;
		c->is_full = !has_room && c->rows > 0;
		return has_room;
	}
	if (!write_line(c, json_pack("{s:o}", kind, value), limit))
		return false;
	c->rows++;
	return true;
}

bool
control_send_only(struct control_conn *c, json_t *row)
{
	if (control_send(c, "row", row))
		return true;
	control_fail(c, CONTROL_FAILED, "the answer is too large");
	return false;
}

bool
control_is_behind(const struct control_conn *c)
{
	return c->sink != NULL ? c->is_full : c->out.len > 0;
}

bool
control_sees(const struct control_conn *c, const char *sender)
{
	return c->domain == NULL ||
	       mailbox_is_in(str_from(sender), str_from(c->domain));
}

static void
finish(struct control_conn *c, json_t *last, const struct control_end *end)
{
	if (c->sink != NULL) {
		if (!c->is_ended)
			c->sink->end(c->sink_arg, end);
		json_decref(last);
		control_conn_end(c);
	} else if (!write_line(c, last, c->out.max)) {
		control_conn_end(c);
	}
	c->on_step = NULL;
	c->rows = 0;
	json_decref(c->kept);
	c->kept = NULL;
	json_decref(c->found);
	c->found = NULL;
	control_request_clear(&c->request);
}

void
control_done(struct control_conn *c, json_t *fields)
{
	json_t *last;

	if (c->round != NULL) {
		control_round_part(c,
		    &(struct control_end){.fields = fields, .found = c->found});
		json_decref(fields);
		return;
	}
	last = json_pack("{s:b}", "done", 1);
	if (fields != NULL)
		json_object_update(last, fields);
	finish(c, last,
	    &(struct control_end){.fields = fields, .found = c->found});
	json_decref(fields);
}

void
control_fail(
    struct control_conn *c, enum control_fault fault, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->round != NULL) {
		control_round_part(
		    c, &(struct control_end){
			   .fault = fault, .error = text, .found = c->found});
		return;
	}
	/* weirctl knows two kinds of failure. */
	finish(c,
	    json_pack("{s:o,s:i}", "error", control_text(text), "status",
		fault == CONTROL_USAGE ? CONTROL_USAGE : CONTROL_FAILED),
	    &(struct control_end){
		.fault = fault, .error = text, .found = c->found});
}

/* The sink has what it wanted. */
void
control_conn_cut(struct control_conn *c)
{
	finish(c, NULL,
	    &(struct control_end){
		.is_cut = true, .cursor = control_round_cursor(c)});
}

void
control_wait(struct control_conn *c)
{
	c->is_waiting = true;
}

bool
control_resume(struct control_conn *c)
{
	struct loop *loop = c->control->server.loop;

	c->is_waiting = false;
	if (c->is_ended) {
		loop_task_set(&c->control->reap);
		return false;
	}
	if (c->sink == NULL)
		loop_timer_set(&c->idle, loop_now(loop) + CONTROL_IDLE_MS);
	loop_timer_set(&c->tick, loop_now(loop));
	return true;
}

void
control_log_change(struct control_conn *c, uint64_t count)
{
	const struct control_request *r = &c->request;
	const char *on = r->all ? "all" : r->id_count > 0 ? "ids" : "-";

	log_write(c->control->server.log, LOG_EV_CONTROL_CHANGE, KV(by, c->who),
	    KV(command, r->command->name),
	    KV(target, r->sender != NULL ? r->sender : on), KV(count, count));
}

void
control_audit_change(
    struct control_conn *c, const char *target, const char *detail)
{
	const struct control_server *server = &c->control->server;

	log_write(server->log, LOG_EV_CONTROL_CHANGE, KV(by, c->who),
	    KV(command, c->request.command->name), KV(target, target));
	if (server->audit != NULL)
		server->audit(c->control->parts, c->who,
		    c->request.command->name, target, detail);
}

json_t *
control_bytes(struct str s, size_t max)
{
	struct buf out;
	json_t *text;
	bool ok = true;

	buf_init(&out, max + 4);
	while (ok && s.n > 0 && out.len < max) {
		uint32_t code;
		size_t n = str_utf8(s, &code);

		ok = n > 0 ? buf_append(&out, s.p, n)
			   : buf_append_str(&out, STR("\xef\xbf\xbd"));
		s = str_sub(s, n > 0 ? n : 1, s.n);
	}
	text = json_stringn(out.len > 0 ? buf_str(&out).p : "", out.len);
	buf_clear(&out);
	return text;
}

json_t *
control_text(const char *s)
{
	struct str text = str_from(s);
	json_t *value = NULL;

	if (s == NULL)
		return json_null();
	if (text.n <= TEXT_MAX)
		value = json_stringn(text.p, text.n);
	return value != NULL ? value : control_bytes(text, TEXT_MAX);
}

json_t *
control_time(int64_t wall_ms)
{
	char text[UNITS_TEXT_MAX];

	if (wall_ms <= 0 || wall_ms == INT64_MAX)
		return json_null();
	return json_string(units_format_time(wall_ms, text));
}

void
control_send_lines(struct control_conn *c, char *text)
{
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (rest == NULL && *line == '\0')
			break;
		if (!control_send_only(
			c, json_pack("{s:o}", "line", control_text(line))))
			return;
	}
	control_done(c, NULL);
}
