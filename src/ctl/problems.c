/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * problems: a line for each, in the order in which the daemon gives them.
 */
#include "ctl/ctl.h"

#include "base/buf.h"
#include "ctl/text.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 16384

struct line {
	struct buf text;
	const char *before; /* what stands between it and the next part */
};

PRINTF_LIKE(2, 3)
static void
put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	char part[LINE_MAX_BYTES / 2];

	va_start(ap, fmt);
	vsnprintf(part, sizeof(part), fmt, ap);
	va_end(ap);
	/* One that is too long ends here. */
	(void)!buf_printf(&l->text, "%s%s", l->before, part);
	l->before = ", ";
}

/* "waiting" counts recipients, others how often. */
static void
put_count(struct line *l, const json_t *row, bool is_waiting)
{
	char count[TEXT_COUNT_MAX];
	int64_t n = ctl_number(row, "count");

	if (!json_is_integer(json_object_get(row, "count")))
		return;
	if (is_waiting)
		put(l, "%s",
		    text_count(n, "recipient waits", "recipients wait", count));
	else
		put(l, "%s", text_count(n, "time", "times", count));
}

static void
put_age(struct line *l, const json_t *row, const char *name, const char *before,
    const char *after, int64_t wall)
{
	char age[TEXT_AGE_MAX];

	if (json_is_string(json_object_get(row, name)))
		put(l, "%s%s%s", before,
		    text_age(ctl_text(row, name), wall, age), after);
}

static void
on_problem(void *arg, const char *kind, const json_t *row)
{
	struct line l = {.before = ""};
	int64_t wall = clock_wall_ms();
	const char *what = ctl_text(row, "kind"), *who = ctl_text(row, "who");
	bool is_waiting = strcmp(what, "frozen") == 0 ||
			  strcmp(what, "held") == 0 ||
			  strcmp(what, "deferred") == 0;
	char *text;

	(void)kind;
	buf_init(&l.text, LINE_MAX_BYTES);
	put(&l, "%-8s  %s", what, who);
	l.before = *who != '\0' ? ": " : "";
	put_age(&l, row, "since", "since ", "", wall);
	put_count(&l, row, is_waiting);
	put_age(&l, row, "oldest", "oldest ", "", wall);
	put_age(&l, row, "last", "last ", " ago", wall);
	put_age(&l, row, "next", "next in ", "", wall);
	if (ctl_flag(row, "never_accepted"))
		put(&l, "nothing accepted");
	if (*ctl_text(row, "reason") != '\0') {
		l.before = strcmp(l.before, ", ") == 0 ? ": " : l.before;
		put(&l, "%s", ctl_text(row, "reason"));
	}
	l.before = " -> ";
	put(&l, "%s", ctl_text(row, "help"));
	text = text_safe(buf_str(&l.text), 0);
	printf("%s\n", text);
	free(text);
	buf_clear(&l.text);
	++*(size_t *)arg;
}

enum ctl_status
ctl_problems(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "problems"), *done = NULL;
	char age[TEXT_AGE_MAX];
	enum ctl_status status;
	size_t rows = 0;

	if (ctl->count > 0)
		json_object_set_new(request, "max", json_integer(ctl->count));
	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	status = ctl_ask(ctl, request, on_problem, &rows, &done);
	if (status == CTL_OK) {
		text_age(ctl_text(done, "since"), clock_wall_ms(), age);
		if (rows == 0)
			printf("no problems in the last %s\n", age);
		else
			printf("refusals and failures: last %s\n", age);
	}
	if (ctl_flag(done, "more"))
		ctl_error("some lists were cut, raise -n");
	json_decref(done);
	return status;
}
