/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bursts pass what a person's programs open at once where nobody sees the
 * DNS answers; the windows end a scan that is slower than the interval. The
 * longest of them is also how long a host that is gone takes up a place.
 */
#include "netgate/netprofile.h"

#define HOUR_MS (3600 * INT64_C(1000))

static const struct netprofile workstation = {
    .throttle = {.working_set = 128,
	.interval_ms = 500,
	.burst = 60,
	.initial = 60,
	.freeze_at = 100,
	.queue_max = 100,
	.limits = {{600, HOUR_MS}, {1000, 3 * HOUR_MS}},
	.limit_count = 2,
	.idle_expiry_ms = HOUR_MS},
    .dns_known = true,
};

static const struct netprofile server = {
    .throttle = {.working_set = 64,
	.interval_ms = 1000,
	.burst = 20,
	.initial = 20,
	.freeze_at = 100,
	.queue_max = 100,
	.limits = {{300, HOUR_MS}, {600, 3 * HOUR_MS}},
	.limit_count = 2,
	.idle_expiry_ms = HOUR_MS},
    .dns_known = true,
};

/* Several workstations in one. */
static const struct netprofile gateway = {
    .throttle = {.working_set = 512,
	.interval_ms = 250,
	.burst = 120,
	.initial = 120,
	.freeze_at = 100,
	.queue_max = 100,
	.limits = {{3000, HOUR_MS}, {6000, 3 * HOUR_MS}},
	.limit_count = 2,
	.idle_expiry_ms = HOUR_MS},
    .dns_known = true,
};

/* Windows alone decide: the allowance never runs short. */
static const struct netprofile window = {
    .throttle = {.working_set = 64,
	.interval_ms = 10,
	.burst = 65535,
	.initial = 65535,
	.freeze_at = 100,
	.queue_max = 100,
	.idle_expiry_ms = HOUR_MS},
};

struct netprofile
netprofile_get(enum netpolicy_profile profile)
{
	switch (profile) {
	case NETPOLICY_WORKSTATION:
		return workstation;
	case NETPOLICY_SERVER:
		return server;
	case NETPOLICY_GATEWAY:
		return gateway;
	case NETPOLICY_WINDOW:
		return window;
	case NETPOLICY_UDP:
		return (struct netprofile){.throttle = throttle_profile_udp};
	case NETPOLICY_AUTO:
	case NETPOLICY_PAPER:
	case NETPOLICY_TCP:
		break;
	}
	return (struct netprofile){.throttle = throttle_profile_tcp};
}
