/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/redis_url.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_PORT 6379u

static bool
fail(char *err, size_t cap, const char *why)
{
	snprintf(err, cap, "%s", why);
	return false;
}

static bool
parse_db(struct str text, struct redis_url *out)
{
	uint64_t db = 0;

	if (text.n > 0 && (!str_to_u64(text, &db) || db > REDIS_URL_DB_MAX))
		return false;
	out->db = (unsigned)db;
	return true;
}

/* "host", "host:port", "[::1]", "[::1]:port" */
static bool
parse_host(struct str text, struct redis_url *out)
{
	struct str whole = text, host;
	char with_port[REDIS_URL_HOST_MAX + 8], why[128];
	bool has_port =
	    text.n > 0 && str_rindex(text, ':') < text.n &&
	    (text.p[0] != '[' || str_rindex(text, ':') > str_index(text, ']'));

	if (text.n == 0 || text.n >= REDIS_URL_HOST_MAX)
		return false;
	if (!has_port) {
		snprintf(with_port, sizeof(with_port), "%.*s:%u", STR_ARG(text),
		    DEFAULT_PORT);
		whole = str_from(with_port);
	}
	if (!net_addr_split(whole, &host, &out->port) || host.n == 0 ||
	    host.n >= REDIS_URL_HOST_MAX)
		return false;
	str_copy(host, out->host, sizeof(out->host));
	out->has_addr = net_addr_parse(whole, &out->addr, why, sizeof(why));
	return true;
}

bool
redis_url_parse(const char *text, struct redis_url *out, char *err, size_t cap)
{
	struct str s = str_from(text), host;

	memset(out, 0, sizeof(*out));
	if (str_starts(s, STR("unix:"))) {
		out->has_addr = net_addr_parse(s, &out->addr, err, cap);
		return out->has_addr;
	}
	if (str_istarts(s, STR("rediss://")))
		out->is_tls = true;
	else if (!str_istarts(s, STR("redis://")))
		return fail(err, cap,
		    "is no address of a server; write redis://HOST:PORT, "
		    "rediss://HOST:PORT or unix:/PATH");
	s = str_sub(s, out->is_tls ? 9 : 8, SIZE_MAX);
	if (str_index(s, '@') < s.n)
		return fail(err, cap,
		    "holds a user or a password; they belong in shared_user "
		    "and shared_password_file");
	host = str_cut(&s, '/');
	if (!parse_host(host, out))
		return fail(err, cap,
		    "has no host and port that can be read; write "
		    "redis://HOST:PORT");
	if (!parse_db(s, out))
		return fail(err, cap,
		    "does not end in the number of a database (0 to 65535)");
	return true;
}
