/* SPDX-License-Identifier: BSD-3-Clause */
/* The rules as scope.c reads them; nothing else includes this. */
#ifndef GATE_SCOPE_RULES_H
#define GATE_SCOPE_RULES_H

#include "gate/match.h"
#include "gate/scope.h"

struct scope_rule {
	char *name;
	enum scope_by by;
	struct match *match; /* NULL: everybody */
	size_t limit_count;
	struct option_rate limits[OPTION_RATES_MAX];
	struct warn_marks warn;
	bool is_local; /* programs of this machine alone */
	bool is_new;   /* of these, the new ones alone */
};

struct scope_rules {
	uint64_t refs;
	size_t n;
	struct scope_rule v[SCOPES_MAX];
	bool is_void[SCOPES_MAX]; /* by the configuration's order */
};

#endif
