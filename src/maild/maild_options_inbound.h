/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf that say which mail comes in and for whom, see
 * maild_options.c, where they take their places in the table.
 */
#ifndef MAILD_MAILD_OPTIONS_INBOUND_H
#define MAILD_MAILD_OPTIONS_INBOUND_H

/* clang-format off */
#define MAILD_INBOUND_OPTIONS						\
	{								\
		.name = "local_domains",				\
		.type = OPTION_STRINGS,					\
		AT(local_domains),					\
		.reloadable = true,					\
		.sample = "example.org",				\
		.doc =							\
		    "The domains of your own users. Mail to them comes "	\
		    "in if its client has no login, is not on this "	\
		    "machine and is not in my_networks: it passes "	\
		    "uncounted, even from a frozen client, and senders " \
		    "may learn from it (learn_inbound). Not set: all mail " \
		    "counts, except in a milter, where Postfix says "	\
		    "which recipients it delivers itself (transports "	\
		    "local, virtual and lmtp, and virtual alias domains). " \
		    "A reverse path in them is not foreign "		\
		    "(reverse_paths). A login of any other domain counts "	\
		    "by its local part (login_form). file:/path reads "	\
		    "them from a file, one a line.",			\
	},								\
	{								\
		.name = "internal_domains",				\
		.type = OPTION_STRINGS,					\
		AT(internal_domains),					\
		.preset = "{\"local_domains\"}",			\
		.reloadable = true,					\
		.sample = "{\"local_domains\", \"example.net\"}",	\
		.doc =							\
		    "Every address in these domains is a familiar "	\
		    "recipient (familiar_for) to all senders: the "	\
		    "colleagues of your own users. The entry "		\
		    "\"local_domains\" stands for the domains of that "	\
		    "option. {}: none. An address that may lead "	\
		    "elsewhere, one with %, ! or @ in its local part, "	\
		    "is not of its domain. file:/path reads them from a "	\
		    "file, one a line.",				\
	},								\
	{								\
		.name = "inbound_source",				\
		.type = OPTION_ENUM,					\
		AT(inbound_source),					\
		.preset = "address",					\
		.names = inbound_source_names,				\
		.reloadable = true,					\
		.doc =							\
		    "Which sender an address in local_domains is, "	\
		    "when mail comes in for it: address, the user who "	\
		    "logs in by that address; localpart, the user who "	\
		    "logs in by what is before the @; envelope, "	\
		    "nobody logs in, and the address as envelope "	\
		    "sender counts. user+tag is user.",			\
	},								\
	{								\
		.name = "inbound_users",				\
		.type = OPTION_STRINGS,					\
		AT(inbound_users),					\
		.reloadable = true,					\
		.sample = "alice.smith@example.org=asmith",		\
		.doc =							\
		    "Addresses for which inbound_source names the "	\
		    "wrong user, as address=user: aliases, and logins "	\
		    "of another form. An address may be there for "	\
		    "several users; file:/path reads them from a "	\
		    "file, one a line.",				\
	},								\
	{								\
		SIZE("inbound_memory", inbound_memory, "64M",		\
		    MIB(1), MIB(65536)),				\
		.doc =							\
		    "Memory for what all senders together have learnt "	\
		    "from incoming mail. Past it no further sender "	\
		    "learns, and the others keep newer addresses in "	\
		    "place of older ones.",				\
	},								\
	{								\
		SIZE("acquaintances_memory", acquaintances_memory,	\
		    "64M", 0, MIB(65536)),				\
		.doc =							\
		    "Memory for whom senders have written to "		\
		    "(familiar_for); 0: that is not noted down, and "	\
		    "the recipients in internal_domains alone are "	\
		    "familiar. All of them are kept in the "		\
		    "spool, 4096 for each sender, the oldest forgotten " \
		    "first; this is what is held of them in memory, 3 " \
		    "KB for a sender as a rule. "			\
		    "Past it the senders that were asked about least "	\
		    "recently are read from the disk again, which "	\
		    "changes no verdict.",				\
	}
/* clang-format on */

#endif
