/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-replay: reads its options, and hands over to the command.
 */
#include "config.h"

#include "replay/command.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define ERROR_MAX 600

struct command {
	const char *name, *usage, *doc;
	bool needs_nodes, takes_logs, has_pages; /* --csv and --html */
	int (*run)(const struct command_args *args, struct err *err);
};

static const struct command commands[] = {
    {"trace",
	"FILE --nodes FILE [-c FILE] [--policy NAME] [--no-local] "
	"[--attack RATE[,...]]... [--json]",
	"show which senders would have waited or been frozen, from a trace",
	true, false, false, command_trace},
    {"flows",
	"FILE [--my-networks NET,...] [-c FILE [--policy NAME]] "
	"[--profile NAME]... [--attack RATE[,udp]]... "
	"[--propose [--target SHARE] [--keep-back SHARE]] [--json]",
	"the same for connections (weir-netd), from a trace or a packet "
	"capture",
	false, false, false, command_flows},
    {"history", "FILE [-c FILE] [--policy NAME] [--json]",
	"the same from the last day of weir-maild; run by weirctl explain "
	"--policy",
	false, false, false, command_history},
    {"log",
	"FILE...|-|--journal [--format NAME] [--my-networks NET,...] "
	"[--local-domains NAME,...] [--year YEAR] [-c FILE] [--policy NAME] "
	"[--compare FILE] [--attack RATE[,...]]... [--json|--csv|--html]",
	"the same from the logs of mail servers", false, true, true,
	command_log},
    {"propose",
	"FILE...|-|--journal [--target SHARE] [--keep-back SHARE] "
	"[--format NAME] [--my-networks NET,...] [--local-domains NAME,...] "
	"[--year YEAR] [-c FILE] [--policy NAME] "
	"[--attack RATE[,...]]... [--json|--csv|--html]",
	"propose a policy that few senders of such logs would notice", false,
	true, true, command_propose},
    {"learn",
	"FILE...|-|--journal [--format NAME] [--my-networks NET,...] "
	"[--local-domains NAME,...] [--year YEAR] [-c FILE] "
	"[--anonymise --nodes FILE]",
	"list the recipients of each sender in such logs, and when they last "
	"got mail",
	false, true, false, command_learn},
    {"verify", "FILE... -c FILE",
	"check that a replay of weir-maild's debug log gives the same verdicts",
	false, true, false, command_verify},
    {"epidemic",
	"[TRACE] [--spread random|local|contacts] [--hosts N] [--rate RATE] "
	"[--density SHARE] [--deployed SHARE,...] [--seed N] "
	"[--profile NAME | -c FILE --policy NAME] [--json|--html]",
	"simulate a worm where a share of the hosts has the throttle", false,
	false, true, command_epidemic},
    {0},
};

enum {
	OPT_NODES = 256,
	OPT_POLICY,
	OPT_PROFILE,
	OPT_ATTACK,
	OPT_JSON,
	OPT_CSV,
	OPT_HTML,
	OPT_NO_LOCAL,
	OPT_FORMAT,
	OPT_NETWORKS,
	OPT_DOMAINS,
	OPT_YEAR,
	OPT_JOURNAL,
	OPT_COMPARE,
	OPT_ANONYMISE,
	OPT_PROPOSE,
	OPT_TARGET,
	OPT_KEEP_BACK,
	OPT_EPIDEMIC, /* and those that follow it, as enum epidemic_option */
};

static const struct option long_options[] = {
    {"nodes", required_argument, NULL, OPT_NODES},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"attack", required_argument, NULL, OPT_ATTACK},
    {"json", no_argument, NULL, OPT_JSON},
    {"csv", no_argument, NULL, OPT_CSV},
    {"html", no_argument, NULL, OPT_HTML},
    {"no-local", no_argument, NULL, OPT_NO_LOCAL},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"my-networks", required_argument, NULL, OPT_NETWORKS},
    {"local-domains", required_argument, NULL, OPT_DOMAINS},
    {"year", required_argument, NULL, OPT_YEAR},
    {"journal", no_argument, NULL, OPT_JOURNAL},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"anonymise", no_argument, NULL, OPT_ANONYMISE},
    {"propose", no_argument, NULL, OPT_PROPOSE},
    {"target", required_argument, NULL, OPT_TARGET},
    {"keep-back", required_argument, NULL, OPT_KEEP_BACK},
    {"spread", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_SPREAD},
    {"hosts", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_HOSTS},
    {"rate", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_RATE},
    {"density", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_DENSITY},
    {"deployed", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_DEPLOYED},
    {"seed", required_argument, NULL, OPT_EPIDEMIC + EPIDEMIC_SEED},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

/* The temporary directory is to go, too. */
static void
catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static void
print_usage(FILE *out)
{
	fprintf(out, "usage: weir-replay COMMAND\n\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		fprintf(
		    out, "  %s %s\n        %s\n", c->name, c->usage, c->doc);
}

PRINTF_LIKE(1, 2)
static void
complain(const char *fmt, ...)
{
	va_list ap;

	fputs("weir-replay: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static bool
add_attack(struct command_args *args, const char *text)
{
	struct err err;

	if (args->attack_count == ATTACKS_MAX) {
		complain("--attack: more than %d; run the command again for "
			 "the others",
		    ATTACKS_MAX);
		return false;
	}
	if (attack_parse(text, &args->attacks[args->attack_count], &err)) {
		args->attack_count++;
		return true;
	}
	complain("%s", err.text);
	return false;
}

static bool
add_profile(struct command_args *args, const char *name)
{
	if (args->profile_count == PROFILES_MAX) {
		complain("--profile: more than %d", PROFILES_MAX);
		return false;
	}
	args->profiles[args->profile_count++] = name;
	return true;
}

static bool
set_format(struct command_args *args, const char *text)
{
	if (strcmp(text, "auto") == 0) {
		args->format = NULL;
		return true;
	}
	args->format = reader_find(text);
	if (args->format != NULL)
		return true;
	fprintf(stderr, "weir-replay: --format: must be one of auto");
	for (size_t i = 0; reader_list[i] != NULL; i++)
		fprintf(stderr, ", %s", reader_list[i]->name);
	fputc('\n', stderr);
	return false;
}

static bool
set_year(struct command_args *args, const char *text)
{
	uint64_t year;

	if (!str_to_u64(str_from(text), &year) || year < 1970 || year > 9999) {
		complain(
		    "--year: must be the four-digit year of the first line");
		return false;
	}
	args->year = (int)year;
	return true;
}

static bool
take_epidemic(struct command_args *args, int opt, const char *text)
{
	static const char *const names[] = {
	    [EPIDEMIC_SPREAD] = "spread",
	    [EPIDEMIC_HOSTS] = "hosts",
	    [EPIDEMIC_RATE] = "rate",
	    [EPIDEMIC_DENSITY] = "density",
	    [EPIDEMIC_DEPLOYED] = "deployed",
	    [EPIDEMIC_SEED] = "seed",
	};
	enum epidemic_option option = (enum epidemic_option)opt;
	const char *must = "";

	if (opt < 0 || opt > EPIDEMIC_SEED)
		return false;
	if (epidemic_take_option(&args->epidemic, option, text, &must))
		return true;
	complain("--%s: must be %s", names[opt], must);
	return false;
}

/* "0.1%" */
static bool
set_share(const char *option, const char *text, double *out)
{
	char *end;
	double percent = strtod(text, &end);

	if (text[0] >= '0' && text[0] <= '9' &&
	    strspn(text, "0123456789.%") == strlen(text) &&
	    strcmp(end, "%") == 0 && percent > 0 && percent < 100) {
		*out = percent / 100;
		return true;
	}
	complain(
	    "%s: must be a share between 0%% and 100%%, such as 0.1%%", option);
	return false;
}

/* "a,b" in place: the words of the command line are ours. */
static bool
add_words(const char *option, char *text, const char **to, size_t *n)
{
	while (text != NULL) {
		char *comma = strchr(text, ',');

		if (*n == COMMAND_LIST_MAX) {
			complain("%s: more than %d", option, COMMAND_LIST_MAX);
			return false;
		}
		if (comma != NULL)
			*comma++ = '\0';
		to[(*n)++] = text;
		text = comma;
	}
	return true;
}

/* False: the command line is wrong, and it was said why. */
static bool
take_option(struct command_args *args, int opt)
{
	switch (opt) {
	case 'c':
		args->config = optarg;
		return true;
	case OPT_NODES:
		args->nodes = optarg;
		return true;
	case OPT_POLICY:
		args->policy = optarg;
		return true;
	case OPT_PROFILE:
		return add_profile(args, optarg);
	case OPT_ATTACK:
		return add_attack(args, optarg);
	case OPT_JSON:
		args->json = true;
		return true;
	case OPT_PROPOSE:
		args->propose = true;
		return true;
	case OPT_CSV:
		args->csv = true;
		return true;
	case OPT_HTML:
		args->html = true;
		return true;
	case OPT_NO_LOCAL:
		args->no_local = true;
		return true;
	case OPT_FORMAT:
		return set_format(args, optarg);
	case OPT_NETWORKS:
		return add_words("--my-networks", optarg, args->networks,
		    &args->network_count);
	case OPT_DOMAINS:
		return add_words("--local-domains", optarg, args->domains,
		    &args->domain_count);
	case OPT_YEAR:
		return set_year(args, optarg);
	case OPT_JOURNAL:
		args->journal = true;
		return true;
	case OPT_COMPARE:
		args->compare = optarg;
		return true;
	case OPT_TARGET:
		return set_share("--target", optarg, &args->target);
	case OPT_KEEP_BACK:
		return set_share("--keep-back", optarg, &args->keep_back);
	case OPT_ANONYMISE:
		args->anonymise = true;
		return true;
	default:
		return take_epidemic(args, opt - OPT_EPIDEMIC, optarg);
	}
}

static bool
is_complete(const struct command *c, const struct command_args *args)
{
	if (args->anonymise && args->nodes == NULL)
		return false;
	if (args->json + args->csv + args->html > 1 ||
	    ((args->csv || args->html) && !c->has_pages))
		return false;
	if (c->takes_logs)
		return args->journal ? args->file_count == 0
				     : args->file_count > 0;
	if (c->run == command_epidemic)
		return args->file_count <= 1 && !args->csv;
	return args->file_count == 1 &&
	       (!c->needs_nodes || args->nodes != NULL);
}

static const struct command *
take_words(struct command_args *args, char **words, int n)
{
	const struct command *c = commands;

	if (n == 0) {
		print_usage(stderr);
		return NULL;
	}
	while (c->name != NULL && strcmp(c->name, words[0]) != 0)
		c++;
	if (c->name == NULL) {
		complain("no command \"%s\"; weir-replay --help lists them",
		    words[0]);
		return NULL;
	}
	args->files = (const char *const *)words + 1;
	args->file_count = (size_t)n - 1;
	if (is_complete(c, args))
		return c;
	complain("usage: weir-replay %s %s", c->name, c->usage);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct command_args args = {
	    .stop = &stopped, .target = 0.001, .keep_back = 1.0 / 3};
	const struct command *command;
	struct err err = {""};
	int status, opt;

	while (
	    (opt = getopt_long(argc, argv, "c:Vh", long_options, NULL)) != -1) {
		if (opt == 'h') {
			print_usage(stdout);
			return 0;
		}
		if (opt == 'V') {
			printf("weir-replay %s\n", PACKAGE_VERSION);
			return 0;
		}
		if (!take_option(&args, opt))
			return EX_USAGE;
	}
	command = take_words(&args, argv + optind, argc - optind);
	if (command == NULL)
		return EX_USAGE;
	catch_signals();
	status = command->run(&args, &err);
	if (status != 0)
		complain("%s", err.text);
	return status;
}
