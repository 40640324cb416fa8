/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The addresses that a DNS answer names: A and AAAA records of the name that
 * was asked for, or of one that it is an alias of (CNAME), and the address
 * hints of its SVCB and HTTPS records. Pure; hostile bytes. RFC 1035 section 4,
 * RFC 3596, RFC 9460 section 7.3.
 */
#ifndef PACKET_DNS_H
#define PACKET_DNS_H

#include "base/ip.h"

#define DNS_NAME_MAX 256
#define DNS_ALIASES_MAX 16  /* names that are followed */
#define DNS_HINTS_MAX 32    /* addresses of one parameter */
#define DNS_RECORDS_MAX 128 /* records that are looked at */

/* Calls fn for each address; ttl in seconds. seed: a secret. Returns how many
 * there were; 0 also for what is no answer, was truncated in a record, or is
 * broken: what stands before the fault is used. */
size_t dns_answer_each(struct str message, uint64_t seed,
    void (*fn)(void *arg, const struct ip *ip, uint32_t ttl), void *arg);

#endif
