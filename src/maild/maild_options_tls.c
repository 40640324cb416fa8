/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf about TLS with clients and the next hop, see
 * maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const hop_tls_names[] = {
    "none", "may", "require", "verify", NULL};

const struct option maild_options_tls[] = {
    {
	.name = "tls_cert",
	.type = OPTION_STRINGS,
	AT(tls_cert),
	.reloadable = true,
	.sample = "/etc/weir/relay.example.org.pem",
	.check = option_check_path,
	.doc =
	    "Certificates of the listeners, each a PEM file with the "
	    "certificate and its chain. A client that requests a server name "
	    "gets the first certificate for that name; any other gets the "
	    "first of the list. They are read again at a reload. Sessions "
	    "continue, and if a file is bad, the old certificates stay in use.",
    },
    {
	.name = "tls_key",
	.type = OPTION_STRINGS,
	AT(tls_key),
	.reloadable = true,
	.sample = "/etc/weir/relay.example.org.key",
	.check = option_check_path,
	.doc = "Keys of tls_cert in the same order, PEM without a passphrase. "
	       "If not set, each key is read from the certificate's file. A "
	       "daemon with user set reads them as that user at a reload.",
    },
    {
	TIME("tls_timeout", hop.tls.timeout_ms, "1m", SECONDS(1), MINUTES(10)),
	.doc =
	    "Maximum time for a TLS handshake with a client or the next hop.",
    },
    {
	CHOICE("next_hop_tls", next_hop_tls, "none", hop_tls_names),
	.doc =
	    "TLS to the next hop. none: no TLS. may: TLS if the next hop "
	    "offers STARTTLS, plaintext if the handshake fails. require: TLS "
	    "with any certificate. verify: TLS with a trusted certificate that "
	    "matches the name of the next hop. If the required TLS is not "
	    "available, clients get 451 and released mail waits. With verify, "
	    "clients over TLS are offered REQUIRETLS (RFC 8689) where the next "
	    "hop offers it: such mail goes to no other next hop, and is "
	    "returned rather than released without it (5.7.30; 5.7.10 when "
	    "there is no TLS at all). The header field TLS-Required: No is "
	    "passed on and has no effect here.",
    },
    {
	SWITCH("next_hop_tls_implicit", hop.tls.implicit, "false"),
	.doc = "The next hop speaks TLS from the first byte, as on port 465. "
	       "Not allowed with next_hop_tls none or may.",
    },
    {
	.name = "next_hop_tls_ca",
	.type = OPTION_STRING,
	AT(next_hop_tls_ca),
	.reloadable = true,
	.sample = "/etc/weir/next-hop-ca.pem",
	.check = option_check_path,
	.doc = "PEM file of the authorities that verify trusts. Default: the "
	       "authorities that the system trusts.",
    },
    {
	.name = "next_hop_tls_name",
	.type = OPTION_STRING,
	AT(hop.tls.name),
	.reloadable = true,
	.sample = "mx.example.org",
	.check = maild_check_hostname,
	.doc = "Server name that is requested from the next hop and that its "
	       "certificate must match. Default: the host in next_hop.",
    },
    {
	.name = "next_hop_tls_fingerprint",
	.type = OPTION_STRINGS,
	AT(next_hop_tls_fingerprint),
	.reloadable = true,
	.check = maild_check_fingerprint,
	.doc = "SHA-256 fingerprints of certificates. With verify, the next "
	       "hop's certificate must be one of them; its name, authority and "
	       "date are then not checked.",
    },
    {0},
};
