/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is learnt from incoming mail, measured: bytes by its own account and by
 * malloc's, and the time of one mail in and of one look.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "gate/inbound.h"

static const struct inbound_rules rules = {
    .set = 256, .expiry_ms = INT64_C(30) * 86400 * 1000};

static size_t
allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct str
user_name(char out[64], unsigned i)
{
	int n = snprintf(out, 64, "user%06u@example.org", i);

	return (struct str){out, (size_t)n};
}

static void
measure(unsigned users, unsigned addresses)
{
	struct inbound *in = inbound_new(SIZE_MAX);
	size_t before = allocated(), known = 0;
	double total = (double)users * addresses, begin = seconds(), end;
	struct inbound_stats stats;
	char name[64];

	for (unsigned a = 0; a < addresses; a++) {
		for (unsigned i = 0; i < users; i++)
			inbound_learn(in, user_name(name, i),
			    a * UINT64_C(0x9e3779b97f4a7c15), &rules, 0);
	}
	end = seconds();
	inbound_stats(in, &stats);
	printf("%u users x %u: %.0f bytes each by its account, %.0f by "
	       "malloc's; learn %.0f ns",
	    users, addresses, (double)stats.bytes / users,
	    (double)(allocated() - before) / users,
	    (end - begin) * 1e9 / total);
	begin = seconds();
	for (unsigned a = 0; a < addresses; a++) {
		for (unsigned i = 0; i < users; i++)
			known += inbound_knows(in, user_name(name, i),
			    a * UINT64_C(0x9e3779b97f4a7c15), rules.expiry_ms,
			    0);
	}
	printf(", look %.0f ns\n", (seconds() - begin) * 1e9 / (double)known);
	inbound_free(in);
}

int
main(void)
{
	measure(100000, 1);
	measure(100000, 8);
	measure(2000, 256);
	return 0;
}
