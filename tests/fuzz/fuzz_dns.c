/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: any bytes as a DNS answer. What is found is an address, and no
 * more of them than records are looked at.
 */
#include "packet/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_address(void *arg, const struct ip *ip, uint32_t ttl)
{
	(void)ttl;
	++*(size_t *)arg;
	if (ip->family == IP_NONE)
		panic("an address of no family");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = {(const char *)data, size};
	size_t n = 0;

	if (dns_answer_each(message, on_address, &n) != n)
		panic("counted wrong");
	if (n > DNS_RECORDS_MAX)
		panic("too many");
	return 0;
}
