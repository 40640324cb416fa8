/* SPDX-License-Identifier: BSD-3-Clause */
/* weir-replay propose: reads logs, and searches a policy for who sent them. */
#include "replay/command.h"
#include "replay/logs.h"
#include "replay/report_propose.h"
#include "replay/setup.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* Slow, at the pace of a person, fast, very fast, and in few messages. */
static const char *const usual[] = {"1/60", "1", "10", "200", "100/1d,packed"};

/* Those of the command line, or the usual ones. */
static size_t
choose_attacks(const struct command_args *args,
    struct attack_plan plans[ATTACKS_MAX], struct err *err)
{
	for (size_t i = 0; i < args->attack_count; i++)
		plans[i] = args->attacks[i];
	if (args->attack_count > 0)
		return args->attack_count;
	for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
		if (!attack_parse(usual[i], &plans[i], err))
			panic("%s", err->text);
	}
	return ARRAY_LEN(usual);
}

static int
print(const struct command_args *args, const struct propose_log *p,
    struct err *err)
{
	const char *config = args->config;
	bool ok = args->json   ? report_propose_json(p, config, stdout)
		  : args->csv  ? report_propose_csv(p, stdout)
		  : args->html ? report_propose_html(p, config, stdout)
			       : report_propose_text(p, config, stdout);

	if (ok)
		return 0;
	err_set(err, "the proposal cannot be written");
	return EX_IOERR;
}

int
command_propose(const struct command_args *args, struct err *err)
{
	struct attack_plan plans[ATTACKS_MAX];
	struct propose_log p = {
	    .attacks = plans,
	    .attack_count = choose_attacks(args, plans, err),
	    .stop = args->stop,
	    .is_reported = isatty(STDERR_FILENO) == 1,
	};
	struct logs l = {0};
	struct setup setup;
	int status = setup_load(&setup, args->config, args->policy, err);

	for (size_t i = 0; status == 0 && i < p.attack_count; i++) {
		if (plans[i].users == 0)
			continue;
		err_set(err, "--attack: users is for log and trace");
		status = EX_USAGE;
	}

	p.logs = &l;
	p.base = &setup;
	if (status == 0)
		status = logs_read(&l, args, &setup, err);
	if (status == 0)
		status =
		    propose_log_run(&p, args->target, args->keep_back, err);
	if (status == 0)
		status = print(args, &p, err);
	propose_log_clear(&p);
	logs_clear(&l);
	setup_clear(&setup);
	return status;
}
