/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of the control socket: grammar, right and handler of each.
 */
#include "maild/control_private.h"

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
	.doc = "show one row: mode, counters, spool, delivery",
    },
    {
	.name = "senders",
	.takes = CONTROL_FROZEN | CONTROL_BUSY | CONTROL_TERM | CONTROL_RELAY,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_senders,
	.doc = "list the senders in memory, one row each; busy: only those "
	       "that are frozen or have a queue",
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
	.doc = "show everything about a sender in one row",
    },
    {
	.name = "explain",
	.takes = CONTROL_SENDER | CONTROL_RECIPIENT | CONTROL_CLIENT,
	.needs = CONTROL_SENDER | CONTROL_RECIPIENT,
	.right = CONTROL_READ,
	.run = control_explain,
	.doc = "show the verdict that a recipient of a sender would get now, "
	       "and why; nothing is counted",
    },
    {
	.name = "history",
	.right = CONTROL_READ,
	.run = control_history,
	.doc = "list the messages of the last day, one row each, with how each "
	       "recipient was known to its sender; for weir-replay history",
    },
    {
	.name = "queue",
	.takes = CONTROL_SENDER | CONTROL_IDS | CONTROL_STATE | FILTERS |
		 CONTROL_RELAY,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_queue,
	.doc = "list the messages in the spool, one row each, oldest first",
    },
    {
	.name = "find",
	.takes = FINDS | CONTROL_MAX | CONTROL_RELAY,
	.needs_any = FINDS,
	.right = CONTROL_READ,
	.in_domain = true,
	.reach = CONTROL_ROWS,
	.run = control_find,
	.doc = "list the messages in the spool that match all filters, one row "
	       "each, with what each recipient waits for; if none matches, "
	       "what the events report",
    },
    {
	.name = "problems",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_problems,
	.doc = "list the problems, one row each, with advice: disk, next hops, "
	       "commands, senders frozen or waiting for more than an hour, "
	       "refusals of the last hour, deferred mail",
    },
    {
	.name = "cat",
	.takes = CONTROL_IDS | CONTROL_RELAY,
	.needs = CONTROL_IDS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_FIRST,
	.run = control_cat,
	.doc = "show a message: a row with its envelope, then rows with "
	       "\"data\", in which each character stands for one byte",
    },
    {
	.name = "release",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_change,
	.doc = "release held recipients now, and retry those waiting for their "
	       "next attempt",
    },
    {
	.name = "flush",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_change,
	.doc = "retry released recipients waiting for their next attempt now",
    },
    {
	.name = "discard",
	.takes = SELECTS | FILTERS | CHANGES | CONTROL_RELAY,
	.needs_one = SELECTS,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.reach = CONTROL_EACH,
	.run = control_change,
	.doc = "delete held recipients; they are not delivered",
    },
    {
	.name = "freeze",
	.takes = CONTROL_SENDER | CONTROL_REASON | CONTROL_FOR,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.run = control_freeze,
	.doc = "freeze a sender, with a reason and for a time if given",
    },
    {
	.name = "thaw",
	.takes = CONTROL_SENDER | CONTROL_THEN | CONTROL_REASON,
	.needs = CONTROL_SENDER,
	.right = CONTROL_CHANGE,
	.in_domain = true,
	.run = control_thaw,
	.doc =
	    "resume a sender; its queue is kept, discarded or released at once",
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
	.doc = "make recipients known to senders: rows of [sender, recipient, "
	       "time of the last mail]; shows how many rows were read, learned "
	       "and too old, and which are wrong",
    },
    {
	.name = "events",
	.takes = CONTROL_FOLLOW | CONTROL_MAX,
	.right = CONTROL_READ,
	.in_domain = true,
	.run = control_events,
	.doc = "show recent events, and new ones as they happen",
    },
    {
	.name = "trace",
	.takes = CONTROL_TERM | CONTROL_FOR,
	.needs = CONTROL_TERM,
	.right = CONTROL_READ,
	.run = control_trace,
	.doc = "show the SMTP dialogue, state changes and verdicts of a "
	       "client, a sender or a next hop from now on",
    },
    {
	.name = "audit",
	.takes = CONTROL_MAX,
	.right = CONTROL_READ,
	.run = control_audit,
	.doc = "list what administrators did, newest first",
    },
    {
	.name = "alerts",
	.right = CONTROL_READ,
	.run = control_alerts,
	.doc = "list the alert sections, one row each: what waits, and the "
	       "result of the last message",
    },
    {
	.name = "alert_test",
	.takes = CONTROL_TERM,
	.needs = CONTROL_TERM,
	.right = CONTROL_CHANGE,
	.run = control_alert_test,
	.doc = "send a test alert with the alert section named by term, and "
	       "show whether it was accepted",
    },
    {
	.name = "config",
	.right = CONTROL_ADMIN,
	.run = control_config,
	.doc = "show the configuration in use",
    },
    {
	.name = "reload",
	.right = CONTROL_ADMIN,
	.run = control_reload,
	.doc = "reload the configuration",
    },
    {0},
};
