/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weirctl: the administrator's command for weir-maild and weir-netd. One table
 * of commands drives dispatch and usage; options may stand anywhere.
 */
#include "config.h"

#include "ctl/ctl.h"
#include "ctl/text.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTERS (CTL_OLDER | CTL_NEWER | CTL_RECIPIENT | CTL_SUBJECT)
#define SELECTS \
	(CTL_SENDER | CTL_ALL | FILTERS | CTL_REASON | CTL_DRY_RUN | CTL_RELAY)
#define SELECT_WORDS                                            \
	"[--older TIME] [--newer TIME] [--recipient PATTERN]\n" \
	"        [--subject TEXT] [--reason TEXT] [--dry-run] [--relay NAME]"
#define GRANTS (CTL_RIGHT | CTL_EXPIRES | CTL_NETWORKS | CTL_DOMAIN)
#define FINDS                                                       \
	(CTL_SENDER | CTL_RECIPIENT | CTL_MESSAGE_ID | CTL_MTA_ID | \
	    CTL_SUBJECT | CTL_CLIENT)
#define WORDS_ANY 8192

static const struct ctl_command commands[] = {
    {"status", "", 0, 0, 0, ctl_status, "mode, counters, spool"},
    {"senders", "[--frozen | --busy] [--relay NAME]",
	CTL_FROZEN | CTL_BUSY | CTL_RELAY, 0, 0, ctl_senders,
	"list senders; busy: frozen or with mail waiting"},
    {"show", "SENDER [--relay NAME]", CTL_RELAY, 1, 1, ctl_show,
	"show everything about a sender"},
    {"explain", "SENDER RECIPIENT [--client ADDRESS] | --policy FILE",
	CTL_CLIENT | CTL_POLICY, 0, 2, ctl_explain,
	"predict what would happen to a message now, and why; or which of\n    "
	"    the last day's senders another configuration would hold or "
	"freeze"},
    {"history", "", 0, 0, 0, ctl_history,
	"print the mail of the last day, for weir-replay history"},
    {"queue",
	"[SENDER] [--older TIME] [--newer TIME] [--recipient PATTERN]\n"
	"        [--subject TEXT] [--relay NAME]",
	FILTERS | CTL_RELAY, 0, 1, ctl_queue, "list messages in the spool"},
    {"find",
	"[TERM] [--message-id ID] [--mta-id ID] [--sender S]\n"
	"        [--recipient PATTERN] [--subject TEXT] [--client ADDRESS] "
	"[-n COUNT] [--relay NAME]",
	FINDS | CTL_COUNT | CTL_RELAY, 0, 1, ctl_find,
	"find mail and show what it is waiting for"},
    {"problems", "[-n COUNT]", CTL_COUNT, 0, 0, ctl_problems,
	"list refused and long-waiting mail, the reason and the remedy"},
    {"cat", "ID [--relay NAME]", CTL_RELAY, 1, 1, ctl_cat,
	"print a message, envelope first"},
    {"release", "ID... | --sender S | --all " SELECT_WORDS, SELECTS, 0,
	WORDS_ANY, ctl_release, "release held mail now"},
    {"flush", "[ID... | SENDER | all] " SELECT_WORDS, SELECTS, 0, WORDS_ANY,
	ctl_flush, "retry deferred mail now"},
    {"discard", "ID... | --sender S | --all [-y] " SELECT_WORDS,
	SELECTS | CTL_YES, 0, WORDS_ANY, ctl_discard, "delete held mail"},
    {"freeze", "SENDER [--reason TEXT] [--for TIME]", CTL_REASON | CTL_FOR, 1,
	1, ctl_freeze, "stop a sender"},
    {"thaw", "SENDER [--release | --discard] [--reason TEXT]",
	CTL_RELEASE | CTL_DISCARD | CTL_REASON, 1, 1, ctl_thaw,
	"resume a sender; its queue stays and is released one per interval"},
    {"forget", "SENDER", 0, 1, 1, ctl_forget,
	"forget a sender's known recipients outside its working set"},
    {"learn", "FILE | -", 0, 1, 1, ctl_learn,
	"import who wrote to whom, from weir-replay learn"},
    {"events", "[-f] [-n COUNT]", CTL_FOLLOW | CTL_COUNT, 0, 0, ctl_events,
	"list recent events; -f: follow new ones"},
    {"trace", "CLIENT | NETWORK | SENDER | NEXT_HOP [--for TIME]", CTL_FOR, 1,
	1, ctl_trace,
	"follow the SMTP dialogue, states and verdicts of one of them"},
    {"top", "[-n COUNT]", CTL_COUNT, 0, 0, ctl_top,
	"show status and busy senders, updated every 2 seconds"},
    {"audit", "[-n COUNT]", CTL_COUNT, 0, 0, ctl_audit,
	"list what administrators did"},
    {"alert", "[test NAME]", 0, 0, 2, ctl_alert,
	"show alert channels; test: send an alert now"},
    {"config", "", 0, 0, 0, ctl_config, "print the configuration in use"},
    {"reload", "", 0, 0, 0, ctl_reload, "reload the configuration"},
    {"ask", "COMMAND [NAME=VALUE ...]", 0, 1, WORDS_ANY, ctl_ask_any,
	"any command of the daemon, answered in JSON"},
    {"token",
	"new NAME [--right view|operate|admin] [--expires TIME]\n"
	"        [--networks NET,...] [--domain DOMAIN] | list | revoke ID",
	GRANTS, 1, 2, ctl_token, "manage API tokens"},
    {"user",
	"set NAME [--right view|operate|admin] [--domain DOMAIN] | list |\n"
	"        remove NAME",
	CTL_RIGHT | CTL_DOMAIN, 1, 2, ctl_user,
	"manage dashboard users; set prompts for the password"},
    {0},
};

enum long_option { /* those without a letter */
	OPT_OLDER = 256,
	OPT_RECIPIENT,
	OPT_ALL,
	OPT_FROZEN,
	OPT_BUSY,
	OPT_RELEASE,
	OPT_DISCARD,
	OPT_JSON,
	OPT_MESSAGE_ID,
	OPT_MTA_ID,
	OPT_SUBJECT,
	OPT_CLIENT,
	OPT_REASON,
	OPT_FOR,
	OPT_POLICY,
	OPT_RIGHT,
	OPT_EXPIRES,
	OPT_NETWORKS,
	OPT_DOMAIN,
	OPT_DRY_RUN,
	OPT_NEWER,
	OPT_RELAY,
};

static const struct option long_options[] = {
    {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, OPT_JSON},
    {"sender", required_argument, NULL, 'S'},
    {"older", required_argument, NULL, OPT_OLDER},
    {"recipient", required_argument, NULL, OPT_RECIPIENT},
    {"message-id", required_argument, NULL, OPT_MESSAGE_ID},
    {"mta-id", required_argument, NULL, OPT_MTA_ID},
    {"subject", required_argument, NULL, OPT_SUBJECT},
    {"client", required_argument, NULL, OPT_CLIENT},
    {"reason", required_argument, NULL, OPT_REASON},
    {"for", required_argument, NULL, OPT_FOR},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"right", required_argument, NULL, OPT_RIGHT},
    {"expires", required_argument, NULL, OPT_EXPIRES},
    {"networks", required_argument, NULL, OPT_NETWORKS},
    {"domain", required_argument, NULL, OPT_DOMAIN},
    {"newer", required_argument, NULL, OPT_NEWER},
    {"relay", required_argument, NULL, OPT_RELAY},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"all", no_argument, NULL, OPT_ALL},
    {"yes", no_argument, NULL, 'y'},
    {"frozen", no_argument, NULL, OPT_FROZEN},
    {"busy", no_argument, NULL, OPT_BUSY},
    {"follow", no_argument, NULL, 'f'},
    {"release", no_argument, NULL, OPT_RELEASE},
    {"discard", no_argument, NULL, OPT_DISCARD},
    {"count", required_argument, NULL, 'n'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

void
ctl_error(const char *fmt, ...)
{
	char text[2048];
	char *safe;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	safe = text_safe(str_from(text), 0);
	fflush(stdout);
	fprintf(stderr, "weirctl: %s\n", safe);
	free(safe);
}

static void
print_usage(FILE *out)
{
	fprintf(out, "usage: weirctl [-s SOCKET] [--json] COMMAND\n\n");
	for (const struct ctl_command *c = commands; c->name != NULL; c++)
		fprintf(out, "  %s%s%s\n        %s\n", c->name,
		    *c->usage ? " " : "", c->usage, c->doc);
	fprintf(out, "\nDefault socket: $WEIR_SOCKET, else " WEIR_RUNSTATEDIR
		     "/weir/control.sock\n");
}

/* Options with a value. False: the command line is wrong. */
static bool
take_value(struct ctl *ctl, int opt)
{
	const struct {
		int opt;
		unsigned bit;
		const char **value;
	} values[] = {{'s', 0, &ctl->socket}, {'S', CTL_SENDER, &ctl->sender},
	    {OPT_OLDER, CTL_OLDER, &ctl->older},
	    {OPT_RECIPIENT, CTL_RECIPIENT, &ctl->recipient},
	    {OPT_MESSAGE_ID, CTL_MESSAGE_ID, &ctl->message_id},
	    {OPT_MTA_ID, CTL_MTA_ID, &ctl->mta_id},
	    {OPT_SUBJECT, CTL_SUBJECT, &ctl->subject},
	    {OPT_CLIENT, CTL_CLIENT, &ctl->client},
	    {OPT_REASON, CTL_REASON, &ctl->reason},
	    {OPT_FOR, CTL_FOR, &ctl->span},
	    {OPT_POLICY, CTL_POLICY, &ctl->policy},
	    {OPT_RIGHT, CTL_RIGHT, &ctl->right},
	    {OPT_EXPIRES, CTL_EXPIRES, &ctl->expires},
	    {OPT_NETWORKS, CTL_NETWORKS, &ctl->networks},
	    {OPT_DOMAIN, CTL_DOMAIN, &ctl->domain},
	    {OPT_NEWER, CTL_NEWER, &ctl->newer},
	    {OPT_RELAY, CTL_RELAY, &ctl->relay}};

	if (opt == 'n') {
		uint64_t n;

		if (!str_to_u64(str_from(optarg), &n) || n < 1 || n > 10000) {
			ctl_error("-n: \"%s\" is not a number from 1 to 10000",
			    optarg);
			return false;
		}
		ctl->count = (uint32_t)n;
		ctl->given |= CTL_COUNT;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (values[i].opt == opt) {
			*values[i].value = optarg;
			ctl->given |= values[i].bit;
			return true;
		}
	}
	return false;
}

static bool
take_option(struct ctl *ctl, int opt)
{
	static const struct {
		int opt;
		unsigned bit;
	} flags[] = {{OPT_ALL, CTL_ALL}, {'y', CTL_YES},
	    {OPT_FROZEN, CTL_FROZEN}, {OPT_BUSY, CTL_BUSY}, {'f', CTL_FOLLOW},
	    {OPT_RELEASE, CTL_RELEASE}, {OPT_DISCARD, CTL_DISCARD},
	    {OPT_DRY_RUN, CTL_DRY_RUN}};

	if (opt == OPT_JSON) {
		ctl->json = true;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (flags[i].opt == opt) {
			ctl->given |= flags[i].bit;
			return true;
		}
	}
	return take_value(ctl, opt);
}

static const struct ctl_command *
find_command(const char *name)
{
	for (const struct ctl_command *c = commands; c->name != NULL; c++) {
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

/* The words after the options: the command and its own. */
static bool
take_words(struct ctl *ctl, char **words, int n)
{
	const struct ctl_command *c;

	if (n == 0) {
		print_usage(stderr);
		return false;
	}
	c = ctl->command = find_command(words[0]);
	ctl->words = words + 1;
	ctl->word_count = n - 1;
	if (c == NULL) {
		ctl_error(
		    "unknown command \"%s\"; weirctl help lists all commands",
		    words[0]);
		return false;
	}
	if (ctl->word_count < c->words_min || ctl->word_count > c->words_max ||
	    (ctl->given & ~c->takes) != 0) {
		ctl_error("usage: weirctl %s%s%s", c->name,
		    *c->usage ? " " : "", c->usage);
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = {.socket = getenv("WEIR_SOCKET")};
	enum ctl_status status;
	int opt;

	text_init();
	if (ctl.socket == NULL || ctl.socket[0] == '\0')
		ctl.socket = WEIR_RUNSTATEDIR "/weir/control.sock";
	while ((opt = getopt_long(
		    argc, argv, "s:S:yfn:Vh", long_options, NULL)) != -1) {
		if (opt == 'h') {
			print_usage(stdout);
			return CTL_OK;
		}
		if (opt == 'V') {
			printf("weirctl %s\n", PACKAGE_VERSION);
			return CTL_OK;
		}
		if (!take_option(&ctl, opt))
			return CTL_USAGE;
	}
	if (optind == argc - 1 && strcmp(argv[optind], "help") == 0) {
		print_usage(stdout);
		return CTL_OK;
	}
	if (!take_words(&ctl, argv + optind, argc - optind))
		return CTL_USAGE;
	status = ctl.command->run(&ctl);
	if (fflush(stdout) != 0 && status == CTL_OK)
		status = CTL_FAILED;
	return (int)status;
}
