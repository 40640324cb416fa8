/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of a listen section, see maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

#define IN_LISTEN(field) .offset = offsetof(struct maild_listen, field)

static const char *const protocol_names[] = {"smtp", "milter", "policy", NULL};
static const char *const tls_names[] = {
    "none", "may", "require", "implicit", NULL};
static const char *const version_names[] = {"1.0", "1.1", "1.2", "1.3", NULL};
static const char *const client_cert_names[] = {"ask", "require", NULL};
static const char *const nameless_names[] = {"refuse", "address", NULL};
static const char *const auth_names[] = {"none", "pass", "dovecot", NULL};

const struct option maild_options_listen[] = {
    {
	.name = "address",
	.type = OPTION_STRING,
	IN_LISTEN(address),
	.required = true,
	.sample = "127.0.0.1:2525",
	.check = maild_check_listen,
	.doc = "Address to listen on: \"192.0.2.1:25\", \"[::]:25\" or "
	       "\"unix:/path\".",
    },
    {
	.name = "protocol",
	.type = OPTION_ENUM,
	IN_LISTEN(protocol),
	.preset = "smtp",
	.names = protocol_names,
	.check = maild_check_protocol,
	.doc = "Protocol of the listener: smtp for the relay; milter for "
	       "Postfix and Sendmail (only one such listener); policy for "
	       "Postfix's policy delegation protocol. auth, proxy and tls are "
	       "for smtp only.",
    },
    {
	.name = "backlog",
	.type = OPTION_UINT,
	IN_LISTEN(backlog),
	.preset = "511",
	.min = 1,
	.max = 65535,
	.doc = "Maximum number of connections that the system queues until "
	       "they are accepted.",
    },
    {
	.name = "socket_mode",
	.type = OPTION_STRING,
	IN_LISTEN(socket_mode),
	.preset = "0660",
	.check = maild_check_mode,
	.doc = "Permissions of a Unix socket, in octal digits.",
    },
    {
	.name = "clients",
	.type = OPTION_STRINGS,
	IN_LISTEN(clients),
	.sample = "127.0.0.1",
	.check = option_check_network,
	.doc = "Networks of the mail servers that may connect over TCP, for "
	       "protocol = milter and policy. Default: this machine "
	       "(127.0.0.0/8 and ::1). Programs on this machine must also run "
	       "as one of socket_users. Prefer a Unix socket if the mail "
	       "server is on this machine.",
    },
    {
	.name = "auth",
	.type = OPTION_ENUM,
	IN_LISTEN(relay.auth),
	.preset = "none",
	.names = auth_names,
	.reloadable = true,
	.doc =
	    "Where logins (AUTH) are checked. none: AUTH is not offered. pass: "
	    "by the next hop, on a connection of the session's own. dovecot: "
	    "by the service at auth_socket. The user is then the sender that "
	    "is throttled. Supported are PLAIN, LOGIN, CRAM-MD5, XOAUTH2 and "
	    "OAUTHBEARER, as far as the next hop or Dovecot offers them.",
    },
    {
	.name = "auth_in_clear",
	.type = OPTION_BOOL,
	IN_LISTEN(relay.auth_in_clear),
	.preset = "false",
	.reloadable = true,
	.doc = "Offer AUTH to clients without TLS as well. Clients on the same "
	       "machine are always offered it.",
    },
    {
	.name = "auth_required",
	.type = OPTION_BOOL,
	IN_LISTEN(relay.auth_required),
	.preset = "false",
	.reloadable = true,
	.doc = "Accept mail only after a login; other clients get 530.",
    },
    {
	.name = "auth_nameless",
	.type = OPTION_ENUM,
	IN_LISTEN(relay.auth_nameless),
	.preset = "refuse",
	.names = nameless_names,
	.reloadable = true,
	.doc = "Handling of an OAUTHBEARER login that names no user. RFC 7628 "
	       "allows a= to be omitted; the user is then named only in the "
	       "token, which only the server that checks it can read. With "
	       "auth = dovecot this has no effect: Dovecot returns the name. "
	       "With auth = pass: refuse rejects the login, as weir could not "
	       "tell which sender to throttle; address passes it on and "
	       "throttles the client address.",
    },
    {
	.name = "proxy",
	.type = OPTION_BOOL,
	IN_LISTEN(relay.proxy),
	.preset = "false",
	.reloadable = true,
	.doc = "Each connection starts with a PROXY header (version 1 or 2), "
	       "as haproxy sends it with send-proxy, from one of proxy_from. "
	       "Any other connection is closed without a reply.",
    },
    {
	.name = "hide_client",
	.type = OPTION_BOOL,
	IN_LISTEN(relay.hide_client),
	.preset = "false",
	.reloadable = true,
	.doc = "Omit the client's name and address from the Received header "
	       "field, so that mail does not reveal the address of a person's "
	       "machine. With protocol milter this applies to the field in "
	       "held copies, and a change requires a restart.",
    },
    {
	.name = "tls",
	.type = OPTION_ENUM,
	IN_LISTEN(relay.tls),
	.preset = "none",
	.names = tls_names,
	.reloadable = true,
	.doc = "none: no TLS. may: STARTTLS is offered. require: STARTTLS is "
	       "required before mail. implicit: TLS from the first byte, as on "
	       "port 465.",
    },
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_cert),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Certificates of this listener, instead of the global ones.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_key),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Keys of these certificates.",
    },
    {
	.name = "tls_min_version",
	.type = OPTION_ENUM,
	IN_LISTEN(tls_min_version),
	.preset = "1.2",
	.names = version_names,
	.reloadable = true,
	.doc = "Oldest TLS version allowed: \"1.0\", \"1.1\", \"1.2\" or "
	       "\"1.3\". 1.0 and 1.1 are broken. They are for old devices, on "
	       "a listener that nobody else uses, and turn off OpenSSL's "
	       "requirements on keys and signatures there (security level 0).",
    },
    {
	.name = "tls_client_ca",
	.type = OPTION_STRING,
	IN_LISTEN(tls_client_ca),
	.reloadable = true,
	.check = option_check_path,
	.doc = "PEM file of authorities. Clients are asked for a certificate; "
	       "if one of these authorities has signed it, its common name is "
	       "the user. Other clients are served as if this option were not "
	       "set, unless tls_client_cert is require.",
    },
    {
	.name = "tls_client_cert",
	.type = OPTION_ENUM,
	IN_LISTEN(tls_client_cert),
	.preset = "ask",
	.names = client_cert_names,
	.reloadable = true,
	.doc = "Whether a certificate is required with tls_client_ca and "
	       "tls_client_account. ask: clients that present none, or an "
	       "unknown one, are served like any other. require: their "
	       "handshake fails; tls must be require or implicit.",
    },
    {
	.name = "tls_client_account",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_client_account),
	.reloadable = true,
	.check = maild_check_account,
	.doc = "\"user=fingerprint\": clients are asked for a certificate, and "
	       "a client that presents the one with this SHA-256 fingerprint "
	       "is this user.",
    },
    {0},
};
