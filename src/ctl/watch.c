/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events and top: what goes on. top draws over itself on a terminal, and leaves
 * it as it was; elsewhere it prints one picture after another.
 */
#include "config.h"

#include "ctl/look.h"
#include "ctl/text.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define TOP_MS 2000
#define TOP_ROWS 1000 /* kept, to sort them */
#define DEFAULT_LINES 24
#define TOP_LINES 6 /* beside the senders */

/* ---- events ---- */

void
ctl_print_event(const json_t *e)
{
	int64_t count = ctl_number(e, "count");
	char *times = count > 1 ? xasprintf(" (\xc3\x97%lld since %s)",
				      (long long)count, ctl_text(e, "first"))
				: xstrdup("");
	char *line = xasprintf("%s %-8s %s%s%s%s%s%s", ctl_text(e, "at"),
	    ctl_text(e, "type"), ctl_text(e, "sender"),
	    *ctl_text(e, "id") ? " " : "", ctl_text(e, "id"), times,
	    *ctl_text(e, "detail") ? " " : "", ctl_text(e, "detail"));
	char *text = text_safe(str_from(line), text_columns());

	printf("%s\n", text);
	free(text);
	free(line);
	free(times);
}

static void
on_event(void *arg, const char *kind, const json_t *e)
{
	const struct ctl *ctl = arg;

	(void)kind;
	if (ctl->json) {
		json_dumpf(e, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		printf("\n");
	} else {
		ctl_print_event(e);
	}
	if (ctl->given & CTL_FOLLOW)
		fflush(stdout);
}

enum ctl_status
ctl_events(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "events");

	if (ctl->count > 0)
		json_object_set_new(request, "max", json_integer(ctl->count));
	return ctl_ask(ctl, request, on_event, ctl, NULL);
}

/* ---- trace ---- */

/* Who says it to whom. */
static const char *
arrow(const char *part)
{
	static const struct {
		const char *part, *arrow;
	} arrows[] = {{"client", "client > weir"}, {"reply", "client < weir"},
	    {"command", "weir > next hop"}, {"hop", "weir < next hop"}};

	for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
		if (strcmp(part, arrows[i].part) == 0)
			return arrows[i].arrow;
	}
	return part;
}

static void
on_trace(void *arg, const char *kind, const json_t *row)
{
	const struct ctl *ctl = arg;
	char *line, *text;

	(void)kind;
	if (ctl->json) {
		json_dumpf(row, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		printf("\n");
		fflush(stdout);
		return;
	}
	line = xasprintf("%s %s%s%s %-15s %s", ctl_text(row, "at"),
	    ctl_text(row, "client"), *ctl_text(row, "id") ? " " : "",
	    ctl_text(row, "id"), arrow(ctl_text(row, "part")),
	    ctl_text(row, "text"));
	text = text_safe(str_from(line), text_columns());
	printf("%s\n", text);
	fflush(stdout);
	free(text);
	free(line);
}

enum ctl_status
ctl_trace(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "trace");

	json_object_set_new(request, "term", json_string(ctl->words[0]));
	return ctl_ask(ctl, request, on_trace, ctl, NULL);
}

/* ---- top ---- */

struct top {
	bool is_tty;
	bool has_keys; /* standard input is a terminal too */
	struct termios was;
	json_t *status;
	json_t *senders; /* array */
};

static void
on_top_status(void *arg, const char *kind, const json_t *row)
{
	struct top *top = arg;

	(void)kind;
	json_decref(top->status);
	top->status = json_deep_copy(row);
}

static void
on_top_sender(void *arg, const char *kind, const json_t *row)
{
	struct top *top = arg;

	(void)kind;
	if (json_array_size(top->senders) < TOP_ROWS)
		json_array_append(top->senders, (json_t *)row);
}

static enum ctl_status
top_ask(struct top *top, struct ctl *ctl)
{
	json_t *request =
	    json_pack("{s:s,s:b}", "command", "senders", "busy", 1);
	enum ctl_status status =
	    ctl_ask(ctl, ctl_request(ctl, "status"), on_top_status, top, NULL);

	json_array_clear(top->senders);
	if (status != CTL_OK) {
		json_decref(request);
		return status;
	}
	return ctl_ask(ctl, request, on_top_sender, top, NULL);
}

static int
compare_senders(const void *a, const void *b)
{
	const json_t *x = *(const json_t *const *)a;
	const json_t *y = *(const json_t *const *)b;
	int64_t qx = ctl_number(x, "queue_length");
	int64_t qy = ctl_number(y, "queue_length");

	if (ctl_flag(x, "frozen") != ctl_flag(y, "frozen"))
		return ctl_flag(x, "frozen") ? -1 : 1;
	if (qx != qy)
		return qx > qy ? -1 : 1;
	return strcmp(ctl_text(x, "sender"), ctl_text(y, "sender"));
}

static size_t
screen_lines(const struct top *top)
{
	struct winsize size;

	if (!top->is_tty)
		return TOP_ROWS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
	    size.ws_row <= TOP_LINES)
		return DEFAULT_LINES - TOP_LINES;
	return size.ws_row - TOP_LINES;
}

static void
print_senders(struct top *top)
{
	size_t n = json_array_size(top->senders), lines = screen_lines(top);
	const json_t **rows = xcalloc(n + 1, sizeof(*rows));
	int64_t wall = clock_wall_ms();
	struct table t;

	for (size_t i = 0; i < n; i++)
		rows[i] = json_array_get(top->senders, i);
	qsort(rows, n, sizeof(*rows), compare_senders);
	look_senders_init(&t);
	for (size_t i = 0; i < n && i < lines; i++)
		look_add_sender(&t, rows[i], wall);
	table_finish(&t, "nothing waiting, nothing frozen");
	free(rows);
}

static void
top_print(struct top *top, const struct ctl *ctl)
{
	if (ctl->json) {
		json_t *both = json_pack("{s:O,s:O}", "status", top->status,
		    "senders", top->senders);

		json_dumpf(both, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		json_decref(both);
		printf("\n");
	} else {
		if (top->is_tty)
			printf("\033[H\033[J");
		look_print_summary(top->status);
		printf("\n");
		print_senders(top);
		if (top->has_keys)
			printf("\nq: quit");
		else if (!top->is_tty)
			printf("\n");
	}
	fflush(stdout);
}

/* Without echo and without waiting for a line; Ctrl-C is read as a key, so that
 * the terminal is always put back. */
static void
top_open(struct top *top)
{
	struct termios raw;

	top->is_tty = isatty(STDOUT_FILENO) == 1;
	if (!top->is_tty || tcgetattr(STDIN_FILENO, &top->was) != 0)
		return;
	raw = top->was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	top->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	printf("\033[?1049h\033[?25l");
}

static void
top_close(struct top *top)
{
	if (top->has_keys) {
		printf("\033[?25h\033[?1049l");
		fflush(stdout);
		tcsetattr(STDIN_FILENO, TCSANOW, &top->was);
	}
	json_decref(top->status);
	json_decref(top->senders);
}

/* False: leave. */
static bool
top_wait(const struct top *top)
{
	int64_t until = clock_mono_ms() + TOP_MS, left;
	struct pollfd key = {
	    .fd = top->has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	char c;

	while ((left = until - clock_mono_ms()) > 0) {
		if (poll(&key, 1, (int)left) < 0 && errno != EINTR)
			return false;
		if (key.revents == 0)
			continue;
		if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q' ||
		    c == 3)
			return false;
	}
	return true;
}

enum ctl_status
ctl_top(struct ctl *ctl)
{
	struct top top = {.senders = json_array()};
	enum ctl_status status;
	uint32_t drawn = 0;

	/* The first look tells problems on the plain terminal. */
	status = top_ask(&top, ctl);
	if (status == CTL_OK && !ctl->json)
		top_open(&top);
	while (status == CTL_OK) {
		if (top.status == NULL) {
			status = CTL_NO_DAEMON;
			break;
		}
		top_print(&top, ctl);
		if ((ctl->count > 0 && ++drawn >= ctl->count) ||
		    !top_wait(&top))
			break;
		status = top_ask(&top, ctl);
	}
	top_close(&top);
	/* What was said of it went with the screen. */
	if (status != CTL_OK && top.has_keys)
		ctl_error("the daemon no longer answers");
	return status;
}
