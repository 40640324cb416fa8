/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of several relays with one throttle, for maild_options.c alone:
 * its macros are used.
 */
#ifndef MAILD_MAILD_OPTIONS_SHARE_H
#define MAILD_MAILD_OPTIONS_SHARE_H

/* clang-format off */
#define MAILD_SHARE_OPTIONS                                                        \
	{                                                                    \
		.name = "shared", .type = OPTION_STRING, AT(shared),         \
		.sample = "redis://127.0.0.1:6379/0",                        \
		.check = maild_check_shared,                                 \
		.doc = "Redis or Valkey server over which several relays "   \
		       "count, freeze and thaw senders together: "           \
		       "\"redis://HOST:PORT/DATABASE\", \"rediss://...\" "   \
		       "(TLS, verified) or \"unix:/path\". It decides "      \
		       "which new recipients of a sender pass and which "    \
		       "wait, at all relays as if they were one; what one "  \
		       "relay freezes is frozen at all within a second. "    \
		       "When the server cannot be reached, each relay goes " \
		       "on by itself. See doc/cluster.md. Default: none; "   \
		       "the relay stands alone.",                            \
	},                                                                   \
	    {                                                                \
		    .name = "shared_secret_file",                            \
		    .type = OPTION_STRING,                                   \
		    AT(shared_secret_file),                                  \
		    .sample = "/etc/weir/shared.secret",                     \
		    .check = option_check_path,                              \
		    .doc = "File with the secret of the site, 16 bytes or "  \
			   "more, the same at all relays. Names in the "     \
			   "shared server are hashed and its records "       \
			   "encrypted with it. Nobody but its owner may "    \
			   "have any right to the file. Required with "      \
			   "shared.",                                        \
	    },                                                               \
	    {                                                                \
		    .name = "shared_user",                                   \
		    .type = OPTION_STRING,                                   \
		    AT(shared_user),                                         \
		    .sample = "weir",                                        \
		    .check = maild_check_text,                               \
		    .doc = "User to log in as at the shared server. "        \
			   "Default: the server's default user.",            \
	    },                                                               \
	    {                                                                \
		    .name = "shared_password_file",                          \
		    .type = OPTION_STRING,                                   \
		    AT(shared_password_file),                                \
		    .sample = "/etc/weir/shared.password",                   \
		    .check = option_check_path,                              \
		    .doc = "File whose first line is the password at the "   \
			   "shared server. Nobody but its owner may have "   \
			   "any right to the file.",                         \
	    },                                                               \
	    {                                                                \
		    .name = "shared_prefix",                                 \
		    .type = OPTION_STRING,                                   \
		    AT(shared_prefix),                                       \
		    .preset = "weir",                                        \
		    .check = maild_check_prefix,                             \
		    .doc = "Beginning of weir's keys in the shared server. " \
			   "Relays with the same prefix and secret work "    \
			   "together.",                                      \
	    },                                                               \
	    {                                                                \
		    .name = "shared_tls_ca",                                 \
		    .type = OPTION_STRING,                                   \
		    AT(shared_tls_ca),                                       \
		    .sample = "/etc/weir/shared-ca.pem",                     \
		    .check = option_check_path,                              \
		    .doc = "PEM file of the authorities trusted for the "    \
			   "certificate of the shared server (rediss://). "  \
			   "Default: those that the system trusts.",         \
	    },                                                               \
	    {                                                                \
		    .name = "shared_tls_name",                               \
		    .type = OPTION_STRING,                                   \
		    AT(shared_tls_name),                                     \
		    .sample = "redis.example.org",                           \
		    .check = maild_check_hostname,                           \
		    .doc = "Name that must be in the certificate of the "    \
			   "shared server. Default: the host in shared.",    \
	    },                                                               \
	    {                                                                \
		    .name = "shared_timeout",                                \
		    .type = OPTION_DURATION,                                 \
		    AT(shared_timeout_ms),                                   \
		    .preset = "200ms",                                       \
		    .min = 10,                                               \
		    .max = 10000,                                            \
		    .doc = "Time in which the shared server must answer. "   \
			   "After it the connection is closed and the "      \
			   "relay goes on by itself until the server "       \
			   "answers again.",                                 \
	    },                                                               \
	    {                                                                \
		    CHOICE("shared_fail", shared_fail, "local",              \
			shared_fail_names),                                  \
		    .doc = "What happens to mail to new recipients while "   \
			   "the shared server does not answer. local: each " \
			   "relay decides by itself, by what it knew last. " \
			   "tempfail: such mail is refused with 451 and "    \
			   "comes again; mail to known recipients passes.",  \
	    }
/* clang-format on */

#endif
