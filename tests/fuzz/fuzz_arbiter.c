/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: what the script in the shared server answers to a question with
 * as many reservations as the first byte says. An answer that is taken keeps to
 * the bounds that the gate relies on.
 */
#include "fuzz.h"
#include "share/arbiter.h"

#define RESERVES_MAX 8

static void
check(const struct share_answer *a, size_t reserves)
{
	if (a->is_unknown)
		return;
	fuzz_check(a->rulings_n == reserves, "rulings");
	fuzz_check(a->tick_in >= -1 && a->next_in >= -1, "a time that is none");
	fuzz_check(a->result >= -1 && a->result <= 3, "no result");
	fuzz_check(a->signals.networks_n <= SHARE_NETWORKS_MAX, "networks");
	fuzz_check(a->froze <= THROTTLE_FREEZE_GROWTH, "a freeze of no reason");
	for (size_t i = 0; i < a->rulings_n; i++) {
		const struct throttle_reservation *r = &a->rulings[i];

		fuzz_check(r->verdict <= THROTTLE_REFUSE &&
			       r->reason <= THROTTLE_FULL &&
			       r->limit_index < THROTTLE_LIMITS_MAX,
		    "past a bound");
		fuzz_check((r->verdict == THROTTLE_PASS) ==
			       (r->reason <= THROTTLE_NEW),
		    "a verdict for no such reason");
		fuzz_check(r->destination == i + 1, "of another");
		fuzz_check(r->due_ms >= 0, "due before it was asked");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};
	size_t reserves = fuzz_byte(&in) % (RESERVES_MAX + 1);
	struct throttle_reservation rulings[RESERVES_MAX];
	struct share_network networks[SHARE_NETWORKS_MAX];
	struct arbiter_room room = {.rulings = rulings, .networks = networks};
	struct seal *seal = seal_new(STR("a secret of this site alone"));
	uint64_t destinations[RESERVES_MAX];
	struct resp *r = resp_new();
	struct resp_value *v = NULL;
	struct share_answer a;
	uint64_t sum = 0;

	for (size_t i = 0; i < RESERVES_MAX; i++)
		destinations[i] = i + 1;
	if (resp_feed(r, in.p, in.n))
		v = resp_next(r);
	room.granted =
	    xcalloc(arbiter_granted_max(v) + 1, sizeof(*room.granted));
	if (v != NULL &&
	    arbiter_read(v, seal, destinations, reserves, &a, &room)) {
		check(&a, reserves);
		for (size_t i = 0; i < a.granted_n; i++)
			sum ^= a.granted[i]; /* read, for the sanitizer */
	}
	(void)sum;
	free(room.granted);
	seal_free(seal);
	resp_value_free(v);
	resp_free(r);
	return 0;
}
