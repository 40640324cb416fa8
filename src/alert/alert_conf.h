/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `alert` section: where alerts go, and which. The options table lives
 * here; alert_conf_check reads the files that it names. A secret is in the
 * struct alone: no option prints it, no log line has it.
 */
#ifndef ALERT_ALERT_CONF_H
#define ALERT_ALERT_CONF_H

#include "os/options.h"

enum alert_channel { ALERT_MAIL, ALERT_WEBHOOK, ALERT_COMMAND, ALERT_CHANNELS };
extern const char *const alert_channel_name[ALERT_CHANNELS + 1];

#define ALERT_CONF_MAX 32 /* sections */

struct alert_conf { /* struct for os/options.h */
	char *name;
	struct option_place place;
	int channel; /* enum alert_channel */
	struct option_strings events;
	struct option_strings to;
	char *from, *next_hop;
	char *url, *url_file, *secret_file, *header_file, *ca_file, *template;
	char *command;
	int64_t group_wait_ms, remind_ms, retry_for_ms, timeout_ms;
	struct option_rate group_limit; /* count 0: any number */
	char *link;

	/* Made by alert_conf_check. */
	unsigned wanted; /* bits, 1 << enum alert_event */
	char *endpoint;  /* of url or url_file */
	char *secret;    /* NULL: messages are not signed */
	size_t secret_size;
	char *headers;       /* lines without ends, LF between; NULL: none */
	char *template_text; /* NULL: the JSON of doc/alerts.md */
};

extern const struct option alert_options[];

/* False: "option: what is wrong" in err, without a secret. */
MUST_CHECK bool alert_conf_check(struct alert_conf *c, char *err, size_t cap);
/* What the check made; the rest is os/options.h's. */
void alert_conf_clear(struct alert_conf *c);

#endif
