/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of the control socket: grammar, right and handler of each.
 */
#include "maild/control_private.h"

#include "control/access_store.h"

/* What show has of each relay of a site. */
static const char *const show_each[] = {"queue_length", "familiar_waiting",
    "stopped_by_freeze", "mta_held", "last_seen", NULL};

#define SELECTS (CONTROL_IDS | CONTROL_SENDER | CONTROL_ALL)
#define FILTERS                                                                \
	(CONTROL_OLDER | CONTROL_NEWER | CONTROL_RECIPIENT | CONTROL_SUBJECT | \
	    CONTROL_SIZE_MIN | CONTROL_SIZE_MAX)
#define CHANGES (CONTROL_REASON | CONTROL_DRY_RUN)
#define FINDS                                                       \
	(CONTROL_TERM | CONTROL_SENDER | CONTROL_RECIPIENT |        \
	    CONTROL_MESSAGE_ID | CONTROL_MTA_ID | CONTROL_SUBJECT | \
	    CONTROL_CLIENT)

const struct control_command control_commands[] = {
    {
	.name = "status",
	.right = CONTROL_READ,
	.run = control_status,
	.doc = "one row: mode, counters, spool, delivery",
    },
    {
	.name = "senders",
	.takes = CONTROL_FROZEN | CONTROL_BUSY | CONTROL_TERM | CONTROL_RELAY,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_senders,
	.doc = "a row per sender in memory; busy: those alone that are frozen "
	       "or have a queue",
    },
    {
	.name = "show",
	.takes = CONTROL_SENDER | CONTROL_RELAY,
	.needs = CONTROL_SENDER,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ONE,
	.each = show_each,
	.run = control_show,
	.doc = "one row: everything about a sender",
    },
    {
	.name = "explain",
	.takes = CONTROL_SENDER | CONTROL_RECIPIENT | CONTROL_CLIENT,
	.needs = CONTROL_SENDER | CONTROL_RECIPIENT,
	.right = CONTROL_READ,
	.run = control_explain,
	.doc = "what would be said to a recipient of a sender now, and why; "
	       "takes nothing",
    },
    {
	.name = "history",
	.right = CONTROL_READ,
	.run = control_history,
	.doc = "a row per message of the last day, with what each recipient "
	       "was to its sender, for weir-replay history",
    },
    {
	.name = "queue",
	.takes = CONTROL_SENDER | CONTROL_IDS | CONTROL_STATE | FILTERS |
		 CONTROL_RELAY,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_queue,
	.doc = "a row per message in the spool, the oldest first",
    },
    {
	.name = "find",
	.takes = FINDS | CONTROL_MAX | CONTROL_RELAY,
	.needs_any = FINDS,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_find,
	.doc = "a row per message in the spool that matches all filters, with "
	       "what each recipient waits for; where there is none, what "
	       "events know of it",
    },
    {
	.name = "problems",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_problems,
	.doc = "a row per problem: the disk, next hops, commands, who is "
	       "frozen or waits for more than an hour, who was refused within "
	       "the hour, what is deferred; each with what helps",
    },
    {
	.name = "cat",
	.takes = CONTROL_IDS | CONTROL_RELAY,
	.needs = CONTROL_IDS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_FIRST,
	.run = control_cat,
	.doc = "a message: a row with its envelope, then rows with \"data\", "
	       "in which each character stands for one byte",
    },
    {
	.name = "release",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_release,
	.doc = "lets held recipients go now, and those that wait for their "
	       "next try",
    },
    {
	.name = "flush",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_flush,
	.doc = "tries released recipients now that wait for their next try",
    },
    {
	.name = "discard",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_discard,
	.doc = "removes held recipients for good",
    },
    {
	.name = "freeze",
	.takes = CONTROL_SENDER | CONTROL_REASON | CONTROL_FOR,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.run = control_freeze,
	.doc = "stops a sender, with a reason, and for a time",
    },
    {
	.name = "thaw",
	.takes = CONTROL_SENDER | CONTROL_THEN | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.run = control_thaw,
	.doc = "lets a sender go on, with its queue, without, or all at once",
    },
    {
	.name = "forget",
	.takes = CONTROL_SENDER,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.run = control_forget,
	.doc = "forget a sender's known recipients outside its working set: "
	       "whom it wrote to, who was imported, who wrote to it",
    },
    {
	.name = "learn",
	.takes = CONTROL_PAIRS,
	.needs = CONTROL_PAIRS,
	.right = CONTROL_CHANGE,
	.run = control_learn,
	.doc = "senders know these recipients: rows of [sender, recipient, "
	       "time of the last mail]; answers how many rows were taken, "
	       "learnt, too old, and which are wrong",
    },
    {
	.name = "events",
	.takes = CONTROL_FOLLOW | CONTROL_MAX,
	.right = CONTROL_READ,
	.in_domain = true,
	.run = control_events,
	.doc = "what happened lately, and what happens from now on",
    },
    {
	.name = "trace",
	.takes = CONTROL_TERM | CONTROL_FOR,
	.needs = CONTROL_TERM,
	.right = CONTROL_READ,
	.run = control_trace,
	.doc = "the SMTP dialogue, changes of state and verdicts of a client, "
	       "a sender or a next hop, from now on",
    },
    {
	.name = "audit",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_audit,
	.doc = "what administrators did, newest first",
    },
    {
	.name = "alerts",
	.right = CONTROL_READ,
	.run = control_alerts,
	.doc = "a row per alert section: what waits, and how the last message "
	       "went",
    },
    {
	.name = "alert_test",
	.takes = CONTROL_TERM,
	.needs = CONTROL_TERM,
	.right = CONTROL_CHANGE,
	.run = control_alert_test,
	.doc = "sends a test by the alert section named by term, and says "
	       "whether it was taken",
    },
    {
	.name = "config",
	.right = CONTROL_ADMIN,
	.run = control_config,
	.doc = "the configuration in use",
    },
    {
	.name = "reload",
	.right = CONTROL_ADMIN,
	.run = control_reload,
	.doc = "reads the configuration again",
    },
    ACCESS_COMMANDS,
    {0},
};
