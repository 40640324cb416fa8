/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs read their text from a memfd and write theirs to another, so none
 * can block on the other. The order of a change: sets, rules that look into
 * them, then what is no longer needed; so there is no moment without rules
 * where there were some.
 */
#include "netd/apply.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAVED_MAX (16u << 20) /* all rules of the site */

extern char **environ;

struct program {
	const char *argv[5]; /* reads a part */
	const char *save;    /* prints what there is; NULL: not needed */
	const char
	    *list[5]; /* succeeds while it is there; where save is NULL */
};

#define LIST_NFT                                            \
	{                                                   \
		"nft", "list", "table", "inet", RULES_TABLE \
	}

static const struct program programs[] = {
    [RULES_NFT] = {{"nft", "-f", "-"}, NULL, LIST_NFT},
    [RULES_NFT_SETS] = {{"nft", "-f", "-"}, NULL, LIST_NFT},
    [RULES_IPTABLES] = {{"iptables-restore", "--noflush"}, "iptables-save",
	{NULL}},
    [RULES_IP6TABLES] = {{"ip6tables-restore", "--noflush"}, "ip6tables-save",
	{NULL}},
    [RULES_IPSETS] = {{"ipset", "-exist", "restore"}, NULL,
	{"ipset", "list", "-n", RULES_IPSET4}},
};

/* fds: -1 for /dev/null. False: it is not there, or has failed. */
static bool
spawn(const char *const argv[], int input, int output, bool quiet)
{
	posix_spawn_file_actions_t actions;
	char *args[ARRAY_LEN(programs[0].list) + 1] = {NULL};
	int status = 0, error;
	pid_t pid;

	for (size_t i = 0; i < ARRAY_LEN(args) - 1 && argv[i] != NULL; i++)
		args[i] = xstrdup(argv[i]);
	posix_spawn_file_actions_init(&actions);
	if (input >= 0)
		posix_spawn_file_actions_adddup2(&actions, input, 0);
	if (output >= 0)
		posix_spawn_file_actions_adddup2(&actions, output, 1);
	else
		posix_spawn_file_actions_addopen(
		    &actions, 1, "/dev/null", O_WRONLY, 0);
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

/* What there is of this family; empty if that cannot be told. */
static void
read_saved(const struct program *program, struct buf *out)
{
	const char *const argv[] = {program->save, NULL};
	int fd = memfd_create("weir-saved", MFD_CLOEXEC);
	char part[4096];
	ssize_t n;

	if (fd < 0)
		return;
	if (spawn(argv, -1, fd, true) && lseek(fd, 0, SEEK_SET) == 0) {
		while ((n = read(fd, part, sizeof(part))) > 0) {
			if (!buf_append(out, part, (size_t)n))
				break;
		}
	}
	close(fd);
}

static bool
feed(const struct program *program, struct str text, bool quiet)
{
	int fd = memfd_create("weir-rules", MFD_CLOEXEC);
	bool ok = fd >= 0 && file_write_all(fd, text.p, text.n) == 0 &&
		  lseek(fd, 0, SEEK_SET) == 0 &&
		  spawn(program->argv, fd, -1, quiet);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* c NULL: takes the part away. */
static bool
apply(const struct netd_config *c, enum rules_part part, enum rules_fast fast,
    bool quiet)
{
	const struct program *program = &programs[part];
	struct buf text, saved;
	bool ok;

	buf_init(&text, RULES_TEXT_MAX);
	buf_init(&saved, SAVED_MAX);
	if (program->save != NULL)
		read_saved(program, &saved);
	ok = c != NULL ? rules_print(c, part, fast, buf_str(&saved), &text)
		       : rules_print_removal(part, buf_str(&saved), &text);
	if (ok && buf_str(&text).n > 0)
		ok = feed(program, buf_str(&text), quiet);
	buf_clear(&text);
	buf_clear(&saved);
	return ok;
}

static void
take_away(enum rules_part part)
{
	(void)apply(NULL, part, RULES_FAST_NONE, true);
}

static bool
is_there(enum rules_part part)
{
	const struct program *program = &programs[part];
	struct buf text, saved;
	bool there = true;

	if (program->save == NULL)
		return spawn(program->list, -1, -1, true);
	buf_init(&text, RULES_TEXT_MAX);
	buf_init(&saved, SAVED_MAX);
	read_saved(program, &saved);
	if (rules_print_removal(part, buf_str(&saved), &text))
		there = buf_str(&text).n > 0;
	buf_clear(&text);
	buf_clear(&saved);
	return there;
}

bool
apply_remove(void)
{
	static const enum rules_part parts[] = {
	    RULES_NFT, RULES_IPTABLES, RULES_IP6TABLES, RULES_IPSETS};
	bool gone = true;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		take_away(parts[i]);
		gone = !is_there(parts[i]) && gone;
	}
	return gone;
}

/* iptables' rules with one kind of sets. */
static bool
install_iptables(const struct netd_config *c, enum rules_fast fast, bool quiet)
{
	if (fast == RULES_FAST_IPSET && !apply(c, RULES_IPSETS, fast, quiet))
		return false;
	if (fast == RULES_FAST_NFT && !apply(c, RULES_NFT_SETS, fast, quiet))
		return false;
	if (!apply(c, RULES_IPTABLES, fast, quiet) ||
	    !apply(c, RULES_IP6TABLES, fast, quiet))
		return false;
	if (fast != RULES_FAST_IPSET)
		take_away(RULES_IPSETS);
	if (fast != RULES_FAST_NFT)
		take_away(RULES_NFT);
	return true;
}

/* Sets that may be tried, the best first; how many. */
static size_t
choose_sets(const struct netd_config *c, enum rules_fast out[3])
{
	size_t n = 0;

	if (c->fast_path_ms > 0 && c->fast_path_set != NETD_SET_NFT)
		out[n++] = RULES_FAST_IPSET;
	if (c->fast_path_ms > 0 && c->fast_path_set != NETD_SET_IPSET)
		out[n++] = RULES_FAST_NFT;
	out[n++] = RULES_FAST_NONE;
	return n;
}

static bool
try_iptables(const struct netd_config *c, struct apply_result *r)
{
	static const char *const sets[] = {
	    [RULES_FAST_NONE] = "no fast path: neither ipset nor nft has the "
				"sets for it here",
	    [RULES_FAST_NFT] = "fast path by nft sets",
	    [RULES_FAST_IPSET] = "fast path by ipset",
	};
	enum rules_fast choice[3];
	size_t n = choose_sets(c, choice);
	const char *why = c->rules != NETD_RULES_AUTO ? ""
			  : c->fast_path_set == NETD_SET_IPSET
			      ? ", for ipset"
			      : ", since nft cannot queue packets here";

	for (size_t i = 0; i < n; i++) {
		r->fast = choice[i];
		if (!install_iptables(c, r->fast, i + 1 < n))
			continue;
		snprintf(r->text, sizeof(r->text), "iptables%s%s%s", why,
		    c->fast_path_ms > 0 ? "; " : "",
		    c->fast_path_ms > 0 ? sets[r->fast] : "");
		return true;
	}
	return false;
}

static bool
try_nft(const struct netd_config *c, struct apply_result *r)
{
	r->fast = c->fast_path_ms > 0 ? RULES_FAST_NFT : RULES_FAST_NONE;
	if (r->fast != RULES_FAST_NONE && c->fast_path_set == NETD_SET_IPSET)
		return false;
	if (!apply(c, RULES_NFT, r->fast, c->rules == NETD_RULES_AUTO))
		return false;
	take_away(RULES_IPTABLES);
	take_away(RULES_IP6TABLES);
	take_away(RULES_IPSETS);
	snprintf(r->text, sizeof(r->text), "nft%s",
	    c->fast_path_ms > 0 ? "; fast path by nft sets" : "");
	return true;
}

bool
apply_install(const struct netd_config *c, struct apply_result *r)
{
	*r = (struct apply_result){.fast = RULES_FAST_NONE};
	if (c->rules != NETD_RULES_IPTABLES && try_nft(c, r))
		return true;
	if (c->rules != NETD_RULES_NFT && try_iptables(c, r))
		return true;
	(void)apply_remove();
	snprintf(r->text, sizeof(r->text),
	    c->rules == NETD_RULES_NFT
		? "nft could not install the rules; a kernel without its "
		  "queue expression needs rules = iptables"
		: "iptables-restore could not install the rules; is the "
		  "NFQUEUE target in the kernel, and iptables installed?");
	return false;
}
