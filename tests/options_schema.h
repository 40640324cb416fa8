/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A schema with one option of each type, for the unit test and the fuzzer of
 * os/options.
 */
#ifndef TESTS_OPTIONS_SCHEMA_H
#define TESTS_OPTIONS_SCHEMA_H

#include "os/options.h"

#include <stdio.h>
#include <string.h>

struct test_policy {
	char *title;
	struct option_place place;
	int64_t interval_ms;
	uint32_t burst;
	struct option_strings match;
	bool is_exempt;
	struct option_rate rate;
	struct option_rates limits;
};

struct test_listen {
	bool is_odd; /* keeps the fields behind off the start */
	char *title;
	char *address;
	struct option_place place;
};

struct test_conf {
	char *hostname;
	char *banner;
	struct option_strings next_hop;
	int mode;
	bool is_tls;
	uint64_t size_bytes;
	struct option_array policies;
	struct option_array listeners;
	unsigned *lines;
};

static bool
test_check_address(const char *text, char *err, size_t cap)
{
	if (strchr(text, ':') != NULL)
		return true;
	snprintf(err, cap, "has no port; write address:port");
	return false;
}

static const char *const test_modes[] = {"enforce", "observe", NULL};

#define ROW(s, field) .offset = offsetof(struct s, field)

static const struct option test_policy_options[] = {
    {.name = "interval",
	.type = OPTION_DURATION,
	ROW(test_policy, interval_ms),
	.preset = "1m",
	.min = 1000,
	.max = 3600000,
	.reloadable = true,
	.doc = "One release per interval."},
    {.name = "burst",
	.type = OPTION_UINT,
	ROW(test_policy, burst),
	.preset = "10",
	.max = 1000,
	.reloadable = true,
	.doc = "Largest allowance."},
    {.name = "match",
	.type = OPTION_STRINGS,
	ROW(test_policy, match),
	.reloadable = true,
	.sample = "{\"news@example.org\"}",
	.doc = ".org and 'quotes' begin no line; a \\ stays."},
    {.name = "exempt",
	.type = OPTION_BOOL,
	ROW(test_policy, is_exempt),
	.preset = "false",
	.reloadable = true,
	.doc = "Lets all pass."},
    {.name = "rate",
	.type = OPTION_RATE,
	ROW(test_policy, rate),
	.reloadable = true,
	.doc = "One cap."},
    {.name = "limit",
	.type = OPTION_RATES,
	ROW(test_policy, limits),
	.preset = "{\"50/1h\", 5/90s}",
	.reloadable = true,
	.doc = "Extra caps on new destinations, as many as four of them, each "
	       "of them a count and a duration."},
    {0},
};

static const struct option test_listen_options[] = {
    {.name = "address",
	.type = OPTION_STRING,
	ROW(test_listen, address),
	.required = true,
	.sample = "0.0.0.0:25",
	.doc = "Where.",
	.check = test_check_address},
    {0},
};

static const struct option test_options[] = {
    {.name = "hostname",
	.type = OPTION_STRING,
	ROW(test_conf, hostname),
	.required = true,
	.sample = "relay.example.org",
	.doc = "The name."},
    {.name = "banner",
	.type = OPTION_STRING,
	ROW(test_conf, banner),
	.reloadable = true,
	.doc = "What it says."},
    {.name = "next_hop",
	.type = OPTION_STRINGS,
	ROW(test_conf, next_hop),
	.preset = "127.0.0.1:10025",
	.doc = "Where mail goes."},
    {0},
};

static const struct option test_more_options[] = {
    {.name = "mode",
	.type = OPTION_ENUM,
	ROW(test_conf, mode),
	.preset = "enforce",
	.names = test_modes,
	.reloadable = true,
	.doc = "What it does."},
    {.name = "tls",
	.type = OPTION_BOOL,
	ROW(test_conf, is_tls),
	.preset = "yes",
	.doc = "Whether."},
    {.name = "size",
	.type = OPTION_SIZE,
	ROW(test_conf, size_bytes),
	.preset = "50M",
	.min = 1024,
	.reloadable = true,
	.doc = "The largest message."},
    {0},
};

static const struct option_section test_sections[] = {
    {.name = "policy",
	.doc = "The numbers for a class of sources.",
	.tables = OPTION_TABLES(test_policy_options),
	.size = sizeof(struct test_policy),
	.offset = offsetof(struct test_conf, policies),
	.title_offset = offsetof(struct test_policy, title),
	.place_offset = offsetof(struct test_policy, place)},
    {.name = "listen",
	.doc = "A way in.",
	.tables = OPTION_TABLES(test_listen_options),
	.size = sizeof(struct test_listen),
	.offset = offsetof(struct test_conf, listeners),
	.title_offset = offsetof(struct test_listen, title),
	.place_offset = offsetof(struct test_listen, place)},
    {0},
};

static const struct option_schema test_schema = {
    OPTION_TABLES(test_options, test_more_options), test_sections,
    sizeof(struct test_conf), offsetof(struct test_conf, lines)};

#undef ROW

#endif
