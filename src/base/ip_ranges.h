/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A set of addresses, given as networks, that answers quickly whatever its
 * size. Made once, then only read.
 */
#ifndef BASE_IP_RANGES_H
#define BASE_IP_RANGES_H

#include "base/ip.h"

struct ip_ranges;

/* The networks may overlap. */
struct ip_ranges *ip_ranges_new(const struct ip_net *nets, size_t n);
void ip_ranges_free(struct ip_ranges *set);
bool ip_ranges_have(const struct ip_ranges *set, const struct ip *ip);

#endif
