/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * release, flush, discard, freeze, thaw, forget. Only `discard --all` asks
 * back, and only on a terminal: a script has said what it wants.
 */
#include "ctl/ctl.h"
#include "ctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Asks; prints how many recipients were changed. A thaw comes when all of them
 * were. */
static enum ctl_status
change(struct ctl *ctl, json_t *request, const char *what)
{
	json_t *done = NULL;
	bool is_thaw = json_object_get(request, "then") != NULL;
	enum ctl_status status = ctl_ask(ctl, request, NULL, NULL, &done);
	int64_t n = ctl_number(done, "recipients");
	bool goes_on = json_is_true(json_object_get(done, "goes_on"));
	char count[TEXT_COUNT_MAX], mail[TEXT_COUNT_MAX];

	if (status == CTL_OK && (ctl->given & CTL_DRY_RUN) && ctl->json)
		json_dumpf(done, stdout, JSON_PRESERVE_ORDER);
	else if (status == CTL_OK && (ctl->given & CTL_DRY_RUN))
		printf("would be %s: %s of %s\n", what,
		    text_count(n, "recipient", "recipients", count),
		    text_count(ctl_number(done, "messages"), "message",
			"messages", mail));
	else if (status == CTL_OK && ctl->json)
		printf("{\"recipients\": %" PRId64 "%s}\n", n,
		    goes_on ? ", \"goes_on\": true" : "");
	else if (status == CTL_OK)
		printf("%s%s: %s%s%s%s\n",
		    is_thaw && !goes_on ? "thawed, and " : "", what,
		    text_count(n, "recipient", "recipients", count),
		    goes_on ? " so far; the rest follows" : "",
		    is_thaw && goes_on ? ", then the thaw" : "",
		    goes_on ? ", and the log says when it is done "
			      "(gate changed)"
			    : "");
	/* Part of it: client.c has told what is missing. */
	if (status == CTL_OK && ctl_flag(done, "failed"))
		status = CTL_FAILED;
	json_decref(done);
	return status;
}

/* Exactly one of ids, sender, all. */
static bool
check_selection(const struct ctl *ctl)
{
	int n = (ctl->word_count > 0) + ((ctl->given & CTL_SENDER) != 0) +
		((ctl->given & CTL_ALL) != 0);

	if (n == 1)
		return true;
	ctl_error("%s: name queue ids, --sender or --all", ctl->command->name);
	return false;
}

static json_t *
selection(const struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, ctl->command->name);
	json_t *ids = json_array();

	for (int i = 0; i < ctl->word_count; i++)
		json_array_append_new(ids, json_string(ctl->words[i]));
	if (ctl->word_count > 0)
		json_object_set_new(request, "ids", ids);
	else
		json_decref(ids);
	return request;
}

enum ctl_status
ctl_release(struct ctl *ctl)
{
	if (!check_selection(ctl))
		return CTL_USAGE;
	return change(ctl, selection(ctl), "released");
}

/* As weir writes queue ids: 13 letters of Crockford's base 32. */
static bool
is_id(const char *word)
{
	return strlen(word) == 13 &&
	       strspn(word, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 13;
}

/* A word is a queue id, a sender, or all; nothing is all, too. */
enum ctl_status
ctl_flush(struct ctl *ctl)
{
	bool ids = true;

	for (int i = 0; i < ctl->word_count; i++)
		ids = ids && is_id(ctl->words[i]);
	if ((ctl->word_count == 0 && !(ctl->given & CTL_SENDER)) ||
	    (ctl->word_count == 1 && strcmp(ctl->words[0], "all") == 0)) {
		ctl->given |= CTL_ALL;
		ctl->word_count = 0;
	} else if (ctl->word_count == 1 && !ids && !(ctl->given & CTL_SENDER)) {
		ctl->sender = ctl->words[0];
		ctl->given |= CTL_SENDER;
		ctl->word_count = 0;
	}
	if (!check_selection(ctl))
		return CTL_USAGE;
	return change(ctl, selection(ctl), "due now");
}

static bool
is_confirmed(const struct ctl *ctl)
{
	char answer[16] = "";

	if (!(ctl->given & CTL_ALL) || (ctl->given & (CTL_YES | CTL_DRY_RUN)) ||
	    !isatty(STDIN_FILENO))
		return true;
	fprintf(stderr,
	    "Discard all held mail%s? This cannot be undone. [y/N] ",
	    ctl->older != NULL || ctl->recipient != NULL ? " that matches"
							 : "");
	if (fgets(answer, sizeof(answer), stdin) == NULL)
		return false;
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

enum ctl_status
ctl_discard(struct ctl *ctl)
{
	if (!check_selection(ctl))
		return CTL_USAGE;
	if (!is_confirmed(ctl)) {
		ctl_error("nothing was discarded");
		return CTL_FAILED;
	}
	return change(ctl, selection(ctl), "discarded");
}

static void
on_note(void *arg, const char *kind, const json_t *row)
{
	char *note = text_safe(str_from(ctl_text(row, "note")), 0);

	(void)arg;
	(void)kind;
	ctl_error("%s", note);
	free(note);
}

/* Where no recipient is changed. The sender's full name tells what was meant: a
 * user, "[an address]" or "<an envelope sender>". */
static enum ctl_status
change_plain(struct ctl *ctl, json_t *request, const char *what)
{
	json_t *done = NULL;
	enum ctl_status status = ctl_ask(ctl, request, on_note, NULL, &done);

	if (status == CTL_OK && ctl->json)
		printf("{}\n");
	else if (status == CTL_OK)
		printf("%s: %s\n", what, ctl_text(done, "sender"));
	json_decref(done);
	return status;
}

enum ctl_status
ctl_freeze(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "freeze");

	json_object_set_new(request, "sender", json_string(ctl->words[0]));
	return change_plain(ctl, request, "frozen");
}

enum ctl_status
ctl_thaw(struct ctl *ctl)
{
	json_t *request;
	unsigned then = ctl->given & (CTL_RELEASE | CTL_DISCARD);

	if (then == (CTL_RELEASE | CTL_DISCARD)) {
		ctl_error(
		    "thaw: --release and --discard are mutually exclusive");
		return CTL_USAGE;
	}
	request = ctl_request(ctl, "thaw");
	json_object_set_new(request, "sender", json_string(ctl->words[0]));
	if (then != 0)
		json_object_set_new(request, "then",
		    json_string(then == CTL_RELEASE ? "release" : "discard"));
	if (then == 0)
		return change_plain(ctl, request, "thawed");
	return change(
	    ctl, request, then == CTL_RELEASE ? "released" : "discarded");
}

enum ctl_status
ctl_forget(struct ctl *ctl)
{
	json_t *request = ctl_request(ctl, "forget");
	json_t *done = NULL;
	enum ctl_status status;
	char count[TEXT_COUNT_MAX];
	int64_t n;

	json_object_set_new(request, "sender", json_string(ctl->words[0]));
	status = ctl_ask(ctl, request, NULL, NULL, &done);
	n = ctl_number(done, "addresses");
	if (status == CTL_OK && ctl->json)
		printf("{\"addresses\": %" PRId64 "}\n", n);
	else if (status == CTL_OK)
		printf("forgotten: %s that %s knew\n",
		    text_count(n, "address", "addresses", count),
		    ctl_text(done, "sender"));
	json_decref(done);
	return status;
}
