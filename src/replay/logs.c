/* SPDX-License-Identifier: BSD-3-Clause */
/* See logs.h. Files are read in the order of their first lines, whatever their
 * names are. */
#include "replay/logs.h"

#include "os/clock.h"
#include "replay/input.h"
#include "smtp/address.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define START_MAX (256 * 1024) /* of a file, where its first time is sought */

struct file {
	const char *path;
	int64_t newest, first;
	size_t place; /* on the command line */
};

struct reading {
	const struct command_args *args;
	struct logs *out;
	struct feed *feed;
	struct join *join;
	struct buf start;
};

/* ---- which file comes first ---- */

static bool
on_start(void *arg, struct str piece, struct err *err)
{
	struct reading *r = arg;
	size_t room = buf_room(&r->start);

	(void)err;
	(void)!buf_append_str(&r->start, str_sub(piece, 0, room));
	return piece.n < room;
}

static int
find_first(struct reading *r, struct file *f, struct err *err)
{
	struct stat st;
	int status;

	f->newest = clock_wall_ms();
	f->first = INT64_MAX;
	if (strcmp(f->path, "-") == 0)
		return 0;
	if (stat(f->path, &st) == 0)
		f->newest = (int64_t)st.st_mtim.tv_sec * 1000;
	buf_reset(&r->start);
	status = input_read_pieces(f->path, on_start, r, err);
	if (status == 0 && !feed_first_time(buf_str(&r->start), f->newest,
			       r->args->year, &f->first))
		f->first = INT64_MAX;
	return status;
}

static int
by_first(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/* ---- reading ---- */

static bool
on_piece(void *arg, struct str piece, struct err *err)
{
	struct reading *r = arg;

	if (*r->args->stop != 0) {
		err_set(err, "interrupted");
		return false;
	}
	feed_push(r->feed, piece);
	return true;
}

static int
read_one(
    struct reading *r, const struct file *f, uint32_t number, struct err *err)
{
	bool is_stdin = strcmp(f->path, "-") == 0;
	int status;

	r->out->names[r->out->name_count++] =
	    is_stdin ? "standard input" : f->path;
	feed_begin(
	    r->feed, r->out->names[number], number, f->newest, r->args->year);
	status = is_stdin ? input_read_fd(STDIN_FILENO, "standard input",
				on_piece, r, err)
			  : input_read_pieces(f->path, on_piece, r, err);
	feed_end(r->feed);
	return status;
}

static int
read_files(struct reading *r, struct err *err)
{
	size_t n = r->args->file_count;
	struct file *files = xcalloc(n, sizeof(*files));
	int status = 0;

	for (size_t i = 0; i < n && status == 0; i++) {
		files[i] = (struct file){.path = r->args->files[i], .place = i};
		status = find_first(r, &files[i], err);
	}
	if (status == 0)
		qsort(files, n, sizeof(*files), by_first);
	for (size_t i = 0; i < n && status == 0; i++)
		status = read_one(r, &files[i], (uint32_t)i, err);
	free(files);
	if (status != 0 && *r->args->stop != 0)
		status = EX_TEMPFAIL;
	return status;
}

/* ---- the journal ---- */

static _Noreturn void
run_journalctl(int out)
{
	/* Mail servers log under facility 2. */
	static const char *const argv[] = {"journalctl", "--output=export",
	    "--no-pager", "--quiet", "SYSLOG_FACILITY=2", NULL};

	if (dup2(out, STDOUT_FILENO) >= 0)
		execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int
read_pipe(struct reading *r, int fd, struct err *err)
{
	int status;

	r->out->names[r->out->name_count++] = "the journal";
	feed_begin(r->feed, "the journal", 0, clock_wall_ms(), r->args->year);
	status = input_read_fd(fd, "the journal", on_piece, r, err);
	feed_end(r->feed);
	return status;
}

static int
read_journal(struct reading *r, struct err *err)
{
	int ends[2], status, left = 0;
	pid_t child;

	if (pipe(ends) != 0 || (child = fork()) < 0) {
		err_set(
		    err, "journalctl cannot be started: %s", strerror(errno));
		return EX_OSERR;
	}
	if (child == 0)
		run_journalctl(ends[1]);
	close(ends[1]);
	status = read_pipe(r, ends[0], err);
	close(ends[0]);
	if (status != 0)
		kill(child, SIGTERM);
	while (waitpid(child, &left, 0) < 0 && errno == EINTR)
		;
	if (status == 0 && (!WIFEXITED(left) || WEXITSTATUS(left) == 127)) {
		err_set(err, "journalctl could not be run; give a file made by "
			     "journalctl -o json");
		status = EX_UNAVAILABLE;
	}
	return *r->args->stop != 0 ? EX_TEMPFAIL : status;
}

/* ---- what is ours ---- */

static bool
add_networks(struct locals *l, const struct command_args *args, struct err *err)
{
	for (size_t i = 0; i < args->network_count; i++) {
		struct ip_net net;
		char shown[80];

		if (!ip_net_parse(str_from(args->networks[i]), &net)) {
			err_set(err,
			    "--my-networks: \"%s\" is not a network; write "
			    "192.0.2.0/24",
			    str_escape(str_from(args->networks[i]), shown,
				sizeof(shown)));
			return false;
		}
		locals_add_network(l, &net);
	}
	return true;
}

static bool
add_domain(struct logs *l, const char *domain, struct err *err)
{
	struct err why;

	if (!locals_add_domain(l->locals, str_from(domain), ERR_ROOM(&why))) {
		err_set(err, "--local-domains: %s", why.text);
		return false;
	}
	if (l->domain == NULL && strncmp(domain, "file:", 5) != 0)
		l->domain = xstrdup(domain);
	return true;
}

static int
make_locals(struct logs *l, const struct command_args *args,
    const struct setup *setup, struct err *err)
{
	const struct maild_config *c = setup->config;
	struct err why;

	l->locals =
	    locals_new((enum locals_source)c->inbound_source, smtp_address_key);
	for (size_t i = 0; i < c->relay.my_net_count; i++)
		locals_add_network(l->locals, &c->relay.my_nets[i]);
	if (!add_networks(l->locals, args, err))
		return EX_USAGE;
	for (size_t i = 0; i < args->domain_count; i++) {
		if (!add_domain(l, args->domains[i], err))
			return EX_USAGE;
	}
	for (size_t i = 0; args->domain_count == 0 && i < c->local_domains.n;
	     i++) {
		if (!add_domain(l, c->local_domains.v[i], err))
			return EX_CONFIG;
	}
	for (size_t i = 0; i < c->inbound_users.n; i++)
		(void)!locals_add_user(
		    l->locals, str_from(c->inbound_users.v[i]), ERR_ROOM(&why));
	if (c->gate.locals != NULL && !locals_local_is_internal(c->gate.locals))
		locals_clear_internal(l->locals);
	for (size_t i = 0; i < c->internal_domains.n; i++)
		(void)!locals_add_internal(l->locals,
		    str_from(c->internal_domains.v[i]), ERR_ROOM(&why));
	return 0;
}

/* ---- the whole ---- */

static int
check(const struct logs *l, struct err *err)
{
	const struct submissions_stats *s = &l->submissions.stats;
	const char *why;

	if (l->stats.format_count == 0 ||
	    (l->stats.uses[READER_USED] == 0 && l->submissions.count == 0 &&
		l->stats.formats[0]->empty == NULL)) {
		err_set(err,
		    "%s: no line of %" PRIu64
		    " has a log format that weir-replay knows (for Exchange: "
		    "MSGTRK*.LOG); see --format",
		    l->name_count == 1 ? l->names[0] : "the files",
		    l->stats.lines);
		return EX_DATAERR;
	}
	if (s->requests > 0)
		return 0;
	why = l->stats.formats[0]->empty;
	if (l->submissions.count > 0)
		err_set(err,
		    "no mail was sent by a login or from your networks, but "
		    "%" PRIu64
		    " messages from elsewhere; either this is the log of a "
		    "server for incoming mail, or --my-networks must list the "
		    "clients that send without a login",
		    s->incoming + s->passing);
	else
		err_set(err,
		    "no message with sender and recipient in %" PRIu64
		    " lines; %s",
		    l->stats.lines,
		    why != NULL ? why : "the log may begin or end within them");
	return EX_DATAERR;
}

static char *
any_domain(const struct submissions *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		struct str user = names_text(s->names,
		    s->v[i].user != 0 ? s->v[i].user : s->v[i].sender);
		size_t at = str_rindex(user, '@');

		if (at < user.n)
			return str_dup(str_sub(user, at + 1, user.n));
	}
	return xstrdup("stolen.test");
}

static int
finish(struct logs *l, const struct reader *format, struct err *err)
{
	/* Of the format that was asked for. */
	if (format != NULL && l->stats.uses[READER_USED] == 0 &&
	    l->submissions.count == 0 && l->stats.lines > 0) {
		err_set(err,
		    "%s: no line of %" PRIu64
		    " has the format of %s; without --format, weir-replay "
		    "detects the format",
		    l->name_count == 1 ? l->names[0] : "the files",
		    l->stats.lines, format->name);
		return EX_DATAERR;
	}
	if (!locals_has_domains(l->locals)) {
		l->has_guessed = true;
		(void)submissions_guess_domains(&l->submissions, l->locals);
	}
	if (l->domain == NULL)
		l->domain = any_domain(&l->submissions);
	submissions_finish(&l->submissions, l->locals);
	return check(l, err);
}

int
logs_read(struct logs *l, const struct command_args *args,
    const struct setup *setup, struct err *err)
{
	struct reading r = {.args = args, .out = l};
	struct join_settings join = {0};
	int status;

	*l = (struct logs){0};
	l->names = xcalloc(args->file_count + 1, sizeof(*l->names));
	submissions_init(&l->submissions);
	join.names = l->submissions.names;
	join.on_message = submissions_add;
	join.arg = &l->submissions;
	r.join = join_new(&join);
	r.feed = feed_new(args->format, r.join);
	buf_init(&r.start, START_MAX);
	status = make_locals(l, args, setup, err);
	if (status == 0)
		status =
		    args->journal ? read_journal(&r, err) : read_files(&r, err);
	join_end(r.join);
	l->stats = *feed_stats(r.feed);
	l->joined = *join_stats(r.join);
	if (status == 0)
		status = finish(l, args->format, err);
	buf_clear(&r.start);
	feed_free(r.feed);
	join_free(r.join);
	return status;
}

void
logs_clear(struct logs *l)
{
	submissions_clear(&l->submissions);
	locals_free(l->locals);
	free(l->domain);
	free(l->names);
}

/* ---- the table ---- */

void
logs_counts(const struct logs *l,
    void (*fn)(void *arg, const char *what, uint64_t n), void *arg)
{
	const struct feed_stats *s = &l->stats;
	const struct submissions_stats *m = &l->submissions.stats;
	const struct {
		const char *what;
		uint64_t n;
	} others[] = {
	    {"  of these longer than 1 MiB", s->too_long},
	    {"lines dated an hour before the line above", s->backwards},
	    {"lines of messages from before the log", l->joined.orphans},
	    {"messages by logins and our networks", m->requests},
	    {"messages from outside to us", m->incoming},
	    {"messages from outside to outside, left out", m->passing},
	    {"messages handed back by a content filter", l->joined.hops},
	    {"messages in two files, counted once", m->doubles},
	    {"messages without a recipient, left out", l->joined.nameless},
	    {"messages with only some recipients", l->joined.partial},
	    {"messages split too early: too many at once", l->joined.evicted},
	    {"recipients past the bounds, left out", l->joined.dropped},
	    {"messages past the bounds, left out", m->full},
	};

	fn(arg, "lines read", s->lines);
	for (int i = 0; i < READER_USES; i++) {
		if (s->uses[i] > 0)
			fn(arg, reader_use_name[i], s->uses[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (others[i].n > 0)
			fn(arg, others[i].what, others[i].n);
	}
}

static void
print_count(void *arg, const char *what, uint64_t n)
{
	(void)arg;
	printf("  %-48s %12" PRIu64 "\n", what, n);
}

void
logs_print(const struct logs *l)
{
	const struct feed_stats *s = &l->stats;

	printf("\nThe log\n");
	logs_counts(l, print_count, NULL);
	if (s->sample_count > 0)
		printf("  Not understood, for example\n");
	for (size_t i = 0; i < s->sample_count; i++)
		printf("    %s\n", s->samples[i]);
	for (size_t i = 0; i < s->format_count; i++)
		printf("  A log of %s does not show: %s.\n",
		    s->formats[i]->name, s->formats[i]->cannot);
}
