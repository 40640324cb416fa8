/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By the form alone: no signature can be checked here. What a forger gains by
 * a false form is that addresses of that form count as one, and they are no
 * mailboxes of people.
 */
#include "base/reverse_path.h"

#include "base/mailbox.h"

#include <string.h>

/* Words that begin the addresses which automata make for their bounces. */
static const struct str machines[] = {
    STR("bounce"), STR("bounces"), STR("return"), STR("returns")};

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Behind "prvs=1234abcdef=": s itself where it does not begin so. */
static struct str
without_tag(struct str s, struct str begin, struct str end)
{
	struct str rest;

	if (!str_istarts(s, begin))
		return s;
	rest = str_sub(s, begin.n, s.n);
	for (size_t i = 1; i + end.n < rest.n; i++) {
		if (str_starts(str_sub(rest, i, rest.n), end))
			return str_sub(rest, i + end.n, rest.n);
	}
	return s;
}

static struct str
without_batv(struct str local)
{
	struct str s = without_tag(local, STR("prvs="), STR("="));

	if (s.n == local.n)
		s = without_tag(local, STR("msprvs1="), STR("="));
	if (s.n == local.n)
		s = without_tag(local, STR("btv1=="), STR("=="));
	return s;
}

/* SRS0=hash=tt=domain=local and SRS1=hash=domain==hash=tt=domain=local, the
 * first separator being one of "=+-". */
static bool
is_srs(struct str local)
{
	size_t equals = 0;

	if (!str_istarts(local, STR("srs0")) &&
	    !str_istarts(local, STR("srs1")))
		return false;
	if (local.n < 6 || !is_one_of(local.p[4], "=+-"))
		return false;
	for (size_t i = 5; i < local.n; i++)
		equals += local.p[i] == '=';
	return equals >= 3;
}

/* Bytes of "bounce" where one of the words is followed by a separator. */
static size_t
machine_length(struct str local)
{
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		size_t n = machines[i].n;

		if (local.n > n && str_istarts(local, machines[i]) &&
		    is_one_of(local.p[n], "-+=._"))
			return n;
	}
	return 0;
}

/* Index of "-17-" in the first n bytes; n: there is none. */
static size_t
numbered(struct str s, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		size_t k = i + 1;

		if (s.p[i] != '-')
			continue;
		while (k < n && s.p[k] >= '0' && s.p[k] <= '9')
			k++;
		if (k > i + 1 && k < n && s.p[k] == '-')
			return i;
	}
	return n;
}

/* What stands in front of "bob=example.net". */
static struct str
before_recipient(struct str local, size_t equals)
{
	struct str head = str_sub(local, 0, equals);
	size_t plus = str_index(head, '+');
	size_t at = numbered(head, plus);

	if (at == plus && (plus == 0 || plus == head.n))
		at = str_index(head, '-');
	if (at == 0 || at == head.n) /* nothing: the domain's one automaton */
		return str_sub(local, equals, 1);
	return str_sub(head, 0, at);
}

static struct str
base_of(struct str local)
{
	size_t equals, plus;

	local = without_batv(local);
	if (is_srs(local))
		return str_sub(local, 0, 4);
	if (machine_length(local) > 0)
		return str_sub(local, 0, machine_length(local));
	equals = str_rindex(local, '=');
	if (equals < local.n &&
	    str_index(str_sub(local, equals, local.n), '.') < local.n - equals)
		return before_recipient(local, equals);
	plus = str_index(local, '+');
	return plus > 0 ? str_sub(local, 0, plus) : local;
}

struct str
reverse_path_base(struct str address, char out[REVERSE_PATH_MAX])
{
	size_t at = str_rindex(address, '@');
	struct str local, domain;

	if (at == address.n || at == 0 || address.p[0] == '"' ||
	    mailbox_is_indirect(address))
		return address;
	local = base_of(str_sub(address, 0, at));
	domain = str_sub(address, at, address.n);
	if (local.n + domain.n > REVERSE_PATH_MAX)
		return address;
	memcpy(out, local.p, local.n);
	memcpy(out + local.n, domain.p, domain.n);
	return (struct str){out, local.n + domain.n};
}
