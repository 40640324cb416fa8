/* SPDX-License-Identifier: BSD-3-Clause */
#include "share/redis_url.h"

#include <stdio.h>
#include <string.h>

#define SERVER_PORT 6379u
#define SENTINEL_PORT 26379u

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

bool
redis_host_parse(struct str text, unsigned default_port, struct redis_host *out)
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
		    default_port);
		whole = str_from(with_port);
	}
	if (!net_addr_split(whole, &host, &out->port) || host.n == 0 ||
	    host.n >= REDIS_URL_HOST_MAX)
		return false;
	str_copy(host, out->host, sizeof(out->host));
	out->has_addr = net_addr_parse(whole, &out->addr, why, sizeof(why));
	return true;
}

static bool
parse_sentinels(struct str s, struct redis_url *out, char *err, size_t cap)
{
	struct str hosts = str_cut(&s, '/'), master = str_cut(&s, '/');

	do {
		struct str host = str_cut(&hosts, ',');

		if (out->sentinel_count == REDIS_URL_SENTINELS_MAX)
			return fail(err, cap, "names more than 5 sentinels");
		if (!redis_host_parse(host, SENTINEL_PORT,
			&out->sentinels[out->sentinel_count++]))
			return fail(err, cap,
			    "has a sentinel whose host and port cannot be "
			    "read; write redis+sentinel://HOST:PORT,HOST:PORT/"
			    "MASTER");
	} while (hosts.n > 0);
	if (master.n == 0 || master.n >= REDIS_URL_MASTER_MAX)
		return fail(err, cap,
		    "does not say what the sentinels call the master; write "
		    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER");
	str_copy(master, out->master, sizeof(out->master));
	if (!parse_db(s, out))
		return fail(err, cap,
		    "does not end in the number of a database (0 to 65535)");
	return true;
}

bool
redis_url_parse(const char *text, struct redis_url *out, char *err, size_t cap)
{
	static const struct {
		const char *scheme;
		bool is_tls, is_sentinel;
	} schemes[] = {{"redis://", false, false}, {"rediss://", true, false},
	    {"redis+sentinel://", false, true},
	    {"rediss+sentinel://", true, true}};
	struct str s = str_from(text), host;
	size_t i = 0;

	memset(out, 0, sizeof(*out));
	if (str_starts(s, STR("unix:"))) {
		out->server.has_addr =
		    net_addr_parse(s, &out->server.addr, err, cap);
		return out->server.has_addr;
	}
	while (i < sizeof(schemes) / sizeof(schemes[0]) &&
	       !str_istarts(s, str_from(schemes[i].scheme)))
		i++;
	if (i == sizeof(schemes) / sizeof(schemes[0]))
		return fail(err, cap,
		    "is not a server address; write redis://HOST:PORT, "
		    "rediss://HOST:PORT, unix:/PATH or "
		    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER");
	out->is_tls = schemes[i].is_tls;
	s = str_sub(s, strlen(schemes[i].scheme), SIZE_MAX);
	if (str_index(s, '@') < s.n)
		return fail(err, cap,
		    "holds a user or a password; they belong in shared_user "
		    "and shared_password_file");
	if (schemes[i].is_sentinel)
		return parse_sentinels(s, out, err, cap);
	host = str_cut(&s, '/');
	if (!redis_host_parse(host, SERVER_PORT, &out->server))
		return fail(err, cap,
		    "has no host and port that can be read; write "
		    "redis://HOST:PORT");
	if (!parse_db(s, out))
		return fail(err, cap,
		    "does not end in the number of a database (0 to 65535)");
	return true;
}
