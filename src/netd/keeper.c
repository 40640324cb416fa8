/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The keeper's side is sequential: install, answer, wait for a byte (a clean
 * end) or for the end of the pipe (the daemon died), remove. Programs read
 * their text from a memfd, so none can block on the other.
 */
#include "netd/keeper.h"

#include "netd/rules.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEPER_FD 3
#define LOCK_TRIES 200
#define LOCK_WAIT_US 50000

extern char **environ;

struct keeper {
	pid_t pid;
	int fd;
};

/* What the child answers. */
struct answer {
	bool ok, has_sets;
	char text[KEEPER_TEXT_MAX];
};

/* ---- programs ---- */

static bool
spawn(const char *const argv[], int input, bool quiet)
{
	posix_spawn_file_actions_t actions;
	char *args[8] = {NULL};
	int status = 0, error;
	pid_t pid;

	for (size_t i = 0; i < ARRAY_LEN(args) - 1 && argv[i] != NULL; i++)
		args[i] = xstrdup(argv[i]);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, 0);
	if (quiet)
		posix_spawn_file_actions_addopen(
		    &actions, 2, "/dev/null", O_WRONLY, 0);
	error = posix_spawnp(&pid, args[0], &actions, NULL, args, environ);
	posix_spawn_file_actions_destroy(&actions);
	for (size_t i = 0; args[i] != NULL; i++)
		free(args[i]);
	if (error != 0)
		return false;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs the program for this part over its text. */
static bool
apply(
    const struct netd_config *c, enum rules_part part, bool remove, bool quiet)
{
	static const char *const programs[][4] = {
	    [RULES_NFT] = {"nft", "-f", "-"},
	    [RULES_NFT_SETS] = {"nft", "-f", "-"},
	    [RULES_IPTABLES] = {"iptables-restore", "--noflush"},
	    [RULES_IP6TABLES] = {"ip6tables-restore", "--noflush"},
	};
	int fd = memfd_create("weir-rules", MFD_CLOEXEC);
	struct buf text;
	bool ok;

	buf_init(&text, RULES_TEXT_MAX);
	ok = fd >= 0 && (remove ? rules_print_removal(c, part, &text)
				: rules_print(c, part, &text));
	ok = ok &&
	     file_write_all(fd, buf_str(&text).p, buf_str(&text).n) == 0 &&
	     lseek(fd, 0, SEEK_SET) == 0 && spawn(programs[part], fd, quiet);
	buf_clear(&text);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* ---- what the child does ---- */

static void
remove_all(const struct netd_config *c)
{
	apply(c, RULES_NFT, true, true);
	apply(c, RULES_IPTABLES, true, true);
	apply(c, RULES_IP6TABLES, true, true);
}

static void
install_iptables(const struct netd_config *c, struct answer *a)
{
	bool v4 = apply(c, RULES_IPTABLES, false, false);
	bool v6 = v4 && apply(c, RULES_IP6TABLES, false, false);

	a->ok = v4 && v6;
	if (!a->ok) {
		remove_all(c);
		snprintf(a->text, sizeof(a->text),
		    "%s could not install the rules; is the NFQUEUE target in "
		    "the kernel, and iptables installed?",
		    v4 ? "ip6tables-restore" : "iptables-restore");
		return;
	}
	a->has_sets =
	    c->fast_path_ms > 0 && apply(c, RULES_NFT_SETS, false, true);
	snprintf(a->text, sizeof(a->text), "iptables%s%s",
	    c->rules == NETD_RULES_AUTO
		? ", since nft has no queue expression here"
		: "",
	    c->fast_path_ms > 0 && !a->has_sets
		? "; no fast path, since nft has no sets here"
		: "");
}

static void
install(const struct netd_config *c, struct answer *a)
{
	*a = (struct answer){0};
	remove_all(c);
	if (c->rules != NETD_RULES_IPTABLES &&
	    apply(c, RULES_NFT, false, c->rules == NETD_RULES_AUTO)) {
		a->ok = true;
		a->has_sets = c->fast_path_ms > 0;
		snprintf(a->text, sizeof(a->text), "nft");
	} else if (c->rules != NETD_RULES_NFT) {
		install_iptables(c, a);
	} else {
		snprintf(a->text, sizeof(a->text),
		    "nft could not install the rules; a kernel without its "
		    "queue expression needs rules = iptables");
	}
}

/*
 * One keeper at a time works in a network namespace: that of a daemon which was
 * killed may still be taking its rules away when the next one begins. The name
 * is the namespace's own, and ends with the process.
 */
static bool
lock_rules(const struct netd_config *c)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1,
	    "weir-netd/keeper/%u", c->queue);
	socklen_t len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (bind(fd, (struct sockaddr *)&name, len) == 0)
			return true; /* held until the end */
		usleep(LOCK_WAIT_US);
	}
	return false;
}

NORETURN static void
keep(const struct netd_config *c, int fd)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	struct answer a;
	char byte;
	ssize_t n;

	/* The daemon's sockets must end with the daemon. */
	if (fd != KEEPER_FD) {
		if (dup2(fd, KEEPER_FD) < 0)
			_exit(1);
		fd = KEEPER_FD;
	}
	if (close_range(KEEPER_FD + 1, ~0U, 0) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		_exit(1);
	/* A signal to the whole group is for the daemon. */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	a = (struct answer){.text = "the rules of another weir-netd stand"};
	if (lock_rules(c))
		install(c, &a);
	if (write(fd, &a, sizeof(a)) != (ssize_t)sizeof(a) || !a.ok)
		_exit(1);
	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 || c->fail == NETD_FAIL_OPEN)
		remove_all(c);
	_exit(0);
}

/* ---- the daemon's side ---- */

static void
reap(struct keeper *k)
{
	int status;

	close(k->fd);
	while (waitpid(k->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	free(k);
}

struct keeper *
keeper_start(const struct netd_config *conf, char chosen[KEEPER_TEXT_MAX],
    bool *has_sets, char *err, size_t cap)
{
	struct keeper *k = xcalloc(1, sizeof(*k));
	struct answer a = {0};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    (k->pid = fork()) < 0) {
		snprintf(err, cap, "rules: %s", strerror(errno));
		free(k);
		return NULL;
	}
	if (k->pid == 0) {
		close(pair[0]);
		keep(conf, pair[1]);
	}
	close(pair[1]);
	k->fd = pair[0];
	if (read(k->fd, &a, sizeof(a)) != (ssize_t)sizeof(a) || !a.ok) {
		a.text[sizeof(a.text) - 1] = '\0';
		snprintf(err, cap, "rules: %s", a.text);
		reap(k);
		return NULL;
	}
	str_copy(str_from(a.text), chosen, KEEPER_TEXT_MAX);
	*has_sets = a.has_sets;
	return k;
}

void
keeper_stop(struct keeper *k)
{
	if (k == NULL)
		return;
	/* If it has gone, there is nobody to tell. */
	if (send(k->fd, "q", 1, MSG_NOSIGNAL) < 0)
		errno = 0;
	reap(k);
}
