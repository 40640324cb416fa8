/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: any bytes as a DNS answer, and as what a server sends over TCP.
 * What is found is an address, and no more of them than records are looked at;
 * how a stream is cut into segments changes nothing.
 */
#include <netinet/in.h>

#include "packet/dns.h"
#include "packet/dns_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	(void)ttl;
	++*(size_t *)arg;
	if (ip->family == IP_NONE)
		panic("an address of no family");
}

struct stream_seen {
	size_t messages, bytes;
};

static void
on_message(void *arg, struct str m)
{
	struct stream_seen *seen = arg;
	size_t n = 0;

	seen->messages++;
	seen->bytes += m.n;
	dns_answer_each(m, 7, on_address, &n);
}

/* In segments of so many bytes. */
static struct stream_seen
stream(const uint8_t *data, size_t size, size_t step)
{
	struct dns_streams *s = dns_streams_new(1);
	struct stream_seen seen = {0, 0};
	struct packet p = {.src.family = IP_V4,
	    .dst.family = IP_V4,
	    .protocol = IPPROTO_TCP,
	    .sport = 53,
	    .tcp_flags = PACKET_SYN | PACKET_ACK};

	dns_streams_take(s, &p, on_message, &seen);
	p.tcp_flags = PACKET_ACK;
	for (size_t at = 0; at < size; at += step) {
		p.tcp_seq = (uint32_t)at + 1;
		p.payload_full = size - at < step ? size - at : step;
		p.payload =
		    (struct str){(const char *)data + at, p.payload_full};
		dns_streams_take(s, &p, on_message, &seen);
	}
	dns_streams_free(s);
	return seen;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = {(const char *)data, size};
	struct stream_seen whole = stream(data, size, size + 1);
	struct stream_seen cut = stream(data, size, 1 + size % 7);
	size_t n = 0;

	if (whole.messages != cut.messages || whole.bytes != cut.bytes)
		panic("a stream depends on its segments");
	if (dns_answer_each(message, 7, on_address, &n) != n)
		panic("counted wrong");
	if (n > DNS_RECORDS_MAX)
		panic("too many");
	return 0;
}
