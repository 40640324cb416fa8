/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf for several relays with one throttle, see
 * maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const shared_fail_names[] = {"local", "tempfail", NULL};

const struct option maild_options_share[] = {

    /* clang-format off */
	{
		.name = "shared", .type = OPTION_STRING, AT(shared),
		.sample = "redis://127.0.0.1:6379/0",
		.check = maild_check_shared,
		.doc =
		    "Redis or Valkey server through which several relays "
		    "count, freeze and thaw senders together: "
		    "\"redis://HOST:PORT/DATABASE\", \"rediss://...\" (TLS, "
		    "verified), \"unix:/path\", or the sentinels that know "
		    "it: "
		    "\"redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DATABASE\", "
		    "or nodes of a cluster: "
		    "\"redis+cluster://HOST:PORT,HOST:PORT\". It decides "
		    "which new recipients of a sender pass and which wait, as "
		    "if all relays were one. A sender that one relay freezes "
		    "is frozen at all relays within a second. If the server "
		    "cannot be reached, each relay works on its own. See "
		    "doc/cluster.md. Default: none; the relay works alone.",
	},
	    {
		    .name = "shared_secret_file",
		    .type = OPTION_STRING,
		    AT(shared_secret_file),
		    .sample = "/etc/weir/shared.secret",
		    .check = option_check_path,
		    .doc =
		    "File with the secret of the site, at least 16 bytes, "
		    "the same at all relays. Names in the shared server "
		    "are hashed and its records encrypted with it. Only "
		    "the owner may have access to the file. Required with "
		    "shared.",
	    },
	    {
		    .name = "shared_user",
		    .type = OPTION_STRING,
		    AT(shared_user),
		    .sample = "weir",
		    .check = maild_check_text,
		    .doc =
		    "User name for the login at the shared server. "
		    "Default: the server's default user.",
	    },
	    {
		    .name = "shared_password_file",
		    .type = OPTION_STRING,
		    AT(shared_password_file),
		    .sample = "/etc/weir/shared.password",
		    .check = option_check_path,
		    .doc =
		    "File whose first line is the password for the shared "
		    "server. Only the owner may have access to the file.",
	    },
	    {
		    .name = "shared_sentinel_password_file",
		    .type = OPTION_STRING,
		    AT(shared_sentinel_password_file),
		    .sample = "/etc/weir/sentinel.password",
		    .check = option_check_path,
		    .doc =
		    "File whose first line is the password that the "
		    "sentinels in shared ask for (their requirepass). Only "
		    "the owner may have access to the file. Default: none; "
		    "shared_password_file is never sent to a sentinel.",
	    },
	    {
		    .name = "shared_prefix",
		    .type = OPTION_STRING,
		    AT(shared_prefix),
		    .preset = "weir",
		    .check = maild_check_prefix,
		    .doc =
		    "Prefix of weir's keys in the shared server. Relays "
		    "with the same prefix and secret work together.",
	    },
	    {
		    .name = "shared_tls_ca",
		    .type = OPTION_STRING,
		    AT(shared_tls_ca),
		    .sample = "/etc/weir/shared-ca.pem",
		    .check = option_check_path,
		    .doc = "PEM file of the authorities trusted for the "
			   "certificate of the shared server (rediss://). "
			   "Default: those that the system trusts.",
	    },
	    {
		    .name = "shared_tls_name",
		    .type = OPTION_STRING,
		    AT(shared_tls_name),
		    .sample = "redis.example.org",
		    .check = maild_check_hostname,
		    .doc =
		    "Name that the certificate of the shared server must "
		    "match. Default: the host in shared.",
	    },
	    {
		    .name = "shared_timeout",
		    .type = OPTION_DURATION,
		    AT(shared_timeout_ms),
		    .preset = "200ms",
		    .min = 10,
		    .max = 10000,
		    .doc =
		    "Maximum time for the shared server to answer. After "
		    "that the connection is closed, and the relay works on "
		    "its own until the server answers again.",
	    },
	    {
		    CHOICE("shared_fail", shared_fail, "local",
			shared_fail_names),
		    .doc =
		    "Handling of mail to new recipients while the shared "
		    "server does not answer. local: each relay decides on its "
		    "own, based on the server's last reply. tempfail: such "
		    "mail is refused with 451, so that the client retries it; "
		    "mail to known recipients passes.",
	    },
    {0},
};
