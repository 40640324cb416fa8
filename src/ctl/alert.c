/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alert: how alerts go, and a test of one section.
 */
#include "ctl/ctl.h"
#include "ctl/table.h"
#include "ctl/text.h"

#include <stdio.h>
#include <string.h>

static void
on_row(void *arg, const char *kind, const json_t *row)
{
	struct table *t = arg;
	char waiting[24], lasting[24];
	const char *error = ctl_text(row, "last_error");
	const char *cells[] = {ctl_text(row, "alert"), ctl_text(row, "channel"),
	    waiting, lasting, ctl_text(row, "last_sent"),
	    error[0] != '\0'           ? error
	    : ctl_flag(row, "sending") ? "sending"
				       : "ok"};

	(void)kind;
	snprintf(waiting, sizeof(waiting), "%lld",
	    (long long)ctl_number(row, "waiting"));
	snprintf(lasting, sizeof(lasting), "%lld",
	    (long long)ctl_number(row, "lasting"));
	table_add(t, cells);
}

static enum ctl_status
list(struct ctl *ctl)
{
	static const struct table_column columns[] = {
	    {.title = "ALERT"},
	    {.title = "CHANNEL", .keep = true},
	    {.title = "WAITING", .right = true, .keep = true},
	    {.title = "LASTING", .right = true, .keep = true},
	    {.title = "LAST SENT", .keep = true},
	    {.title = "STATE"},
	};
	json_t *request = ctl_request(ctl, "alerts");
	enum ctl_status status;
	struct table t;

	if (ctl->json)
		return ctl_ask_json_list(ctl, request);
	table_init(&t, columns, ARRAY_LEN(columns), text_columns());
	status = ctl_ask(ctl, request, on_row, &t, NULL);
	table_finish(&t, status == CTL_OK ? "no alert sections" : "");
	return status;
}

enum ctl_status
ctl_alert(struct ctl *ctl)
{
	enum ctl_status status;
	json_t *request;

	if (ctl->word_count == 0)
		return list(ctl);
	if (ctl->word_count != 2 || strcmp(ctl->words[0], "test") != 0) {
		ctl_error("usage: weirctl alert [test NAME]");
		return CTL_USAGE;
	}
	request = ctl_request(ctl, "alert_test");
	json_object_set_new(request, "term", json_string(ctl->words[1]));
	status = ctl_ask(ctl, request, NULL, NULL, NULL);
	if (status == CTL_OK)
		printf(ctl->json ? "{\"taken\": true}\n"
				 : "the test was "
				   "accepted\n");
	return status;
}
