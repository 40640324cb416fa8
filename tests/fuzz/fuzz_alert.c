/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: rows of alerts as the spool may have them, and templates.
 * Checked: what is read is stored and read back as the same, no text of it can
 * leave its line or its JSON string, a mail's header has the fields that it
 * must have and no other, and a template that was taken gives JSON whatever
 * the items hold.
 */
#include "alert/alert_text.h"

#include "fuzz.h"

#include <stdio.h>

#define HEADER_FIELDS 10

static const struct alert_voice voice = {"relay.test", "pm@relay.test"};
static char *to[] = {(char *)"admin@example.org"};

static void
check_json(char *text)
{
	json_t *j = json_loads(text, 0, NULL);

	fuzz_check(j != NULL, "a message that is no JSON");
	json_decref(j);
	free(text);
}

static void
check_mail(char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	size_t fields = 0;

	fuzz_check(end != NULL, "no end of the header");
	fuzz_check(str_is_ascii(str_from(text)), "mail that is not ASCII");
	for (const char *p = text; p < end; p = strstr(p, "\r\n") + 2)
		fields += *p != '\t';
	fuzz_check(fields == HEADER_FIELDS, "another header field");
	free(text);
}

static void
check_batch(const struct alert_batch *b, const char *template)
{
	struct alert_conf c = {
	    .name = (char *)"x", .link = (char *)"https://x/%s", .to = {to, 1}};
	struct alert_item *first;
	char err[200];

	check_json(alert_json(&voice, &c, b, ALERT_DIGEST_MAX));
	check_mail(alert_mail(&voice, &c, b, 1800000000000));
	first = LIST_ITEM(b->items.next, struct alert_item, entry);
	free(first->to);
	first->to = xstrdup("alice@example.org");
	check_mail(alert_mail_to_sender(&voice, first, b->id, 1800000000000));
	if (!alert_template_check(template, err, sizeof(err))) {
		fuzz_check(err[0] != '\0', "refused without a word");
		return;
	}
	c.template_text = (char *)template;
	check_json(alert_body(&voice, &c, b));
}

static void
check_same(const char *text, const char *again)
{
	fuzz_check(strcmp(text, again) == 0, "read back as another");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	struct alert_batch *b, *b2;
	struct alert_item *i, *i2;
	struct str template = str_cut(&in, '\n');
	char *row = str_dup(in), *words = str_dup(template), *text, *again;

	if (alert_read(row, &i, &b)) {
		text = i != NULL ? alert_item_store(i) : alert_batch_store(b);
		fuzz_check(alert_read(text, &i2, &b2), "not read back");
		again =
		    i2 != NULL ? alert_item_store(i2) : alert_batch_store(b2);
		check_same(text, again);
		free(text);
		free(again);
		if (i2 != NULL)
			alert_item_free(i2);
		alert_batch_free(b2);
		if (i != NULL) {
			b = alert_batch_new();
			list_append(&b->items, &i->entry);
		}
		check_batch(b, words);
		alert_batch_free(b);
	}
	free(row);
	free(words);
	return 0;
}
