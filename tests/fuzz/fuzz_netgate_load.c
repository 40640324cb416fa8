/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: the file of frozen hosts. What was loaded is saved so that it
 * loads again as it is.
 */
#include "netgate/netgate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_verdict(void *arg, uint64_t id, enum netgate_verdict verdict)
{
	(void)arg;
	(void)id;
	(void)verdict;
}

static void
on_thaw(void *arg, const struct ip *source, const char *who)
{
	(void)arg;
	(void)source;
	(void)who;
}

static void
on_state(void *arg)
{
	(void)arg;
}

static const struct netgate_ops ops = {
    .on_verdict = on_verdict, .on_thaw = on_thaw, .on_state = on_state};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netpolicy_conf conf = {.name = (char[]){"default"},
	    .freeze_at = 10,
	    .thaw_after_ms = 60000};
	char err[256];
	struct netpolicies *policies =
	    netpolicies_new(&conf, 1, err, sizeof(err));
	struct netgate_settings settings = {
	    .policies = policies,
	    .hosts_max = 8,
	    .held_max = 8,
	    .ipv6_prefix = 128,
	};
	struct netgate *g = netgate_new(&settings, &ops, NULL, NULL);
	struct netgate *again = netgate_new(&settings, &ops, NULL, NULL);
	struct buf text;
	size_t bad, n;

	buf_init(&text, 65536);
	n = netgate_load(
	    g, (struct str){(const char *)data, size}, 1000, 5000000, &bad);
	if (n > 8 || n != netgate_frozen_count(g) || !netgate_save(g, &text))
		panic("more frozen than there is room for");
	if (netgate_load(again, buf_str(&text), 1000, 5000000, &bad) != n ||
	    bad != 0)
		panic("what was saved does not load");
	netgate_run(g, INT64_MAX / 4, 0);
	buf_clear(&text);
	netgate_free(g);
	netgate_free(again);
	netpolicies_free(policies);
	return 0;
}
