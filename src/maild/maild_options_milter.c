/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf about the milter and the mail server's own hold
 * queue, see maild_options.c.
 */
#include "config.h"

#include "maild/maild_options.h"

static const char *const hold_names[] = {
    "take", "tempfail", "quarantine", NULL};

const struct option maild_options_milter[] = {

    /* clang-format off */
    {
	.name = "milter_hold",
	.type = OPTION_ENUM,
	AT(milter.hold),
	.preset = "take",
	.names = hold_names,
	.doc =
		    "What a milter does with recipients that must wait. "
		    "take: they are removed from the message, and their "
		    "copy goes to the spool. tempfail: the mail server "
		    "replies 451 for them, and nothing is kept here; a "
		    "deferred recipient is accepted once it is due for "
		    "release. quarantine: the whole message goes to the "
		    "mail server's own hold queue, weir remembers its "
		    "queue id, and release_command releases it when the "
		    "last of its recipients is due.",
    },
    {
	.name = "milter_next_hop",
	.type = OPTION_STRINGS,
	AT(milter_next_hop),
	.sample = "127.0.0.1:10027",
	.check = maild_check_next_hop,
	.doc =
		    "For milter_hold = take: the next hop for held "
		    "recipients of a message that the mail server has kept "
		    "without them, written as in next_hop. It must be a "
		    "listener that makes no automatic copies (always_bcc "
		    "and similar), since these were made when the message "
		    "arrived. With it, a message whose recipients are all "
		    "held is not dropped in the mail server but loses them "
		    "one by one, so that copies, and recipients that "
		    "another filter has added, are sent at once. If not "
		    "set, next_hop is used, and such a message is dropped.",
    },
    {
	.name = "release_command",
	.type = OPTION_STRING,
	AT(mta.release),
	.reloadable = true,
	.sample = "/usr/sbin/postsuper -H - hold",
	.check = maild_check_command,
	.doc =
		    "For milter_hold = quarantine, and for "
		    "mta_hold_command: command that releases messages from "
		    "the mail server's hold queue. Words are separated by "
		    "blanks; the first is a full path; no shell runs it. "
		    "With %i, which stands for a queue id, it runs once "
		    "per message. Without %i, the ids come on standard "
		    "input, one per line and many at once. Alternatively "
		    "unix: and the path of a socket that leads to such a "
		    "program, and a word that is sent before the ids; its "
		    "last line is \"status N\". Status 0 means that none "
		    "of the messages is on hold any longer; after any "
		    "other status the command is retried with growing "
		    "pauses.",
    },
    {
	.name = "discard_command",
	.type = OPTION_STRING,
	AT(mta.discard),
	.reloadable = true,
	.sample = "/usr/sbin/postsuper -d - hold",
	.check = maild_check_command,
	.doc =
		    "Command that deletes messages from the mail server's "
		    "hold queue when weirctl discards them. Written as "
		    "release_command.",
    },
    {
	.name = "queue_command",
	.type = OPTION_STRING,
	AT(mta.queue),
	.reloadable = true,
	.sample = "/usr/sbin/postqueue -j",
	.check = maild_check_command,
	.doc =
		    "Command that lists the mail server's hold queue, so "
		    "that weir forgets messages that others have removed "
		    "from it. Of the output of postqueue -j, the objects "
		    "with queue_name \"hold\" count; of any other text, "
		    "each word that could be a queue id. The list is "
		    "trusted once it has contained a message that weir "
		    "holds. If not set, such a message is forgotten when "
		    "it is due for release. While a sender is frozen, with "
		    "any milter_hold, messages with queue_name "
		    "\"maildrop\" are counted in weirctl status: they are "
		    "sent when the sender is thawed.",
    },
    {
	.name = "mta_hold_command",
	.type = OPTION_STRING,
	AT(mta.hold),
	.reloadable = true,
	.sample = "/usr/sbin/postsuper -h -",
	.check = maild_check_command,
	.doc =
		    "Command that puts messages on hold in the mail "
		    "server's queue, written as release_command. With it a "
		    "freeze also reaches mail that weir has passed on and "
		    "that is still queued there: with any milter_hold, and "
		    "where Postfix is the next hop. A thaw gives these "
		    "messages to release_command, or to discard_command "
		    "with --discard. It requires both of them, and a "
		    "queue_command that prints the output of postqueue -j. "
		    "Messages that somebody else has put on hold before "
		    "are left alone. Messages passed on before weir was "
		    "started are not known.",
    },
    {
	.name = "queue_check",
	.type = OPTION_DURATION,
	AT(mta.check_ms),
	.preset = "5m",
	.min = SECONDS(1),
	.max = HOURS(24),
	.reloadable = true,
	.doc =
		    "Time between two runs of queue_command while "
		    "something is in quarantine.",
    },
    {
	.name = "queue_settle",
	.type = OPTION_DURATION,
	AT(mta.settle_ms),
	.preset = "10s",
	.max = HOURS(1),
	.reloadable = true,
	.doc =
		    "Minimum age of a message before weir looks for it in the "
		    "mail server's hold queue or runs a command on it. Until "
		    "then the mail server may still be writing it, or another "
		    "milter after weir may be inspecting it. A release that "
		    "does not find the message would leave it on hold forever.",
    },
    {
	.name = "queue_command_timeout",
	.type = OPTION_DURATION,
	AT(mta.timeout_ms),
	.preset = "1m",
	.min = SECONDS(1),
	.max = HOURS(1),
	.reloadable = true,
	.doc =
		    "Time after which release_command, discard_command, "
		    "queue_command and mta_hold_command are killed and "
		    "count as failed.",
    },
    {
	.name = "milter_timeout",
	.type = OPTION_DURATION,
	AT(milter.command_timeout_ms),
	.preset = "8s",
	.min = SECONDS(1),
	.max = MINUTES(5),
	.doc =
		    "Maximum time for a milter to reply to MAIL and RCPT; "
		    "after that it replies 451. Keep it below the mail "
		    "server's own limit: Postfix's milter_command_timeout "
		    "is 30s, Sendmail's T=R is 10s. For the end of a "
		    "message answer_timeout applies. Keep that below "
		    "Postfix's milter_content_timeout of 300s and "
		    "Sendmail's T=E of 5m.",
    },
    {0},
};
