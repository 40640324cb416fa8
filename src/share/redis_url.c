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

/* It comes from the net, and goes into logs. */
static bool
is_host(struct str host)
{
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr(".-_:%", c) == NULL))
			return false;
	}
	return host.n > 0 && host.n < REDIS_URL_HOST_MAX;
}

bool
redis_host_make(struct str host, uint64_t port, struct redis_host *out)
{
	bool is_v6 = str_index(host, ':') < host.n;
	char text[REDIS_HOST_TEXT_MAX];

	if (!is_host(host) || port == 0 || port > UINT16_MAX)
		return false;
	snprintf(text, sizeof(text), is_v6 ? "[%.*s]:%u" : "%.*s:%u",
	    STR_ARG(host), (unsigned)port);
	return redis_host_parse(str_from(text), (unsigned)port, out);
}

bool
redis_host_same(const struct redis_host *a, const struct redis_host *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

const char *
redis_host_format(const struct redis_host *h, char *out)
{
	bool is_v6 = strchr(h->host, ':') != NULL;

	snprintf(out, REDIS_HOST_TEXT_MAX, is_v6 ? "[%s]:%u" : "%s:%u", h->host,
	    (unsigned)h->port);
	return out;
}

static bool
parse_hosts(struct str hosts, struct redis_url *out, char *err, size_t cap)
{
	bool is_cluster = out->kind == REDIS_CLUSTER;

	do {
		struct str host = str_cut(&hosts, ',');

		if (out->host_count == REDIS_URL_HOSTS_MAX) {
			snprintf(err, cap, "names more than %d hosts",
			    REDIS_URL_HOSTS_MAX);
			return false;
		}
		if (!redis_host_parse(host,
			is_cluster ? SERVER_PORT : SENTINEL_PORT,
			&out->hosts[out->host_count++]))
			return fail(err, cap,
			    is_cluster
				? "names a host and port that cannot be read; "
				  "write redis+cluster://HOST:PORT,HOST:PORT"
				: "has a sentinel whose host and port cannot "
				  "be read; write redis+sentinel://HOST:PORT,"
				  "HOST:PORT/MASTER");
	} while (hosts.n > 0);
	return true;
}

static bool
parse_sentinels(struct str s, struct redis_url *out, char *err, size_t cap)
{
	struct str hosts = str_cut(&s, '/'), master = str_cut(&s, '/');

	if (!parse_hosts(hosts, out, err, cap))
		return false;
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

static bool
parse_cluster(struct str s, struct redis_url *out, char *err, size_t cap)
{
	if (!parse_hosts(str_cut(&s, '/'), out, err, cap))
		return false;
	if (!parse_db(s, out) || out->db != 0)
		return fail(err, cap,
		    "names a database, but a cluster has only database 0");
	return true;
}

bool
redis_url_parse(const char *text, struct redis_url *out, char *err, size_t cap)
{
	static const struct {
		const char *scheme;
		bool is_tls;
		enum redis_kind kind;
	} schemes[] = {{"redis://", false, REDIS_SERVER},
	    {"rediss://", true, REDIS_SERVER},
	    {"redis+sentinel://", false, REDIS_SENTINEL},
	    {"rediss+sentinel://", true, REDIS_SENTINEL},
	    {"redis+cluster://", false, REDIS_CLUSTER},
	    {"rediss+cluster://", true, REDIS_CLUSTER}};
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
		    "rediss://HOST:PORT, unix:/PATH, "
		    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER or "
		    "redis+cluster://HOST:PORT,HOST:PORT");
	out->is_tls = schemes[i].is_tls;
	out->kind = schemes[i].kind;
	s = str_sub(s, strlen(schemes[i].scheme), SIZE_MAX);
	if (str_index(s, '@') < s.n)
		return fail(err, cap,
		    "holds a user or a password; they belong in shared_user "
		    "and shared_password_file");
	if (out->kind == REDIS_SENTINEL)
		return parse_sentinels(s, out, err, cap);
	if (out->kind == REDIS_CLUSTER)
		return parse_cluster(s, out, err, cap);
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
