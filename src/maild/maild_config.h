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
#include "delivery/credentials.h"
#include "gate/locals.h"
#include "gate/policy.h"
#include "gate/scope.h"
#include "net/addr.h"
#include "net/peer.h"
#include "net/tls.h"
#include "os/options.h"
#include "share/redis_url.h"

enum maild_mode { MAILD_ENFORCE, MAILD_OBSERVE };
enum maild_auth { MAILD_AUTH_NONE, MAILD_AUTH_PASS, MAILD_AUTH_DOVECOT };
enum maild_hold { MAILD_TAKE, MAILD_TEMPFAIL, MAILD_QUARANTINE };
enum maild_protocol { MAILD_SMTP, MAILD_MILTER, MAILD_POLICY };
enum maild_tls {
	MAILD_TLS_NONE,
	MAILD_TLS_MAY,
	MAILD_TLS_REQUIRE,
	MAILD_TLS_IMPLICIT,                    /* listen */
	MAILD_TLS_VERIFY = MAILD_TLS_IMPLICIT, /* next hop */
};

/* A `listen` section. */
struct maild_listen {
	char *name;
	struct option_place place;
	char *address; /* as written */
	int protocol;  /* enum maild_protocol */
	uint32_t backlog;
	char *socket_mode;    /* of a Unix socket, octal digits */
	struct net_addr addr; /* from address */
	unsigned mode;        /* from socket_mode */
	int auth;             /* enum maild_auth */
	bool auth_in_clear, auth_required, proxy, hide_client;
	int auth_nameless; /* enum relay_nameless, in its order */
	int tls;           /* enum maild_tls */
	struct option_strings tls_cert, tls_key;
	char *tls_client_ca;
	int tls_client_cert; /* 0 ask, 1 require */
	int tls_min_version; /* 0 for TLS 1.0 up to 3 for TLS 1.3 */
	struct option_strings tls_client_account;
	struct option_strings clients;
	struct peer_rules peers;       /* from these and socket_users */
	struct tls_server *tls_server; /* from these; NULL: none */
};

/* Durations are milliseconds, sizes bytes. */
enum shared_fail { SHARED_FAIL_LOCAL, SHARED_FAIL_TEMPFAIL };

struct maild_config {
	char *hostname;
	char *spool, *control, *control_group, *user;
	struct option_strings socket_users;
	struct option_strings next_hop, milter_next_hop;
	int mode; /* enum maild_mode */
	char *contact, *postmaster;
	int log, log_level; /* enum log_target, enum log_level */
	bool verify_held;

	uint64_t message_size;
	uint32_t recipients_max, errors_max, idle_commands_max, refused_max;
	uint32_t local_part_max;
	uint32_t sessions_max, client_sessions_max;
	uint64_t envelope_memory, slow_rate;
	int64_t next_hop_wait_ms;
	uint32_t policy_connections_max, milter_connections_max;
	uint32_t control_connections_max;
	int64_t tarpit_ms;
	int64_t greeting_delay_ms, command_timeout_ms, data_timeout_ms;
	int64_t message_timeout_ms, answer_timeout_ms;
	uint64_t data_rate_min; /* bytes a second */
	int64_t data_rate_window_ms;
	uint64_t line_max, header_max; /* fit 32 bits */
	uint32_t received_max;
	int bare_newline; /* enum smtp_bare_newline, in its order */
	struct option_strings bare_newline_allow, lenient_from;

	int64_t connect_timeout_ms, next_hop_command_timeout_ms;
	int64_t next_hop_data_timeout_ms, next_hop_end_timeout_ms;
	uint32_t next_hop_connections, next_hop_idle, next_hop_uses;
	int64_t next_hop_idle_timeout_ms, next_hop_rest_ms;

	bool next_hop_xclient, next_hop_auth_in_clear;
	char *next_hop_auth; /* file of credentials; NULL: none */

	char *auth_socket; /* Dovecot's; NULL: none */
	uint32_t auth_failures_max;
	int login_form; /* enum login_form, in its order */
	struct option_strings my_networks, xclient_from, proxy_from;
	struct option_strings trace_clients;
	struct option_strings tls_cert, tls_key;
	int64_t tls_timeout_ms;
	int next_hop_tls; /* enum maild_tls */
	bool next_hop_tls_implicit;
	char *next_hop_tls_ca, *next_hop_tls_name;
	struct option_strings next_hop_tls_fingerprint;

	uint64_t min_free, body_memory, held_bytes_max;
	uint32_t held_max;
	uint32_t delivery_concurrency;
	int64_t retry_min_ms, retry_max_ms, max_age_ms;
	int64_t notify_after_ms;                             /* 0: never */
	struct option_rate notify_limit;                     /* count 0: none */
	struct option_rate report_rate, report_rate_address; /* the same */

	int milter_hold; /* enum maild_hold, in the order of milter_hold */
	int64_t milter_timeout_ms;
	/* NULL: not set */
	char *release_command, *discard_command, *queue_command;
	char *mta_hold_command;
	int64_t queue_check_ms, queue_settle_ms, queue_command_timeout_ms;

	char *shared; /* URL of the server; NULL: the relay stands alone */
	char *shared_secret_file, *shared_user, *shared_password_file;
	char *shared_prefix, *shared_tls_ca, *shared_tls_name;
	int64_t shared_timeout_ms;
	int shared_fail; /* enum shared_fail */

	char *freeze_command; /* program, absolute path; NULL: none */
	uint32_t senders_max;
	struct option_strings never_freeze, decoys;

	struct option_strings local_domains, inbound_users, internal_domains;
	int inbound_source; /* enum locals_source, in its order */
	uint64_t acquaintances_memory, history_memory;
	uint64_t inbound_memory; /* read and not used */
	bool inbound_memory_given;

	struct option_array listen; /* struct maild_listen */
	struct option_array http;   /* struct web_conf */
	struct option_array policy; /* struct policy_conf */
	struct option_array scope;  /* struct scope_conf */
	struct option_array alert;  /* struct alert_conf */

	/* Made by the checks. */
	struct policies *policies;
	struct scope_rules *scopes;
	struct locals *locals;
	uid_t *socket_uids; /* of socket_users, those that exist */
	size_t socket_uid_count;
	struct ip_net *bare_newline_nets; /* of bare_newline_allow */
	size_t bare_newline_net_count;
	struct ip_net *lenient_nets; /* of lenient_from */
	size_t lenient_net_count;
	struct ip_net *xclient_nets, *proxy_nets; /* of ..._from */
	size_t xclient_net_count, proxy_net_count;
	struct ip_net *trace_nets; /* of trace_clients */
	size_t trace_net_count;
	struct ip_net *my_nets; /* of my_networks, never empty */
	size_t my_net_count;
	struct net_addr auth_addr;             /* of auth_socket */
	struct credentials *credentials;       /* of next_hop_auth */
	struct tls_client *tls_client;         /* to the next hop; NULL: none */
	struct redis_url shared_url;           /* of shared */
	char *shared_secret, *shared_password; /* of their files; NULL: none */
	size_t shared_secret_size;
	struct tls_client *shared_tls; /* to the shared server; NULL: none */
};

extern const struct option_schema maild_schema;
extern const struct option maild_listen_options[];

/* NULL on an error: one line that names file, line and option in err, and that
 * says what to do. file is borrowed as long as the result lives. */
struct maild_config *maild_config_load(
    const char *file, char *err, size_t err_cap);
/* The same from a text; file is the name in messages. */
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
