/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The options of weir.conf about the milter and the mail server's own hold
 * queue, see maild_options.c, where they take their places in the table.
 */
#ifndef MAILD_MAILD_OPTIONS_MILTER_H
#define MAILD_MAILD_OPTIONS_MILTER_H

/* clang-format off */
#define MAILD_MILTER_OPTIONS                                                   \
    {                                                                          \
	.name = "milter_hold",                                                 \
	.type = OPTION_ENUM,                                                   \
	AT(milter_hold),                                                       \
	.preset = "take",                                                      \
	.names = hold_names,                                                   \
	.doc = "What a milter does with recipients that must wait. take: they " \
	       "leave the message and their copy goes to the spool. tempfail: " \
	       "the mail server answers 451 for them, and nothing is kept "    \
	       "here: a recipient that was put off is let in when its turn has " \
	       "come. quarantine: the whole message goes to the mail server's " \
	       "own hold queue, weir remembers its queue id, and "             \
	       "release_command lets it out when the last of its recipients "  \
	       "may go.",                                                      \
    },                                                                         \
    {                                                                          \
	.name = "milter_next_hop",                                             \
	.type = OPTION_STRINGS,                                                \
	AT(milter_next_hop),                                                   \
	.sample = "127.0.0.1:10027",                                           \
	.check = maild_check_next_hop,                                         \
	.doc = "For milter_hold = take: where held recipients go whose "       \
	       "message the mail server has kept without them, as next_hop. "  \
	       "It is a listener that makes no automatic copies (always_bcc "  \
	       "and the like): they were made of the message when it came. "   \
	       "With it a message of which all recipients are held is not "    \
	       "dropped in the mail server but loses them one by one, so that " \
	       "copies, and recipients that another filter has added, go out " \
	       "at once. Not set: next_hop, and such a message is dropped.",   \
    },                                                                         \
    {                                                                          \
	.name = "release_command",                                             \
	.type = OPTION_STRING,                                                 \
	AT(release_command),                                                   \
	.reloadable = true,                                                    \
	.sample = "/usr/sbin/postsuper -H - hold",                             \
	.check = maild_check_command,                                          \
	.doc = "For milter_hold = quarantine, and for mta_hold_command: takes " \
	       "messages out of the mail server's hold queue. Words between blanks, the first of them a " \
	       "full path; no shell runs it. %i stands for a queue id, then "  \
	       "it runs once a message; without %i the ids come on standard "  \
	       "input, one a line and many at once. Or unix: and the path of " \
	       "a socket behind which such a program stands, and a word that " \
	       "is sent before the ids; its last line is \"status N\". "       \
	       "Status 0 means that none of the messages is "                  \
	       "held any more; anything else is tried again with growing "     \
	       "pauses.",                                                      \
    },                                                                         \
    {                                                                          \
	.name = "discard_command",                                             \
	.type = OPTION_STRING,                                                 \
	AT(discard_command),                                                   \
	.reloadable = true,                                                    \
	.sample = "/usr/sbin/postsuper -d - hold",                             \
	.check = maild_check_command,                                          \
	.doc = "The same for what weirctl discards: deletes messages in the "  \
	       "mail server's hold queue.",                                    \
    },                                                                         \
    {                                                                          \
	.name = "queue_command",                                               \
	.type = OPTION_STRING,                                                 \
	AT(queue_command),                                                     \
	.reloadable = true,                                                    \
	.sample = "/usr/sbin/postqueue -j",                                    \
	.check = maild_check_command,                                          \
	.doc = "Lists the mail server's hold queue, so that weir forgets what " \
	       "has left it by other hands. Of postqueue -j the objects with " \
	       "queue_name \"hold\" count, of any other text each word that "  \
	       "could be a queue id. It is believed once it has shown a "      \
	       "message that weir holds. Without it such a message is "        \
	       "forgotten when its turn has come. While a sender is frozen, "  \
	       "with any milter_hold, those in queue_name \"maildrop\" are "   \
	       "counted in weirctl status: they go when it is thawed.",        \
    },                                                                         \
    {                                                                          \
	.name = "mta_hold_command",                                            \
	.type = OPTION_STRING,                                                 \
	AT(mta_hold_command),                                                  \
	.reloadable = true,                                                    \
	.sample = "/usr/sbin/postsuper -h -",                                  \
	.check = maild_check_command,                                          \
	.doc = "Puts messages on hold in the mail server's queue, as "         \
	       "release_command has it. With it a freeze also reaches mail "   \
	       "that weir had let go and that still waits there: with any "    \
	       "milter_hold, and where Postfix is the next hop. A thaw gives " \
	       "these messages to release_command, or to discard_command with " \
	       "--discard. Needs both of them and queue_command, which must "  \
	       "print what postqueue -j prints. What somebody else put on "    \
	       "hold before is left alone, and what was let go before weir "   \
	       "was started is not known.",                                    \
    },                                                                         \
    {                                                                          \
	.name = "queue_check",                                                 \
	.type = OPTION_DURATION,                                               \
	AT(queue_check_ms),                                                    \
	.preset = "5m",                                                        \
	.min = SECONDS(1),                                                     \
	.max = HOURS(24),                                                      \
	.reloadable = true,                                                    \
	.doc = "How often queue_command runs while something is in quarantine.", \
    },                                                                         \
    {                                                                          \
	.name = "queue_settle",                                                \
	.type = OPTION_DURATION,                                               \
	AT(queue_settle_ms),                                                   \
	.preset = "10s",                                                       \
	.max = HOURS(1),                                                       \
	.reloadable = true,                                                    \
	.doc = "For so long after a message came nothing looks for it in the " \
	       "mail server's hold queue, and no command acts on it: the mail " \
	       "server may still be writing it there, or another milter behind " \
	       "weir be looking at it, and a release that does not find it "   \
	       "would leave it on hold for ever.",                             \
    },                                                                         \
    {                                                                          \
	.name = "queue_command_timeout",                                       \
	.type = OPTION_DURATION,                                               \
	AT(queue_command_timeout_ms),                                          \
	.preset = "1m",                                                        \
	.min = SECONDS(1),                                                     \
	.max = HOURS(1),                                                       \
	.reloadable = true,                                                    \
	.doc = "After which release_command, discard_command, queue_command and " \
	       "mta_hold_command are killed and count as failed.",                              \
    },                                                                         \
    {                                                                          \
	.name = "milter_timeout",                                              \
	.type = OPTION_DURATION,                                               \
	AT(milter_timeout_ms),                                                 \
	.preset = "8s",                                                        \
	.min = SECONDS(1),                                                     \
	.max = MINUTES(5),                                                     \
	.doc = "Longest time in which a milter answers MAIL and RCPT; then it " \
	       "answers 451. Keep it below the mail server's own: Postfix's "  \
	       "milter_command_timeout is 30s, Sendmail's T=R is 10s. For the " \
	       "end of a message answer_timeout holds, to be kept below "      \
	       "Postfix's milter_content_timeout of 300s and Sendmail's T=E of " \
	       "5m.",                                                          \
    }
/* clang-format on */

#endif
