/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In the milter's place where weir is built without libmilter. The
 * configuration is refused before any of this could run.
 */
#include "milter/milter.h"

#include <stdio.h>

bool
milter_is_built_in(void)
{
	return false;
}

struct milter *
milter_new(const struct net_addr *addr, int backlog, unsigned unix_mode,
    const struct peer_rules *peers, char *err, size_t cap)
{
	(void)addr;
	(void)peers;
	(void)backlog;
	(void)unix_mode;
	snprintf(err, cap, "weir was built without libmilter");
	return NULL;
}

void
milter_start(struct milter *m, const struct milter_parts *parts,
    const struct milter_settings *settings)
{
	(void)m;
	(void)parts;
	(void)settings;
}

void
milter_expect_own(struct milter *m, bool on)
{
	(void)m;
	(void)on;
}

void
milter_drain(struct milter *m, void (*fn)(void *arg), void *arg)
{
	(void)m;
	fn(arg);
}

void
milter_free(struct milter *m)
{
	(void)m;
}
