/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the profiles of weir-netd's policies stand for. paper, tcp and udp are
 * the published throttle; the others were chosen with `weir-replay flows`, see
 * weir-netd.conf(5), PROFILES.
 */
#ifndef NETGATE_NETPROFILE_H
#define NETGATE_NETPROFILE_H

#include "netgate/netpolicy.h"

struct netprofile {
	struct throttle_policy throttle;
	bool dns_known;
};

/* Auto is the paper here: who asks has chosen. */
struct netprofile netprofile_get(enum netpolicy_profile profile);

#endif
