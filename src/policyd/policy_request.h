/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postfix's policy delegation protocol (SMTPD_POLICY_README) without I/O:
 * lines "name=value", ended by an empty line. Keeps the attributes that weir
 * knows, each up to a bound, in a struct of fixed size, and passes over the
 * others, so that no request, however long, takes memory. Any thread.
 */
#ifndef POLICYD_POLICY_REQUEST_H
#define POLICYD_POLICY_REQUEST_H

#include "base/str.h"

#define POLICY_VALUE_MAX 1024            /* terminated */
#define POLICY_REQUEST_MAX (1024 * 1024) /* bytes of one request */

struct policy_request {
	char request[32]; /* smtpd_access_policy */
	char protocol_state[32];
	char client_address[64];
	char helo_name[256];
	char sender[POLICY_VALUE_MAX];
	char recipient[POLICY_VALUE_MAX];
	char instance[128];
	char sasl_username[POLICY_VALUE_MAX];
	bool cut; /* a value that counts was longer than its bound */
};

struct policy_parser {
	struct policy_request request; /* what came so far */
	size_t size;
	char name[24]; /* of the line in hand, '\0' in its rest */
	size_t name_n, value_n;
	bool in_value, name_long;
};

enum policy_parse { POLICY_MORE, POLICY_DONE, POLICY_BAD };

void policy_parser_init(struct policy_parser *p);
/*
 * Takes from *in. DONE: p->request is a whole one, *in what follows it; call
 * policy_parser_init before the next. BAD: no request (a line without '=', a
 * NUL, endless): the connection is useless.
 */
enum policy_parse policy_parse(struct policy_parser *p, struct str *in);

#endif
