/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: which server has which key, as a server of a cluster says it. A
 * map and the text of a redirect, after a byte that chooses between the two.
 * Whatever is taken lies within the bounds, and can be shown and read again.
 */
#include "fuzz.h"
#include "share/redis_slots.h"

static const struct redis_host from = {.host = "10.0.0.9", .port = 6379};

static void
check_host(const struct redis_host *h)
{
	char text[REDIS_HOST_TEXT_MAX];
	struct redis_host again;

	fuzz_check(h->port > 0 && h->host[0] != '\0', "no host");
	fuzz_check(redis_host_make(str_from(h->host), h->port, &again) &&
		       redis_host_same(h, &again),
	    "what was read is not read again");
	(void)redis_host_format(h, text);
	for (const char *p = text; *p != '\0'; p++)
		fuzz_check(*p > ' ' && *p < 0x7f, "not to be shown");
}

static void
read_redirect(struct str in)
{
	char *copy = fuzz_copy(in.p, in.n);
	struct redis_redirect r;

	if (redis_redirect_read((struct str){copy, in.n}, &from, &r)) {
		fuzz_check(r.slot < REDIS_SLOTS, "no slot");
		check_host(&r.host);
	}
	free(copy);
}

static void
read_map(struct str in)
{
	struct redis_slots *map = xcalloc(1, sizeof(*map));
	struct resp *r = resp_new();
	struct resp_value *v = NULL;

	if (resp_feed(r, in.p, in.n))
		v = resp_next(r);
	if (v != NULL && redis_slots_read(v, &from, map)) {
		fuzz_check(
		    map->count > 0 && map->count <= REDIS_NODES_MAX, "count");
		for (unsigned i = 0; i < map->count; i++)
			check_host(&map->hosts[i]);
		for (unsigned i = 0; i < REDIS_SLOTS; i++)
			fuzz_check(map->of[i] < map->count ||
				       map->of[i] == REDIS_NO_NODE,
			    "a slot of no host");
	}
	resp_value_free(v);
	resp_free(r);
	free(map);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data, size};

	fuzz_check(redis_slot_of(in) < REDIS_SLOTS, "no slot");
	if (fuzz_byte(&in) % 2 == 0)
		read_map(in);
	else
		read_redirect(in);
	return 0;
}
