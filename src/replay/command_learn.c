/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-replay learn: whom each sender wrote to and when last, out of logs; or,
 * with --anonymise, the mail itself as numbers (trace.h).
 */
#include "base/hash.h"
#include "base/map.h"
#include "base/units.h"
#include "replay/command.h"
#include "replay/logs.h"
#include "replay/setup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* ---- acquaintances ---- */

struct pair {
	uint32_t sender, recipient;
	int64_t last; /* wall ms */
};

struct pairs {
	struct map *at; /* index and one, by both ids */
	struct pair *v;
	size_t n, cap;
};

static void
note_pair(struct pairs *p, uint32_t sender, uint32_t recipient, int64_t at)
{
	uint32_t ids[2] = {sender, recipient};
	struct str key = {(const char *)ids, sizeof(ids)};
	uintptr_t known = (uintptr_t)map_find(p->at, key);

	if (known > 0) {
		p->v[known - 1].last = at;
		return;
	}
	if (p->n == p->cap) {
		p->cap = p->cap > 0 ? p->cap * 2 : 1024;
		p->v = xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n++] = (struct pair){sender, recipient, at};
	map_set(p->at, key, (void *)(uintptr_t)p->n);
}

/* A blank or a control character would be another column, or line. */
static bool
is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ')
			return false;
	}
	return s.n > 0 && str_is_shown(s);
}

/* As weirctl names it: a login, or a client's address. */
static struct str
source_name(const struct names *names, uint32_t id)
{
	struct str s = names_text(names, id);

	return s.n > 2 && s.p[0] == '[' ? str_sub(s, 1, s.n - 2) : s;
}

static uint64_t
print_pairs(const struct pairs *p, const struct names *names)
{
	uint64_t left_out = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct str sender = source_name(names, p->v[i].sender);
		struct str to = names_text(names, p->v[i].recipient);
		char at[UNITS_TEXT_MAX];

		if (!is_word(sender) || !is_word(to)) {
			left_out++;
			continue;
		}
		printf("%.*s %.*s %s\n", STR_ARG(sender), STR_ARG(to),
		    units_format_time(p->v[i].last, at));
	}
	return left_out;
}

/* Those of logins and clients; a machine's own programs are nobody's. */
static uint64_t
print_acquaintances(const struct submissions *s)
{
	const struct trace *t = &s->trace;
	struct pairs pairs = {.at = map_new()};
	uint64_t left_out;

	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];
		const struct submission *sent = &s->v[s->of[i]];

		if (sent->comes_in || (sent->user == 0 && !sent->has_client))
			continue;
		for (uint32_t k = 0; k < m->count; k++)
			note_pair(&pairs, m->sender,
			    t->recipients[m->first + k], sent->at);
	}
	left_out = print_pairs(&pairs, s->names);
	map_free(pairs.at, NULL);
	free(pairs.v);
	return left_out;
}

/* ---- numbers instead of names ---- */

struct rank {
	uint64_t hash;
	uint32_t id;
};

static int
by_hash(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/* Numbers in the order of a hash whose key nobody has: the order in which names
 * came, or theirs in the alphabet, would tell something. By id; heap. */
static uint32_t *
make_numbers(const struct names *names)
{
	uint32_t count = names_count(names);
	struct rank *ranks = xcalloc(count + 1, sizeof(*ranks));
	uint32_t *numbers = xcalloc(count + 1, sizeof(*numbers));
	uint64_t key = hash_random_seed();

	for (uint32_t id = 1; id <= count; id++)
		ranks[id - 1] =
		    (struct rank){hash_str(names_text(names, id), key), id};
	if (count > 0)
		qsort(ranks, count, sizeof(*ranks), by_hash);
	for (uint32_t i = 0; i < count; i++)
		numbers[ranks[i].id] = i + 1;
	free(ranks);
	return numbers;
}

static void
print_trace(const struct trace *t, const uint32_t *numbers)
{
	for (uint32_t i = 0; i < t->message_count; i++) {
		const struct trace_message *m = &t->messages[i];

		printf("%" PRIu32 " %" PRIu32, m->seconds, numbers[m->sender]);
		for (uint32_t k = 0; k < m->count; k++)
			printf(
			    " %" PRIu32, numbers[t->recipients[m->first + k]]);
		putchar('\n');
	}
}

/* Domains are numbered as they come in the order of numbers. */
static bool
write_nodes(const struct submissions *s, const uint32_t *numbers, FILE *out)
{
	uint32_t count = names_count(s->names);
	uint32_t *ids = xcalloc(count + 1, sizeof(*ids));
	uint32_t *domains = xcalloc(count + 1, sizeof(*domains));
	uint32_t domain_count = 0;

	for (uint32_t id = 1; id <= count; id++)
		ids[numbers[id]] = id;
	for (uint32_t number = 1; number <= count; number++) {
		struct trace_node n = trace_node(&s->nodes, ids[number]);

		if (n.domain > 0 && domains[n.domain] == 0)
			domains[n.domain] = ++domain_count;
		fprintf(out, "%" PRIu32 " %d %d %" PRIu32 "\n", number,
		    n.is_user, n.is_internal,
		    n.domain > 0 ? domains[n.domain] : 0);
	}
	free(ids);
	free(domains);
	return fflush(out) == 0 && !ferror(out);
}

static int
anonymise(const struct command_args *args, const struct submissions *s,
    struct err *err)
{
	uint32_t *numbers = make_numbers(s->names);
	FILE *nodes = fopen(args->nodes, "w");
	int status = 0;

	if (nodes == NULL) {
		err_set(err, "%s: cannot be written", args->nodes);
		status = EX_CANTCREAT;
	} else {
		print_trace(&s->trace, numbers);
		if (!write_nodes(s, numbers, nodes)) {
			err_set(err, "%s: cannot be written", args->nodes);
			status = EX_IOERR;
		}
		(void)fclose(nodes);
	}
	free(numbers);
	return status;
}

/* ---- the command ---- */

static int
print(const struct command_args *args, const struct logs *l, struct err *err)
{
	int status = 0;
	uint64_t left_out;

	if (args->anonymise) {
		status = anonymise(args, &l->submissions, err);
	} else {
		left_out = print_acquaintances(&l->submissions);
		if (left_out > 0)
			fprintf(stderr,
			    "weir-replay: %" PRIu64 " pairs left out: a blank "
			    "or a control character is in an address\n",
			    left_out);
	}
	if (status == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
		err_set(err, "the list cannot be written");
		status = EX_IOERR;
	}
	return status;
}

int
command_learn(const struct command_args *args, struct err *err)
{
	struct logs l = {0};
	struct setup setup;
	int status = setup_load(&setup, args->config, NULL, err);

	if (status == 0)
		status = logs_read(&l, args, &setup, err);
	if (status == 0)
		status = print(args, &l, err);
	logs_clear(&l);
	setup_clear(&setup);
	return status;
}
