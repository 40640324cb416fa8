/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: any bytes as an IP packet, and what an ICMP message in it
 * quotes. What is said to lie in the packet lies in it.
 */
#include <netinet/in.h>

#include "packet/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct packet *p, const uint8_t *data, size_t size)
{
	const uint8_t *begin = (const uint8_t *)p->payload.p;

	if (p->src.family == IP_NONE || p->src.family != p->dst.family)
		panic("a packet without addresses");
	if (p->is_fragment && (p->dport != 0 || p->tcp_flags != 0))
		panic("a later fragment has ports");
	if (p->payload.n > 0 &&
	    (begin < data || begin + p->payload.n > data + size))
		panic("the payload lies outside");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet p, quoted;

	if (packet_parse(data, size, &p) != PACKET_OK)
		return 0;
	check(&p, data, size);
	if (packet_quoted(&p, &quoted))
		check(&quoted, data, size);
	return 0;
}
