/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Children are started with posix_spawn and reaped on SIGCHLD. One that fails
 * is a warning in the log; a site that wants more writes it into its hook.
 */
#include "net/hook.h"

#include "base/units.h"
#include "os/clock.h"
#include "os/program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define HOOK_ENV_MAX 12

struct waiting_run {
	struct list entry;
	char *command;
	char *env[HOOK_ENV_MAX + 1];
};

struct hook {
	struct loop *loop;
	struct log *log;
	struct events *events; /* NULL: nobody hears */
	struct loop_signal *child;
	struct list waiting;
	unsigned waiting_count;
	struct {
		pid_t pid; /* 0: free */
		char *command;
	} running[HOOK_RUNNING_MAX];
};

static void
run_free(struct waiting_run *run)
{
	free(run->command);
	for (size_t i = 0; run->env[i] != NULL; i++)
		free(run->env[i]);
	free(run);
}

static struct waiting_run *
run_new(const char *command, const struct hook_freeze *f)
{
	struct waiting_run *run = xcalloc(1, sizeof(*run));
	char at[UNITS_TEXT_MAX];
	size_t n = 0;

	list_init(&run->entry);
	run->command = xstrdup(command);
	run->env[n++] = xstrdup("PATH=/usr/local/bin:/usr/bin:/bin");
	run->env[n++] = xasprintf("WEIR_SENDER=%s", f->sender);
	run->env[n++] = xasprintf("WEIR_POLICY=%s", f->policy);
	run->env[n++] = xasprintf("WEIR_REASON=%s", f->reason);
	run->env[n++] = xasprintf("WEIR_QUEUE_LENGTH=%u", f->queue_length);
	run->env[n++] = xasprintf("WEIR_FREEZE_AT=%u", f->freeze_at);
	run->env[n++] = xasprintf("WEIR_TIME=%s", units_format_time(f->at, at));
	if (f->clients == NULL || f->subjects == NULL)
		return run;
	run->env[n++] = xasprintf("WEIR_PASSED=%u", f->passed);
	run->env[n++] = xasprintf("WEIR_CLIENTS=%s", f->clients);
	run->env[n++] = xasprintf("WEIR_SUBJECTS=%s", f->subjects);
	return run;
}

/* HOOK_RUNNING_MAX: none. */
static size_t
free_slot(const struct hook *h)
{
	size_t i = 0;

	while (i < HOOK_RUNNING_MAX && h->running[i].pid != 0)
		i++;
	return i;
}

static void
report_failure(struct hook *h, const char *why)
{
	if (h->events != NULL)
		events_add_option(h->events, clock_wall_ms(), EVENT_COMMAND,
		    "freeze_command", "freeze_command", "", "%s", why);
}

static void
hook_start(struct hook *h, size_t slot, struct waiting_run *run)
{
	char why[PROGRAM_WHY_MAX];
	char *argv[] = {run->command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int error;

	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	error =
	    posix_spawn(&pid, run->command, &actions, &attr, argv, run->env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (error == 0) {
		h->running[slot].pid = pid;
		h->running[slot].command = xstrdup(run->command);
		return;
	}
	if (program_can_run(run->command, why, sizeof(why)))
		snprintf(why, sizeof(why), "%s", strerror(error));
	log_write(h->log, LOG_EV_HOOK_FAILED, KV(command, run->command),
	    KV(error, why));
	report_failure(h, why);
}

static void
hook_next(struct hook *h)
{
	size_t slot;

	while (!list_is_empty(&h->waiting) &&
	       (slot = free_slot(h)) < HOOK_RUNNING_MAX) {
		struct waiting_run *run =
		    LIST_ITEM(h->waiting.next, struct waiting_run, entry);

		list_remove(&run->entry);
		h->waiting_count--;
		hook_start(h, slot, run);
		run_free(run);
	}
}

/* status: as wait has it. */
static void
on_failure(struct hook *h, const char *command, int status)
{
	int code =
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	char why[32];

	log_write(
	    h->log, LOG_EV_HOOK_FAILED, KV(command, command), KV(status, code));
	snprintf(why, sizeof(why), "status %d", code);
	report_failure(h, why);
}

static void
on_child(void *arg, int64_t now)
{
	struct hook *h = arg;
	int status;

	(void)now;
	for (size_t i = 0; i < HOOK_RUNNING_MAX; i++) {
		pid_t pid = h->running[i].pid;

		if (pid == 0 || waitpid(pid, &status, WNOHANG) != pid)
			continue;
		if (status != 0)
			on_failure(h, h->running[i].command, status);
		free(h->running[i].command);
		h->running[i].command = NULL;
		h->running[i].pid = 0;
	}
	hook_next(h);
}

struct hook *
hook_new(struct loop *loop, struct log *log)
{
	struct hook *h = xcalloc(1, sizeof(*h));

	h->loop = loop;
	h->log = log;
	list_init(&h->waiting);
	h->child = loop_signal_new(loop, SIGCHLD, on_child, h);
	return h;
}

void
hook_set_events(struct hook *h, struct events *events)
{
	h->events = events;
}

void
hook_run(struct hook *h, const char *command, const struct hook_freeze *freeze)
{
	struct waiting_run *run;

	if (command == NULL)
		return;
	if (h->waiting_count >= HOOK_WAITING_MAX) {
		log_write(
		    h->log, LOG_EV_HOOK_SKIP, KV(waiting, h->waiting_count));
		return;
	}
	run = run_new(command, freeze);
	list_append(&h->waiting, &run->entry);
	h->waiting_count++;
	hook_next(h);
}

void
hook_free(struct hook *h)
{
	struct list *e, *next;

	if (h == NULL)
		return;
	loop_signal_free(h->child);
	for (size_t i = 0; i < HOOK_RUNNING_MAX; i++)
		free(h->running[i].command);
	list_each_safe (e, next, &h->waiting) {
		run_free(LIST_ITEM(e, struct waiting_run, entry));
	}
	free(h);
}
