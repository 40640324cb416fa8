/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * queue and cat: held mail. Its text comes from strangers: on a terminal it is
 * made harmless, into a file or a pipe it goes as it is.
 */
#include "ctl/ctl.h"

#include "base/header.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "os/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct table_column queue_columns[] = {
    {.title = "ID", .keep = true, .whole = true},
    {.title = "AGE", .right = true, .keep = true},
    {.title = "SIZE", .right = true, .keep = true},
    {.title = "SENDER"},
    {.title = "STATE", .keep = true},
    {.title = "RECIPIENTS"},
    {.title = "SUBJECT"},
    {.title = "RELAY", .optional = true},
};

/* "held", or "mixed" where recipients differ. */
static const char *
state_of(const json_t *recipients)
{
	const char *state = NULL;
	size_t i;
	json_t *r;

	json_array_foreach(recipients, i, r)
	{
		const char *s = ctl_text(r, "state");

		if (state != NULL && strcmp(state, s) != 0)
			return "mixed";
		state = s;
	}
	return state != NULL ? state : "-";
}

static void
on_message(void *arg, const char *kind, const json_t *row)
{
	const json_t *recipients = json_object_get(row, "recipients");
	size_t n = json_array_size(recipients);
	char age[TEXT_AGE_MAX], size[TEXT_AGE_MAX];
	char *to = xasprintf(n > 1 ? "%s +%zu" : "%s",
	    ctl_text(json_array_get(recipients, 0), "address"), n - 1);
	char *subject = header_decode(str_from(ctl_text(row, "subject")));
	const char *cells[] = {ctl_text(row, "id"), age, size,
	    ctl_text(row, "sender"), state_of(recipients), to, subject,
	    ctl_text(row, "relay")};

	(void)kind;
	text_age(ctl_text(row, "queued_at"), clock_wall_ms(), age);
	text_size(ctl_number(row, "size"), size);
	table_add(arg, cells);
	free(to);
	free(subject);
}

enum ctl_status
ctl_queue(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "queue");
	enum ctl_status status;
	struct table t;

	if (ctl->word_count > 0)
		json_object_set_new(
		    request, "sender", json_string(ctl->words[0]));
	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	table_init(&t, queue_columns, ARRAY_LEN(queue_columns), text_columns());
	status = ctl_ask(ctl, request, on_message, &t, NULL);
	table_finish(&t, status == CTL_OK ? "no mail is held" : NULL);
	return status;
}

/* ---- find ---- */

#define FIND_SHOWN 50 /* recipients of a message; JSON has all */

/* Made harmless; takes line. */
static void
print_line(char *line)
{
	char *text = text_safe(str_from(line), 0);

	printf("%s\n", text);
	free(text);
	free(line);
}

static void
print_found(const json_t *row)
{
	const json_t *recipients = json_object_get(row, "recipients"), *r;
	char *subject = header_decode(str_from(ctl_text(row, "subject")));
	const char *client = ctl_text(row, "client");
	char age[TEXT_AGE_MAX];
	size_t i, n = json_array_size(recipients);
	const char *id;
	const char *mta;

	text_age(ctl_text(row, "queued_at"), clock_wall_ms(), age);
	print_line(xasprintf("%s  %s old, from <%s>, sender %s%s%s: %s",
	    ctl_text(row, "id"), age, ctl_text(row, "from"),
	    ctl_text(row, "sender"), *client != '\0' ? ", client " : "", client,
	    *subject != '\0' ? subject : "(no subject)"));
	free(subject);
	id = ctl_text(row, "message_id");
	mta = ctl_text(row, "mta_id");
	if (*id != '\0')
		print_line(xasprintf("  Message-ID <%s>", id));
	if (*mta != '\0')
		print_line(xasprintf("  queue id %s of the mail server%s", mta,
		    ctl_flag(row, "quarantined") ? ", in its hold queue" : ""));
	for (i = 0; i < n && i < FIND_SHOWN; i++) {
		r = json_array_get(recipients, i);
		print_line(xasprintf("  %s: %s%s%s", ctl_text(r, "address"),
		    ctl_text(r, "what"), *ctl_text(r, "waits") ? ", " : "",
		    ctl_text(r, "waits")));
	}
	if (i < n)
		printf("  and %zu more; --json shows them\n", n - i);
}

static void
on_found(void *arg, const char *kind, const json_t *row)
{
	(void)arg;
	if (strcmp(kind, "event") == 0)
		ctl_print_event(row);
	else
		print_found(row);
}

enum ctl_status
ctl_find(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "find"), *done = NULL;
	enum ctl_status status;

	if (ctl->word_count == 0 &&
	    (ctl->given & ~(unsigned)(CTL_COUNT | CTL_RELAY)) == 0) {
		ctl_error("find: name a queue id, a Message-ID, an address or "
			  "part of the subject");
		json_decref(request);
		return CTL_USAGE;
	}
	if (ctl->word_count > 0)
		json_object_set_new(
		    request, "term", json_string(ctl->words[0]));
	if (ctl->count > 0)
		json_object_set_new(request, "max", json_integer(ctl->count));
	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	status = ctl_ask(ctl, request, on_found, NULL, &done);
	if (ctl_flag(done, "more"))
		ctl_error("more matches exist; narrow the search or raise -n");
	json_decref(done);
	return status;
}

/* ---- cat ---- */

struct cat {
	bool is_tty;
};

static void
print_pair(const char *name, const char *value)
{
	char *text = text_safe(str_from(value), 0);

	printf("%s: %s\n", name, text);
	free(text);
}

static void
print_envelope(const json_t *e)
{
	const json_t *recipients = json_object_get(e, "recipients");
	size_t i;
	json_t *r;

	print_pair("X-Weir-Id", ctl_text(e, "id"));
	print_pair("X-Weir-Sender", ctl_text(e, "sender"));
	print_pair("X-Weir-Queued-At", ctl_text(e, "queued_at"));
	print_pair("X-Weir-Client", ctl_text(e, "client"));
	print_pair("X-Weir-Envelope-From", ctl_text(e, "from"));
	json_array_foreach(recipients, i, r)
	{
		char *text = xasprintf("%s (%s)%s%s", ctl_text(r, "address"),
		    ctl_text(r, "state"), *ctl_text(r, "last_error") ? " " : "",
		    ctl_text(r, "last_error"));

		print_pair("X-Weir-Envelope-To", text);
		free(text);
	}
}

/* From one character a byte to the bytes. Returns how many. */
static size_t
to_bytes(const char *text, size_t n, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0xc2 && c <= 0xc3 && i + 1 < n) {
			c = (unsigned char)(c << 6) |
			    ((unsigned char)text[i + 1] & 0x3f);
			i++;
		}
		out[used++] = (char)c;
	}
	return used;
}

/* Line by line; the CR before the LF is not shown. A chunk may end within a
 * character or a line: what is left then is shown by itself. */
static void
print_harmless(struct str s)
{
	while (s.n > 0) {
		bool ended = str_index(s, '\n') < s.n;
		struct str line = str_cut(&s, '\n');
		char *text;

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		text = text_safe(line, 0);
		printf("%s%s", text, ended ? "\n" : "");
		free(text);
	}
}

static void
print_data(const struct cat *cat, const json_t *data)
{
	size_t n = json_string_length(data);
	char *bytes = xmalloc(n + 1);

	n = to_bytes(json_string_value(data), n, bytes);
	if (cat->is_tty)
		print_harmless((struct str){bytes, n});
	else
		fwrite(bytes, 1, n, stdout);
	free(bytes);
}

static void
on_cat(void *arg, const char *kind, const json_t *row)
{
	const json_t *envelope = json_object_get(row, "envelope");
	const json_t *data = json_object_get(row, "data");

	(void)kind;
	if (json_is_object(envelope))
		print_envelope(envelope);
	else if (json_is_string(data))
		print_data(arg, data);
}

enum ctl_status
ctl_cat(struct ctl *ctl)
{
	struct cat cat = {.is_tty = isatty(STDOUT_FILENO) == 1};
	json_t *request = ctl_request(ctl, "cat");

	json_object_set_new(request, "ids", json_pack("[s]", ctl->words[0]));
	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	return ctl_ask(ctl, request, on_cat, &cat, NULL);
}
