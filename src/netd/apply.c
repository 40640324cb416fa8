/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Programs read their text from a memfd and write theirs to another, so none
 * can block on the other. The order of a change: sets, rules that look into
 * them, then what is no longer needed; so there is no moment without rules
 * where there were some.
 */
#include "netd/apply.h"

#include "nfq/nfgen.h"
#include "os/clock.h"
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

#define LOOK_MS 5000          /* between looks that cost programs */
#define SAVED_MAX (16u << 20) /* all rules of the site */

extern char **environ;

#define ARGS_MAX 6
#define OUR_CHAINS "WEIR-" /* begin so */
/* For another program that has the lock of iptables for a moment. */
#define WAIT "--wait=10"

struct program {
	const char *argv[ARGS_MAX]; /* reads a part */
	const char *save;           /* prints what there is; or */
	const char *const *list;    /* succeeds while it is there */
};

/* Without what is in its sets. */
static const char *const list_nft[ARGS_MAX] = {
    "nft", "-t", "list", "table", "inet", RULES_TABLE};
static const char *const list_ipset[ARGS_MAX] = {
    "ipset", "list", "-n", RULES_IPSET4};

static const struct program programs[] = {
    [RULES_NFT] = {.argv = {"nft", "-f", "-"}, .list = list_nft},
    [RULES_NFT_SETS] = {.argv = {"nft", "-f", "-"}, .list = list_nft},
    [RULES_IPTABLES] = {.argv = {"iptables-restore", "--noflush", WAIT},
	.save = "iptables-save"},
    [RULES_IP6TABLES] = {.argv = {"ip6tables-restore", "--noflush", WAIT},
	.save = "ip6tables-save"},
    [RULES_IPSETS] = {.argv = {"ipset", "-exist", "restore"},
	.list = list_ipset},
};

/* argv: ARGS_MAX of them. fds: -1 for /dev/null. False: it is not there, or has
 * failed. */
static bool
spawn(const char *const argv[], int input, int output, bool quiet)
{
	posix_spawn_file_actions_t actions;
	char *args[ARGS_MAX + 1] = {NULL};
	int status = 0, error;
	pid_t pid;

	for (size_t i = 0; i < ARGS_MAX && argv[i] != NULL; i++)
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

/* What the program prints; empty if it fails. */
static void
read_output(const char *const argv[], struct buf *out)
{
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

/* What there is of this family. */
static void
read_saved(const struct program *program, struct buf *out)
{
	const char *const argv[ARGS_MAX] = {program->save};

	read_output(argv, out);
}

static bool
has(struct str text, const char *what)
{
	return memmem(text.p, text.n, what, strlen(what)) != NULL;
}

/* A line of -S or iptables-save: a rule that is none of ours. */
static bool
is_of_others(struct str line)
{
	return str_starts(line, STR("-A ")) && !has(line, OUR_CHAINS);
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
apply(const struct netd_config *c, enum rules_part part,
    const struct rules_how *how, bool quiet)
{
	const struct program *program = &programs[part];
	struct buf text, saved;
	bool ok;

	buf_init(&text, RULES_TEXT_MAX);
	buf_init(&saved, SAVED_MAX);
	if (program->save != NULL)
		read_saved(program, &saved);
	ok = c != NULL ? rules_print(c, part, how, buf_str(&saved), &text)
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
	(void)apply(NULL, part, NULL, true);
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

/* ---- the other iptables ---- */

/* Rules that were made while iptables was the other of its two kinds: with the
 * first start, or by a daemon that was killed before it was changed. */
struct other {
	struct program program;
	enum rules_part part;
	const char *tables; /* says which tables are in use; NULL: no matter */
};

static const struct other others[] = {
    {{.argv = {"iptables-legacy-restore", "--noflush", WAIT},
	 .save = "iptables-legacy-save"},
	RULES_IPTABLES, "/proc/net/ip_tables_names"},
    {{.argv = {"ip6tables-legacy-restore", "--noflush", WAIT},
	 .save = "ip6tables-legacy-save"},
	RULES_IP6TABLES, "/proc/net/ip6_tables_names"},
    {{.argv = {"iptables-nft-restore", "--noflush"},
	 .save = "iptables-nft-save"},
	RULES_IPTABLES, NULL},
    {{.argv = {"ip6tables-nft-restore", "--noflush"},
	 .save = "ip6tables-nft-save"},
	RULES_IP6TABLES, NULL},
};

/* Which of the two iptables is. */
static bool
is_legacy(void)
{
	static const char *const argv[ARGS_MAX] = {"iptables", "--version"};
	struct buf text;
	bool legacy;

	buf_init(&text, 4096);
	read_output(argv, &text);
	legacy = !has(buf_str(&text), "nf_tables");
	buf_clear(&text);
	return legacy;
}

/* To ask for a table loads its module: only for what is in use. */
static bool
is_in_use(const char *tables)
{
	struct buf text;
	bool used = tables == NULL;

	if (used)
		return true;
	buf_init(&text, 4096);
	if (file_read(tables, 4096, &text) == 0)
		used = buf_str(&text).n > 0;
	buf_clear(&text);
	return used;
}

static bool
remove_other(const struct other *o)
{
	struct buf text, saved;
	bool gone = true;

	if (!is_in_use(o->tables))
		return true;
	buf_init(&text, RULES_TEXT_MAX);
	buf_init(&saved, SAVED_MAX);
	read_saved(&o->program, &saved);
	if (rules_print_removal(o->part, buf_str(&saved), &text) &&
	    buf_str(&text).n > 0)
		gone = feed(&o->program, buf_str(&text), true);
	buf_clear(&text);
	buf_clear(&saved);
	return gone;
}

/* With the kind that made ours left alone. */
static bool
remove_others(bool all)
{
	bool legacy = is_legacy(), gone = true;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (all || (others[i].tables != NULL) != legacy)
			gone = remove_other(&others[i]) && gone;
	}
	return gone;
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
	return remove_others(true) && gone;
}

/* iptables' rules with one kind of sets. */
static bool
install_iptables(
    const struct netd_config *c, const struct rules_how *how, bool quiet)
{
	if (how->fast == RULES_FAST_IPSET &&
	    !apply(c, RULES_IPSETS, how, quiet))
		return false;
	if (how->fast == RULES_FAST_NFT &&
	    !apply(c, RULES_NFT_SETS, how, quiet))
		return false;
	if (!apply(c, RULES_IPTABLES, how, quiet) ||
	    !apply(c, RULES_IP6TABLES, how, quiet))
		return false;
	if (how->fast != RULES_FAST_IPSET)
		take_away(RULES_IPSETS);
	if (how->fast != RULES_FAST_NFT)
		take_away(RULES_NFT);
	return true;
}

/* Does the table security serve this family, and has nobody else rules in it?
 * What ours accept would skip those (SELinux's labels), and a label that
 * accepts would pass ours by. NULL: yes; or why not. */
static const char *
refuse_security(const char *program)
{
	const char *const argv[ARGS_MAX] = {
	    program, WAIT, "-t", "security", "-S"};
	const char *why = NULL;
	struct buf text;
	struct str rest;

	buf_init(&text, SAVED_MAX);
	read_output(argv, &text);
	rest = buf_str(&text);
	if (rest.n == 0)
		why = "the kernel has no table security";
	while (rest.n > 0) {
		if (is_of_others(str_cut(&rest, '\n')))
			why = "others have rules in the table security";
	}
	buf_clear(&text);
	return why;
}

/* Takes the table that is wanted, or the one that can be had. */
static enum rules_table
choose_table(const struct netd_config *c, const char **why)
{
	enum rules_table table = rules_wanted_table(c);

	*why = NULL;
	if (table == RULES_IN_SECURITY)
		*why = refuse_security("iptables");
	if (table == RULES_IN_SECURITY && *why == NULL)
		*why = refuse_security("ip6tables");
	return *why != NULL ? RULES_IN_MANGLE : table;
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

/* Each of the sets, first with all that a rule may use. */
static bool
install_any(const struct netd_config *c, struct rules_how *how)
{
	enum rules_fast choice[3];
	size_t n = choose_sets(c, choice);

	for (size_t i = 0; i < 2 * n; i++) {
		how->fast = choice[i % n];
		how->plain = i >= n;
		if (install_iptables(c, how, i + 1 < 2 * n))
			return true;
	}
	return false;
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
	const char *why = c->rules != NETD_RULES_AUTO ? ""
			  : c->bridge ? ", for the ports of a bridge"
			  : c->fast_path_set == NETD_SET_IPSET
			      ? ", for ipset"
			      : ", since nft cannot queue packets here";
	const char *why_mangle;

	r->uses_iptables = true;
	r->how.table = choose_table(c, &why_mangle);
	r->repeats = r->how.table == RULES_IN_MANGLE;
	if (!install_any(c, &r->how))
		return false;
	snprintf(r->text, sizeof(r->text), "iptables%s%s%s%s%s%s", why,
	    why_mangle != NULL ? "; in mangle, since " : "",
	    why_mangle != NULL ? why_mangle : "",
	    c->fast_path_ms > 0 ? "; " : "",
	    c->fast_path_ms > 0 ? sets[r->how.fast] : "",
	    r->how.plain ? "; broadcasts of a network are seen, since the "
			   "kernel has no match addrtype"
			 : "");
	return true;
}

static bool
try_nft(const struct netd_config *c, struct apply_result *r)
{
	r->how = (struct rules_how){
	    .fast = c->fast_path_ms > 0 ? RULES_FAST_NFT : RULES_FAST_NONE,
	    .table = rules_wanted_table(c),
	};
	/* Its chains are its own: what they accept goes on to all others. */
	r->uses_iptables = r->repeats = false;
	if (r->how.fast != RULES_FAST_NONE &&
	    c->fast_path_set == NETD_SET_IPSET)
		return false;
	if (!apply(c, RULES_NFT, &r->how, true)) {
		r->how.plain = true;
		if (!apply(c, RULES_NFT, &r->how, c->rules == NETD_RULES_AUTO))
			return false;
	}
	take_away(RULES_IPTABLES);
	take_away(RULES_IP6TABLES);
	take_away(RULES_IPSETS);
	snprintf(r->text, sizeof(r->text), "nft%s",
	    c->fast_path_ms > 0 ? "; fast path by nft sets" : "");
	return true;
}

/* ---- what was made, and whether it is still there ---- */

/* alone: the rules of others in the table security as well. */
static bool
put_ours(struct buf *out, enum rules_part part, bool alone)
{
	bool in_security = false;
	struct buf saved;
	struct str rest;
	bool ok = true;

	buf_init(&saved, SAVED_MAX);
	read_saved(&programs[part], &saved);
	rest = buf_str(&saved);
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');

		if (str_starts(line, STR("*")))
			in_security = str_eq(line, STR("*security"));
		if (has(line, OUR_CHAINS) ||
		    (alone && in_security && is_of_others(line)))
			ok = ok && buf_append_str(out, line) &&
			     buf_append(out, "\n", 1);
	}
	buf_clear(&saved);
	return ok;
}

/* NULL: more than there should be. */
static char *
read_ours(const struct apply_watch *w)
{
	struct buf out;
	bool ok = true;

	buf_init(&out, RULES_TEXT_MAX);
	if (w->has_iptables)
		ok = put_ours(&out, RULES_IPTABLES, w->is_alone) &&
		     put_ours(&out, RULES_IP6TABLES, w->is_alone);
	if (ok && w->has_nft)
		read_output(programs[RULES_NFT].list, &out);
	if (ok && w->has_ipset && is_there(RULES_IPSETS))
		ok = buf_append_str(&out, STR("ipset\n"));
	if (ok)
		return buf_take(&out);
	buf_clear(&out);
	return NULL;
}

void
apply_watch_begin(struct apply_watch *w, const struct netd_config *c,
    const struct apply_result *result)
{
	free(w->text);
	*w = (struct apply_watch){
	    .has_iptables = result->uses_iptables,
	    .has_nft =
		!result->uses_iptables || result->how.fast == RULES_FAST_NFT,
	    .has_ipset = result->how.fast == RULES_FAST_IPSET,
	    .is_alone = result->how.table == RULES_IN_SECURITY,
	};
	if (c->rules_watch_ms == 0)
		return;
	w->is_counted =
	    !(w->has_iptables && is_legacy()) && nfgen_read(&w->generation);
	w->text = read_ours(w);
	w->looked_at = clock_mono_ms();
}

/*
 * The number is read before the look: a change in between is seen at the next.
 * Where it changes all the time (elements of nft's sets) or does not tell, a
 * look each few seconds has to do.
 */
bool
apply_look(struct apply_watch *w, int64_t now)
{
	uint32_t generation = w->generation;
	bool is_same;
	char *text;

	if (w->is_counted && nfgen_read(&generation) &&
	    generation == w->generation)
		return true;
	if ((!w->is_counted || w->has_nft) && now - w->looked_at < LOOK_MS)
		return true;
	text = read_ours(w);
	is_same = text != NULL && w->text != NULL && strcmp(text, w->text) == 0;
	free(text);
	w->generation = generation;
	w->looked_at = now;
	return is_same;
}

bool
apply_install(const struct netd_config *c, struct apply_result *r)
{
	bool nft = c->rules != NETD_RULES_IPTABLES && !c->bridge;

	*r = (struct apply_result){.repeats = false};
	if ((nft && try_nft(c, r)) ||
	    (c->rules != NETD_RULES_NFT && try_iptables(c, r))) {
		(void)remove_others(false);
		return true;
	}
	(void)apply_remove();
	snprintf(r->text, sizeof(r->text),
	    c->rules == NETD_RULES_NFT
		? "nft could not install the rules; a kernel without its "
		  "queue expression needs rules = iptables"
		: "iptables-restore could not install the rules; is the "
		  "NFQUEUE target in the kernel, and iptables installed?");
	return false;
}
