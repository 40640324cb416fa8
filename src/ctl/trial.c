/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * history, and explain --policy: the last day, and what another configuration
 * would have made of it. weir-replay, which has the daemon's gate and throttle,
 * plays it; the day goes to it through a pipe.
 */
#include "ctl/ctl.h"

#include "ctl/text.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void
on_line(void *arg, const char *kind, const json_t *row)
{
	FILE *to = arg;

	(void)kind;
	if (json_dumpf(row, to, JSON_COMPACT) == 0)
		fputc('\n', to);
}

enum ctl_status
ctl_history(struct ctl *ctl)
{
	return ctl_ask(ctl, ctl_request(ctl, "history"), on_line, stdout, NULL);
}

/* ---- explain --policy ---- */

struct trial {
	struct ctl *ctl;
	FILE *to;  /* weir-replay's stdin; NULL: it does not run */
	pid_t pid; /* 0: the same */
	int error; /* of its start */
};

/* The one beside this program, if there is one: both are of one version. */
static const char *
find_program(char path[4096])
{
	static const char name[] = "weir-replay";
	ssize_t n = readlink("/proc/self/exe", path, 4096 - sizeof(name));
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		memcpy(slash + 1, name, sizeof(name));
		if (access(path, X_OK) == 0)
			return path;
	}
	return name;
}

static void
start(struct trial *t)
{
	char path[4096];
	const char *program = find_program(path);
	const char *argv[] = {"weir-replay", "history", "/dev/stdin", "-c",
	    t->ctl->policy, t->ctl->json ? "--json" : NULL, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2];

	if (pipe(ends) != 0) {
		t->error = errno;
		return;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, ends[1]);
	posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
	posix_spawn_file_actions_addclose(&actions, ends[0]);
	t->error = posix_spawnp(&t->pid, program, &actions, NULL,
	    (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	if (t->error == 0)
		t->to = fdopen(ends[1], "w");
	else
		close(ends[1]);
}

static void
on_trial(void *arg, const char *kind, const json_t *row)
{
	struct trial *t = arg;

	if (t->pid == 0 && t->error == 0)
		start(t);
	if (t->to != NULL)
		on_line(t->to, kind, row);
}

/* It has said itself what was wrong. */
static enum ctl_status
finish(struct trial *t)
{
	int status = 0;

	if (t->to != NULL)
		fclose(t->to);
	if (t->error != 0) {
		ctl_error(
		    "weir-replay cannot be started: %s; install it, or "
		    "keep the output of \"weirctl history\" in a file "
		    "and run \"weir-replay history FILE -c %s\" elsewhere",
		    strerror(t->error), t->ctl->policy);
		return CTL_FAILED;
	}
	if (t->pid == 0)
		return CTL_OK;
	while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CTL_OK
							     : CTL_FAILED;
}

enum ctl_status
ctl_explain_policy(struct ctl *ctl)
{
	struct trial t = {.ctl = ctl};
	enum ctl_status asked, ended;
	json_t *done = NULL;

	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	asked = ctl_ask(ctl, ctl_request(ctl, "history"), on_trial, &t, &done);
	ended = finish(&t);
	if (asked == CTL_OK && t.pid == 0 && t.error == 0) {
		ctl_error("no mail to test with: none was accepted in the last "
			  "day or since the start%s",
		    ctl_flag(done, "kept") ? "" : "; history_memory is 0");
		ended = CTL_FAILED;
	}
	if (ctl_flag(done, "cut"))
		ctl_error("less than a day is covered: history_memory is full "
			  "and the oldest mail was dropped");
	json_decref(done);
	return asked != CTL_OK ? asked : ended;
}
