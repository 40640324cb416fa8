/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an alert may be about, and what is told of it. The table is the only
 * place where the names stand: options, texts and the manual come from it.
 */
#ifndef ALERT_ALERT_EVENT_H
#define ALERT_ALERT_EVENT_H

#include "base/str.h"

/* X(identifier, "name", SENDER or THING, lasts, "one of it", "several", "what
 * to do"). SENDER: its subject is a sender, and a link goes there. lasts: it
 * goes on until its end is told, with reminders in between. "%s" in what to do
 * is the sender or thing. */
#define ALERT_EVENT_TABLE(X)                                                   \
	X(FREEZE, "freeze", SENDER, true, "is frozen", "senders frozen",       \
	    "Check the waiting mail: weirctl show '%s'. If it is "             \
	    "spam, change the password, then run: weirctl thaw "               \
	    "'%s' --discard. If it is legitimate, run: weirctl "               \
	    "thaw '%s' --release")                                             \
	X(THAW, "thaw", SENDER, false, "was thawed", "senders thawed", "")     \
	X(WARNING, "warning", SENDER, false, "is near a limit",                \
	    "warnings about limits", "Check the sender: weirctl show '%s'")    \
	X(BLAST, "blast", SENDER, false,                                       \
	    "wrote one message to many new recipients",                        \
	    "messages to many new recipients",                                 \
	    "Check the waiting mail: weirctl queue '%s'. Release "             \
	    "a legitimate message with weirctl release ID")                    \
	X(DECOY, "decoy", SENDER, false, "wrote to a decoy",                   \
	    "senders wrote to decoys",                                         \
	    "Nobody has a reason to write to a decoy. Change the "             \
	    "password, then check the sender: weirctl show '%s'")              \
	X(NETWORKS, "networks", SENDER, false,                                 \
	    "is used from too many networks", "logins from too many networks", \
	    "Ask the owner of the account. If it was somebody else, change "   \
	    "the password")                                                    \
	X(DISK, "disk", THING, true, "has too little free space",              \
	    "disks with too little free space",                                \
	    "New mail is deferred with 4xx. Free space on the "                \
	    "file system of the spool, or lower min_free")                     \
	X(NEXT_HOP, "next_hop", THING, true, "cannot be reached",              \
	    "next hops that cannot be reached",                                \
	    "Mail waits until the server is back. Check it: "                  \
	    "weirctl problems")                                                \
	X(CERTIFICATE, "certificate", THING, true, "expires soon",             \
	    "certificates that expire soon",                                   \
	    "Renew it, then run: weirctl reload")                              \
	X(RELOAD_FAILED, "reload_failed", THING, true,                         \
	    "could not be reloaded", "configuration errors",                   \
	    "The old configuration remains in use. Correct the "               \
	    "file, then run: weirctl reload")                                  \
	X(SHARED_STATE, "shared_state", THING, true, "does not answer",        \
	    "shared servers that do not answer",                               \
	    "This relay works on its own: it does not receive "                \
	    "freezes and thaws from the others. Check the server")             \
	X(RESTART, "restart", THING, false, "restarted after a crash",         \
	    "restarts after a crash",                                          \
	    "No acknowledged mail is lost. See the log for the "               \
	    "cause")                                                           \
	X(RELEASE, "release", SENDER, false, "may go now",                     \
	    "destinations of decisions may go now", "Ask again: it passes")    \
	X(TEST, "test", THING, false, "sends a test", "tests",                 \
	    "No action needed")

enum alert_event {
#define ALERT_EVENT_ENUM(id, name, of, lasts, one, many, advice) ALERT_##id,
	ALERT_EVENT_TABLE(ALERT_EVENT_ENUM)
#undef ALERT_EVENT_ENUM
	    ALERT_EVENT_MAX
};

enum alert_of { ALERT_OF_SENDER, ALERT_OF_THING };

struct alert_event_info {
	const char *name;
	enum alert_of of;
	bool lasts;
	const char *one, *many, *advice;
};

extern const struct alert_event_info alert_event_info[ALERT_EVENT_MAX];

/* False: no event has this name, or none that may be asked for. */
MUST_CHECK bool alert_event_find(struct str name, enum alert_event *out);

#endif
