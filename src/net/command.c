/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Children are started with posix_spawn, in a process group of their own, and
 * watched through a pidfd, so that no signal handler is shared with anybody.
 * The environment is ours alone, and no descriptor beyond the first three gets
 * across.
 */
#include "net/command.h"

#include "base/buf.h"
#include "os/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_NONE 127
#define TAIL_MAX 64
/* A grandchild may write for ever into what its dead parent left. */
#define LAST_READS 32

struct command {
	struct loop *loop;
	void (*on_output)(void *arg, struct str piece);
	void (*on_end)(void *arg, const struct command_end *end);
	void *arg;
	pid_t pid; /* 0: a socket, or not started */
	int pidfd, out, err;
	struct loop_watch *exit_watch, *out_watch, *err_watch;
	struct loop_timer deadline;
	struct loop_task end_task;
	int64_t timeout_ms;
	bool timed_out, is_socket;
	int status;
	struct buf said;
	char tail[TAIL_MAX]; /* the end of a socket's answer */
	size_t tail_n;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
command_clear(struct command *c)
{
	loop_watch_free(c->exit_watch);
	loop_watch_free(c->out_watch);
	loop_watch_free(c->err_watch);
	loop_timer_clear(&c->deadline);
	loop_task_clear(&c->end_task);
	close_fd(&c->pidfd);
	close_fd(&c->out);
	close_fd(&c->err);
	buf_clear(&c->said);
	free(c);
}

void
command_free(struct command *c)
{
	if (c == NULL)
		return;
	if (c->pid != 0)
		(void)kill(-c->pid, SIGTERM);
	command_clear(c);
}

static void
on_end_task(void *arg, int64_t now)
{
	struct command *c = arg;
	char text[COMMAND_SAID_MAX];
	size_t n = str_copy(buf_str(&c->said), text, sizeof(text));

	(void)now;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ')
			text[i] = ' ';
	}
	while (n > 0 && text[n - 1] == ' ')
		text[--n] = '\0';
	c->on_end(c->arg,
	    &(struct command_end){
		.status = c->status, .timed_out = c->timed_out, .said = text});
	command_clear(c);
}

/* ---- output ---- */

static void
keep_tail(struct command *c, struct str piece)
{
	size_t drop;

	if (piece.n >= TAIL_MAX)
		piece = str_sub(piece, piece.n - TAIL_MAX, TAIL_MAX);
	drop =
	    c->tail_n + piece.n > TAIL_MAX ? c->tail_n + piece.n - TAIL_MAX : 0;
	memmove(c->tail, c->tail + drop, c->tail_n - drop);
	c->tail_n -= drop;
	memcpy(c->tail + c->tail_n, piece.p, piece.n);
	c->tail_n += piece.n;
}

/* False: the end, or nothing there now (*end tells). */
static bool
read_once(struct command *c, int fd, bool *end)
{
	char *scratch = loop_scratch(c->loop);
	ssize_t n = read(fd, scratch, LOOP_SCRATCH);
	struct str piece = {scratch, n > 0 ? (size_t)n : 0};

	if (n <= 0) {
		*end = n == 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	if (c->is_socket)
		keep_tail(c, piece);
	if (fd == c->out && c->on_output != NULL)
		c->on_output(c->arg, piece);
	else
		(void)!buf_append_str(&c->said,
		    str_sub(piece, 0, COMMAND_SAID_MAX - c->said.len));
	return true;
}

/* The last line: "status 0". Without it nobody knows what became of it. */
static int
socket_status(const struct command *c)
{
	struct str s = {c->tail, c->tail_n};
	size_t nl;
	uint64_t v;

	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	nl = str_rindex(s, '\n');
	if (nl < s.n)
		s = str_sub(s, nl + 1, s.n);
	if (!str_starts(s, STR("status ")) ||
	    !str_to_u64(str_sub(s, strlen("status "), s.n), &v) || v > 255)
		return STATUS_NONE;
	return (int)v;
}

static void
on_out(void *arg, int64_t now)
{
	struct command *c = arg;
	bool end = false;

	(void)now;
	if (read_once(c, c->out, &end) || !end)
		return;
	loop_watch_free(c->out_watch);
	c->out_watch = NULL;
	if (c->is_socket) {
		if (!c->timed_out)
			c->status = socket_status(c);
		loop_task_set(&c->end_task);
	}
}

static void
on_err(void *arg, int64_t now)
{
	struct command *c = arg;
	bool end = false;

	(void)now;
	if (read_once(c, c->err, &end) || !end)
		return;
	loop_watch_free(c->err_watch);
	c->err_watch = NULL;
}

/* ---- its end ---- */

static void
on_exit_ready(void *arg, int64_t now)
{
	struct command *c = arg;
	bool end = false;
	int status;

	(void)now;
	if (waitpid(c->pid, &status, WNOHANG) != c->pid)
		return;
	c->pid = 0;
	c->status =
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	for (int i = 0; i < LAST_READS && read_once(c, c->out, &end); i++)
		continue;
	for (int i = 0; i < LAST_READS && c->err >= 0; i++) {
		if (!read_once(c, c->err, &end))
			break;
	}
	loop_watch_free(c->exit_watch);
	c->exit_watch = NULL;
	loop_task_set(&c->end_task);
}

static void
on_deadline(void *arg, int64_t now)
{
	struct command *c = arg;

	c->timed_out = true;
	if (c->is_socket) {
		c->status = STATUS_NONE;
		loop_task_set(&c->end_task);
		return;
	}
	/* It is not ours to kill where it runs as somebody else: then it is
	 * waited for, since two of them at once would be worse. */
	(void)kill(-c->pid, SIGKILL);
	loop_timer_set(&c->deadline, now + c->timeout_ms);
}

/* ---- its start ---- */

static int
spawn(struct command *c, const char *const *argv, int in, int out, int err)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	static char locale[] = "LC_ALL=C";
	char *env[] = {path, locale, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
					    POSIX_SPAWN_SETSIGDEF |
					    POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_adddup2(&actions, err, 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	error = posix_spawn(&c->pid, argv[0], &actions, &attr,
	    (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (error != 0)
		c->pid = 0;
	return error;
}

static int
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? errno
								       : 0;
}

/* An errno value. The input is in the pipe before there is a reader, so nobody
 * ever waits to write. */
static int
start_child(struct command *c, const struct command_run *run)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
	int error = 0;

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
	    pipe2(err, O_CLOEXEC) != 0)
		error = errno;
	if (error == 0)
		error = set_nonblocking(in[1]);
	if (error == 0)
		error = set_nonblocking(out[0]);
	if (error == 0)
		error = set_nonblocking(err[0]);
	if (error == 0 && run->input.n > 0 &&
	    write(in[1], run->input.p, run->input.n) != (ssize_t)run->input.n)
		error = EMSGSIZE;
	if (error == 0)
		error = spawn(c, run->argv, in[0], out[1], err[1]);
	close_fd(&in[0]);
	close_fd(&in[1]);
	close_fd(&out[1]);
	close_fd(&err[1]);
	c->out = out[0];
	c->err = err[0];
	if (error == 0) {
		c->pidfd = pidfd_open(c->pid, 0);
		if (c->pidfd < 0) {
			error = errno;
			(void)kill(-c->pid, SIGKILL);
		}
	}
	return error;
}

static int
start_socket(struct command *c, const struct command_run *run)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (str_copy(str_from(run->socket), sa.sun_path, sizeof(sa.sun_path)) !=
	    strlen(run->socket))
		return ENAMETOOLONG;
	c->is_socket = true;
	c->out = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->out < 0 ||
	    connect(c->out, (const struct sockaddr *)&sa, sizeof(sa)) != 0)
		return errno;
	if (run->input.n > 0 && send(c->out, run->input.p, run->input.n,
				    MSG_NOSIGNAL) != (ssize_t)run->input.n)
		return EMSGSIZE;
	return shutdown(c->out, SHUT_WR) != 0 ? errno : 0;
}

static void
watch(struct command *c, int64_t timeout_ms)
{
	c->timeout_ms = timeout_ms;
	loop_timer_set(&c->deadline, loop_now(c->loop) + timeout_ms);
	c->out_watch = loop_watch_new(c->loop, c->out, on_out, c);
	if (c->err >= 0)
		c->err_watch = loop_watch_new(c->loop, c->err, on_err, c);
	if (c->pidfd >= 0)
		c->exit_watch =
		    loop_watch_new(c->loop, c->pidfd, on_exit_ready, c);
}

/* Names what was to be run: the reader may have several. */
static void
say_why(struct command *c, const struct command_run *run, int error)
{
	const char *name = run->argv != NULL ? run->argv[0] : run->socket;
	char why[PROGRAM_WHY_MAX];

	if (run->argv == NULL || program_can_run(name, why, sizeof(why)))
		snprintf(why, sizeof(why), "%s", strerror(error));
	(void)!buf_printf(&c->said, "%.160s: %s", name, why);
}

struct command *
command_start(struct loop *loop, const struct command_run *run)
{
	struct command *c = xcalloc(1, sizeof(*c));
	int error;

	c->loop = loop;
	c->on_output = run->on_output;
	c->on_end = run->on_end;
	c->arg = run->arg;
	c->pidfd = c->out = c->err = -1;
	c->status = STATUS_NONE;
	buf_init(&c->said, COMMAND_SAID_MAX);
	loop_timer_init(&c->deadline, loop, on_deadline, c);
	loop_task_init(&c->end_task, loop, on_end_task, c);
	error = run->argv != NULL ? start_child(c, run) : start_socket(c, run);
	if (error == 0) {
		watch(c, run->timeout_ms);
		return c;
	}
	say_why(c, run, error);
	loop_task_set(&c->end_task);
	return c;
}
