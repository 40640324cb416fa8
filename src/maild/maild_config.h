/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir.conf of weir-maild: the options table, the struct that it fills, and the
 * checks that look at more than one option. A loaded configuration is valid as
 * a whole and never changes; the owner swaps it for another. Any thread.
 *
 * Not named config.h: that is autoconf's.
 */
#ifndef MAILD_MAILD_CONFIG_H
#define MAILD_MAILD_CONFIG_H

#include "alert/alert_conf.h"
#include "control/web_conf.h"
#include "delivery/mta_run.h"
#include "gate/scope.h"
#include "milter/milter.h"
#include "os/options.h"
#include "relay/relay.h"
#include "share/redis_url.h"

enum maild_mode { MAILD_ENFORCE, MAILD_OBSERVE };
enum maild_protocol { MAILD_SMTP, MAILD_MILTER, MAILD_POLICY };
enum maild_hop_tls {
	MAILD_HOP_TLS_NONE,
	MAILD_HOP_TLS_MAY,
	MAILD_HOP_TLS_REQUIRE,
	MAILD_HOP_TLS_VERIFY,
};
enum maild_shared_fail { MAILD_SHARED_LOCAL, MAILD_SHARED_TEMPFAIL };

/* A `listen` section. */
struct maild_listen {
	char *name;
	struct option_place place;
	char *address; /* as written */
	int protocol;  /* enum maild_protocol */
	uint32_t backlog;
	char *socket_mode;         /* of a Unix socket, octal digits */
	struct net_addr addr;      /* from address */
	unsigned mode;             /* from socket_mode */
	struct relay_listen relay; /* without its name */
	struct option_strings tls_cert, tls_key;
	char *tls_client_ca;
	int tls_client_cert; /* 0 ask, 1 require */
	int tls_min_version; /* 0 for TLS 1.0 up to 3 for TLS 1.3 */
	struct option_strings tls_client_account;
	struct option_strings clients;
	struct peer_rules peers; /* from these and socket_users */
};

/*
 * Options point straight into the settings of the parts, where these take them
 * as they are written; what the checks make of the others stands there as well.
 * Durations are milliseconds, sizes bytes.
 */
struct maild_config {
	const char *file; /* borrowed, for messages */
	unsigned *lines;  /* of options, for options_line */

	struct gate_settings gate;
	struct relay_settings relay;
	struct nexthop_settings hop;
	struct delivery_settings delivery; /* without its callbacks */
	struct mta_settings mta;
	struct milter_settings milter;
	struct spool_settings spool;

	char *hostname;
	char *control, *control_group, *user;
	struct option_strings socket_users;
	struct option_strings next_hop, milter_next_hop;
	int mode;           /* enum maild_mode */
	int log, log_level; /* enum log_target, enum log_level */

	uint32_t policy_connections_max, control_connections_max;
	uint64_t line_max, header_max; /* fit 32 bits */
	struct option_strings bare_newline_allow, lenient_from;

	char *next_hop_auth; /* file of credentials; NULL: none */

	char *auth_socket; /* Dovecot's; NULL: none */
	struct option_strings my_networks, xclient_from, proxy_from;
	struct option_strings trace_clients;
	struct option_strings tls_cert, tls_key;
	int next_hop_tls; /* enum maild_hop_tls */
	char *next_hop_tls_ca;
	struct option_strings next_hop_tls_fingerprint;

	char *shared; /* URL of the server; NULL: the relay stands alone */
	char *shared_secret_file, *shared_user, *shared_password_file;
	char *shared_sentinel_password_file;
	char *shared_prefix, *shared_tls_ca, *shared_tls_name;
	int64_t shared_timeout_ms;
	int shared_fail; /* enum maild_shared_fail */

	char *freeze_command; /* program, absolute path; NULL: none */
	struct option_strings never_freeze, decoys;

	struct option_strings local_domains, inbound_users, internal_domains;
	int inbound_source;      /* enum locals_source */
	uint64_t inbound_memory; /* read and not used */
	bool inbound_memory_given;

	struct option_array listen; /* struct maild_listen */
	struct option_array http;   /* struct web_conf */
	struct option_array policy; /* struct policy_conf */
	struct option_array scope;  /* struct scope_conf */
	struct option_array alert;  /* struct alert_conf */

	/* Made by the checks. */
	uid_t *socket_uids; /* of socket_users, those that exist */
	size_t socket_uid_count;
	const struct ip_net *trace_nets; /* of trace_clients */
	size_t trace_net_count;
	struct net_addr auth_addr;   /* of auth_socket */
	struct redis_url shared_url; /* of shared */
	/* Of their files; NULL: none. */
	char *shared_secret, *shared_password, *shared_sentinel_password;
	size_t shared_secret_size;
	struct tls_client *shared_tls; /* to the shared server; NULL: none */
};

extern const struct option_schema maild_schema;

/* NULL on an error: one line that names file, line and option in err, and that
 * says what to do. file is borrowed as long as the result lives. */
struct maild_config *maild_config_load(
    const char *file, char *err, size_t err_cap);
/* The same from a text (NULL: of the file); file is the name in messages. */
struct maild_config *maild_config_parse(
    const char *file, const char *text, char *err, size_t err_cap);
void maild_config_free(struct maild_config *c);

static inline const struct maild_listen *
maild_config_listen(const struct maild_config *c, size_t i)
{
	return (const struct maild_listen *)c->listen.v + i;
}

static inline const struct web_conf *
maild_config_http(const struct maild_config *c, size_t i)
{
	return (const struct web_conf *)c->http.v + i;
}

#endif
