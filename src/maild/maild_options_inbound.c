/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf that say which mail comes in and for whom, see
 * maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const inbound_source_names[] = {
    "address", "localpart", "envelope", NULL};

const struct option maild_options_inbound[] = {

    /* clang-format off */
	{
		.name = "local_domains",
		.type = OPTION_STRINGS,
		AT(local_domains),
		.reloadable = true,
		.sample = "example.org",
		.doc =
		    "Domains of your own users. Mail to them is incoming "
		    "if its client has no login, is not on this machine "
		    "and is not in my_networks: it passes uncounted, even "
		    "from a frozen client, and senders may learn from it "
		    "(learn_inbound). If not set, all mail counts, except "
		    "in a milter, where Postfix reports which recipients "
		    "it delivers itself (transports local, virtual and "
		    "lmtp, and virtual alias domains). A reverse path in "
		    "these domains is not foreign (reverse_paths). A login "
		    "of any other domain counts by its local part "
		    "(login_form). file:/path reads them from a file, one "
		    "per line.",
	},
	{
		.name = "internal_domains",
		.type = OPTION_STRINGS,
		AT(internal_domains),
		.preset = "{\"local_domains\"}",
		.reloadable = true,
		.sample = "{\"local_domains\", \"example.net\"}",
		.doc =
		    "Domains in which every address is a familiar "
		    "recipient (familiar_for) for all senders: the "
		    "colleagues of your own users. The entry "
		    "\"local_domains\" stands for the domains of that "
		    "option. {}: none. An address that may lead elsewhere, "
		    "that is, one with %, ! or @ in its local part, does "
		    "not belong to its domain. file:/path reads them from "
		    "a file, one per line.",
	},
	{
		.name = "inbound_source",
		.type = OPTION_ENUM,
		AT(inbound_source),
		.preset = "address",
		.names = inbound_source_names,
		.reloadable = true,
		.doc =
		    "How to find the sender for an address in "
		    "local_domains that receives mail. address: the user "
		    "who logs in with that address. localpart: the user "
		    "who logs in with the part before the @. envelope: the "
		    "address itself as envelope sender, where nobody logs "
		    "in. user+tag is user.",
	},
	{
		.name = "inbound_users",
		.type = OPTION_STRINGS,
		AT(inbound_users),
		.reloadable = true,
		.sample = "alice.smith@example.org=asmith",
		.doc =
		    "Addresses for which inbound_source finds the wrong "
		    "user, as address=user: aliases, and logins of another "
		    "form. An address may be listed for several users. "
		    "file:/path reads them from a file, one per line.",
	},
	{
		SIZE("acquaintances_memory", gate.acquaintances_bytes,
		    "64M", 0, MIB(65536)),
		.doc =
		    "Memory for the recipients that senders have written to "
		    "(familiar_for) and the addresses that wrote to them "
		    "(learn_inbound). 0: none are recorded, and only the "
		    "recipients in internal_domains are familiar. The spool "
		    "keeps up to 4096 of them per sender; the oldest is "
		    "forgotten first. This option limits the part held in "
		    "memory, usually 3 KB per sender. When it is full, the "
		    "least recently used senders are read from the disk "
		    "again; no verdict changes.",
	},
	{
		SIZE("inbound_memory", inbound_memory, NULL, 0,
		    MIB(65536)),
		.given = offsetof(
		    struct maild_config, inbound_memory_given),
		.doc =
		    "Obsolete and without effect: acquaintances_memory "
		    "limits what senders learn from incoming mail, too. "
		    "Remove the line.",
	},
    {0},
};
