/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: PROXY headers. Checked: what is done stays done and bad stays
 * bad when more comes, a byte at a time ends where the whole does, and nothing
 * is asked for past PROXY_MAX.
 */
#include "net/proxy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

/* Exact size: ASan sees a read past the end. */
static enum proxy_state
parse(const uint8_t *data, size_t n, struct proxy_header *out)
{
	char *copy = xmalloc(n > 0 ? n : 1);
	enum proxy_state state;

	memcpy(copy, data, n);
	state = proxy_parse((struct str){copy, n}, out);
	free(copy);
	return state;
}

static bool
is_same(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->is_local == b->is_local && a->length == b->length &&
	       ip_eq(&a->client, &b->client) && ip_eq(&a->server, &b->server) &&
	       a->client_port == b->client_port &&
	       a->server_port == b->server_port;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, part;
	enum proxy_state all = parse(data, size, &whole), now;
	size_t n = 0;

	do {
		now = parse(data, n, &part);
	} while (now == PROXY_MORE && ++n <= size);
	if (n > size)
		now = PROXY_MORE;
	check(all == now, "in pieces it is another header");
	check(all != PROXY_MORE || size < PROXY_MAX, "endless");
	if (all != PROXY_DONE)
		return 0;
	check(is_same(&whole, &part), "in pieces it says otherwise");
	check(whole.length == n && n <= PROXY_MAX, "length");
	check(whole.is_local || (whole.client.family != IP_NONE &&
				    whole.server.family != IP_NONE),
	    "no address");
	return 0;
}
