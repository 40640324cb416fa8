/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * learn: reads lines of sender, recipient and the time of the last mail, as
 * weir-replay learn writes them, and hands them to the daemon, some hundred at
 * a time. Lines that are wrong are told with file and number, the others are
 * learnt; after twenty wrong ones it ends. What was learnt by then stays, and
 * learning a file twice is harmless.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 2048
#define SKIP_MAX_BYTES (1u << 20)
#define ROWS_MAX 500
#define REQUEST_BYTES (128u << 10) /* the daemon takes twice as much */
#define WRONG_MAX 20
#define PAUSE_MS 200
#define PAUSES_MAX 150 /* without a row taken */

struct learning {
	struct ctl *ctl;
	FILE *in;
	const char *name;
	uint64_t line;
	uint64_t lines, learnt, too_old; /* lines: with something in them */
	unsigned wrong;
	json_t *rows; /* not sent yet */
	uint64_t at[ROWS_MAX];
	size_t n, bytes;
	enum ctl_status status;
};

static void
print_wrong(struct learning *l, uint64_t line, const char *why)
{
	l->wrong++;
	ctl_error("%s:%" PRIu64 ": %s", l->name, line, why);
}

/* ---- to the daemon ---- */

/* The first `taken` are done with. */
static void
drop_rows(struct learning *l, size_t taken)
{
	for (size_t i = 0; i < taken; i++)
		json_array_remove(l->rows, 0);
	l->n -= taken;
	memmove(l->at, l->at + taken, l->n * sizeof(*l->at));
	if (l->n == 0)
		l->bytes = 0;
}

static size_t
take_answer(struct learning *l, const json_t *done)
{
	size_t taken = (size_t)ctl_number(done, "taken"), i;
	const json_t *bad;

	if (taken > l->n)
		taken = l->n;
	l->learnt += (uint64_t)ctl_number(done, "learnt");
	l->too_old += (uint64_t)ctl_number(done, "too_old");
	json_array_foreach(json_object_get(done, "bad"), i, bad)
	{
		size_t row = (size_t)ctl_number(bad, "row");

		if (row < l->n && l->wrong < WRONG_MAX)
			print_wrong(l, l->at[row], ctl_text(bad, "why"));
	}
	drop_rows(l, taken);
	return taken;
}

/* False: it ends here. */
static bool
send_rows(struct learning *l)
{
	unsigned pauses = 0;

	while (l->n > 0 && l->wrong < WRONG_MAX) {
		json_t *request = ctl_request(l->ctl, "learn"), *done = NULL;
		size_t taken;

		json_object_set(request, "rows", l->rows);
		l->status = ctl_ask(l->ctl, request, NULL, NULL, &done);
		if (l->status != CTL_OK)
			return false;
		taken = take_answer(l, done);
		json_decref(done);
		if (taken > 0) {
			pauses = 0;
		} else if (++pauses > PAUSES_MAX) {
			ctl_error("acquaintances_memory is full; raise it and "
				  "learn the file again");
			l->status = CTL_FAILED;
			return false;
		}
		if (l->n > 0 && l->wrong < WRONG_MAX) {
			struct timespec t = {0, PAUSE_MS * 1000000L};

			nanosleep(&t, NULL);
		}
	}
	return l->wrong < WRONG_MAX;
}

/* ---- lines ---- */

static bool
take_line(struct learning *l, struct str text)
{
	struct str words[3] = {{0}}, word;
	size_t n = 0;

	if (text.n > 0 && text.p[text.n - 1] == '\r')
		text.n--;
	text = str_trim(text);
	if (text.n == 0 || text.p[0] == '#')
		return true;
	l->lines++;
	if (!str_is_shown(text)) {
		print_wrong(l, l->line,
		    "not a line of UTF-8 text without control characters");
		return true;
	}
	while (text.n > 0) {
		word = str_cut(&text, ' ');
		text = str_trim(text);
		if (n < ARRAY_LEN(words))
			words[n] = word;
		n++;
	}
	if (n != ARRAY_LEN(words)) {
		print_wrong(l, l->line,
		    "expected a sender, a recipient and the time of the last "
		    "mail, separated by blanks");
		return true;
	}
	json_array_append_new(
	    l->rows, json_pack("[s%, s%, s%]", words[0].p, words[0].n,
			 words[1].p, words[1].n, words[2].p, words[2].n));
	l->at[l->n++] = l->line;
	l->bytes += words[0].n + words[1].n + words[2].n;
	return (l->n < ROWS_MAX && l->bytes < REQUEST_BYTES) || send_rows(l);
}

/* False: the end. What is too long is left out, and n is its length. */
static bool
next_line(FILE *in, char text[LINE_MAX_BYTES], size_t *n)
{
	int c;

	*n = 0;
	while ((c = getc(in)) != EOF && c != '\n' && *n < SKIP_MAX_BYTES) {
		if (*n < LINE_MAX_BYTES)
			text[*n] = c == '\t' ? ' ' : (char)c;
		++*n;
	}
	return c != EOF || *n > 0;
}

static bool
read_lines(struct learning *l)
{
	char text[LINE_MAX_BYTES];
	size_t n;

	while (l->wrong < WRONG_MAX && next_line(l->in, text, &n)) {
		l->line++;
		if (n > LINE_MAX_BYTES)
			print_wrong(l, l->line, "the line is too long");
		else if (!take_line(l, (struct str){text, n}))
			return false;
	}
	if (ferror(l->in)) {
		ctl_error("%s: %s", l->name, strerror(errno));
		l->status = CTL_FAILED;
		return false;
	}
	return send_rows(l);
}

enum ctl_status
ctl_learn(struct ctl *ctl)
{
	bool is_stdin = strcmp(ctl->words[0], "-") == 0;
	struct learning l = {
	    .ctl = ctl,
	    .in = is_stdin ? stdin : fopen(ctl->words[0], "re"),
	    .name = is_stdin ? "standard input" : ctl->words[0],
	    .status = CTL_OK,
	};

	if (l.in == NULL) {
		ctl_error("%s: %s", l.name, strerror(errno));
		return CTL_FAILED;
	}
	l.rows = json_array();
	(void)read_lines(&l);
	json_decref(l.rows);
	if (!is_stdin)
		fclose(l.in);
	if (l.wrong >= WRONG_MAX)
		ctl_error("%s: %u malformed lines; the rest, from line %" PRIu64
			  " on, was ignored",
		    l.name, l.wrong, l.line + 1);
	if (l.status != CTL_NO_DAEMON && l.status != CTL_USAGE) {
		if (l.ctl->json)
			printf("{\"lines\": %" PRIu64 ", \"learnt\": %" PRIu64
			       ", \"too_old\": %" PRIu64 ", \"wrong\": %u}\n",
			    l.lines, l.learnt, l.too_old, l.wrong);
		else
			printf("learnt %" PRIu64 " of %" PRIu64
			       " lines; %" PRIu64
			       " are older than familiar_for, %u wrong\n",
			    l.learnt, l.lines, l.too_old, l.wrong);
	}
	return l.status == CTL_OK && l.wrong > 0 ? CTL_FAILED : l.status;
}
