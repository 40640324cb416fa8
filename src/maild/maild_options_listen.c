/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of a listen section, see maild_options.c.
 */
#include "config.h"

#include "maild/maild_check.h"
#include "maild/maild_config.h"
#include "os/option_check.h"

#define IN_LISTEN(field) .offset = offsetof(struct maild_listen, field)

static const char *const protocol_names[] = {"smtp", "milter", "policy", NULL};
static const char *const tls_names[] = {
    "none", "may", "require", "implicit", NULL};
static const char *const version_names[] = {"1.0", "1.1", "1.2", "1.3", NULL};
static const char *const client_cert_names[] = {"ask", "require", NULL};
static const char *const nameless_names[] = {"refuse", "address", NULL};
static const char *const auth_names[] = {"none", "pass", "dovecot", NULL};

const struct option maild_listen_options[] = {
    {
	.name = "address",
	.type = OPTION_STRING,
	IN_LISTEN(address),
	.required = true,
	.sample = "127.0.0.1:2525",
	.check = maild_check_listen,
	.doc = "Where to listen: \"192.0.2.1:25\", \"[::]:25\" or "
	       "\"unix:/path\".",
    },
    {
	.name = "protocol",
	.type = OPTION_ENUM,
	IN_LISTEN(protocol),
	.preset = "smtp",
	.names = protocol_names,
	.check = maild_check_protocol,
	.doc =
	    "What is spoken there: smtp for the relay; milter for Postfix and "
	    "Sendmail (one such listener); policy for Postfix's policy "
	    "delegation protocol. auth, proxy and tls are for smtp alone.",
    },
    {
	.name = "backlog",
	.type = OPTION_UINT,
	IN_LISTEN(backlog),
	.preset = "511",
	.min = 1,
	.max = 65535,
	.doc = "Connections that the system keeps until they are accepted.",
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
	.doc = "Networks of the mail servers that may ask over TCP, for "
	       "protocol = milter and policy. Default: this machine "
	       "(127.0.0.0/8 and ::1). Programs on this machine must run as "
	       "one of socket_users as well. Prefer a Unix socket where the "
	       "mail server is on this machine.",
    },
    {
	.name = "auth",
	.type = OPTION_ENUM,
	IN_LISTEN(auth),
	.preset = "none",
	.names = auth_names,
	.reloadable = true,
	.doc = "Who checks logins (AUTH): none offers no AUTH, pass lets the "
	       "next hop check them on a connection of the session's own, "
	       "dovecot asks the service at auth_socket. The user is then the "
	       "sender who is throttled. Carried are PLAIN, LOGIN, CRAM-MD5, "
	       "XOAUTH2 and OAUTHBEARER, as far as the next hop or Dovecot "
	       "offers them.",
    },
    {
	.name = "auth_in_clear",
	.type = OPTION_BOOL,
	IN_LISTEN(auth_in_clear),
	.preset = "false",
	.reloadable = true,
	.doc = "Offer AUTH to clients without TLS as well. Clients on the same "
	       "machine are always offered it.",
    },
    {
	.name = "auth_required",
	.type = OPTION_BOOL,
	IN_LISTEN(auth_required),
	.preset = "false",
	.reloadable = true,
	.doc = "Take mail from those alone who have logged in; others are "
	       "answered with 530.",
    },
    {
	.name = "auth_nameless",
	.type = OPTION_ENUM,
	IN_LISTEN(auth_nameless),
	.preset = "refuse",
	.names = nameless_names,
	.reloadable = true,
	.doc = "What is done with an OAUTHBEARER login that names no user "
	       "(RFC 7628 lets a= be left out; who it is then stands in the "
	       "token, which only the one who checks it can read). With auth "
	       "= dovecot Dovecot tells the name, and this is not asked. With "
	       "auth = pass: refuse, as weir could not tell whom to throttle; "
	       "or address, the login is passed on and the client's address "
	       "is the sender who is throttled.",
    },
    {
	.name = "proxy",
	.type = OPTION_BOOL,
	IN_LISTEN(proxy),
	.preset = "false",
	.reloadable = true,
	.doc = "Each connection begins with a PROXY header (version 1 or 2), "
	       "as haproxy sends it with send-proxy, from one of proxy_from. "
	       "Any other connection is closed without a word.",
    },
    {
	.name = "hide_client",
	.type = OPTION_BOOL,
	IN_LISTEN(hide_client),
	.preset = "false",
	.reloadable = true,
	.doc = "Leave the client's name and address out of the Received line, "
	       "so that mail does not tell the address of a person's machine. "
	       "With protocol milter, out of the line in copies that are held; "
	       "a change needs a restart there.",
    },
    {
	.name = "tls",
	.type = OPTION_ENUM,
	IN_LISTEN(tls),
	.preset = "none",
	.names = tls_names,
	.reloadable = true,
	.doc = "none; may, STARTTLS is offered; require, it must be used "
	       "before mail; implicit, TLS from the first byte, as on port "
	       "465.",
    },
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_cert),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Certificates of this listener, in place of the ones above.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_key),
	.reloadable = true,
	.check = option_check_path,
	.doc = "Their keys.",
    },
    {
	.name = "tls_min_version",
	.type = OPTION_ENUM,
	IN_LISTEN(tls_min_version),
	.preset = "1.2",
	.names = version_names,
	.reloadable = true,
	.doc = "The oldest version of TLS that is spoken: \"1.0\", \"1.1\", "
	       "\"1.2\" or \"1.3\". 1.0 and 1.1 are broken; they are for old "
	       "devices, on a listener that nobody else uses, and take away "
	       "OpenSSL's demands on keys and signatures there (security "
	       "level 0).",
    },
    {
	.name = "tls_client_ca",
	.type = OPTION_STRING,
	IN_LISTEN(tls_client_ca),
	.reloadable = true,
	.check = option_check_path,
	.doc = "PEM file of authorities. Clients are asked for a certificate, "
	       "and one that these have signed makes its common name the user "
	       "whose mail it is. Other clients are served as if there were no "
	       "such option, unless tls_client_cert is require.",
    },
    {
	.name = "tls_client_cert",
	.type = OPTION_ENUM,
	IN_LISTEN(tls_client_cert),
	.preset = "ask",
	.names = client_cert_names,
	.reloadable = true,
	.doc = "What tls_client_ca and tls_client_account are for. ask: "
	       "clients are asked for a certificate, and those who show none, "
	       "or one that is not known, are served like any other. require: "
	       "their handshake fails; tls must be require or implicit.",
    },
    {
	.name = "tls_client_account",
	.type = OPTION_STRINGS,
	IN_LISTEN(tls_client_account),
	.reloadable = true,
	.check = maild_check_account,
	.doc = "\"user=fingerprint\": clients are asked for a certificate, and "
	       "who shows the one with this SHA-256 fingerprint is this user.",
    },
    {0},
};
