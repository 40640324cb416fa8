/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an alert may be about, and what is told of it. The table is the only
 * place where the names stand: options, texts and the manual come from it.
 */
#ifndef ALERT_ALERT_EVENT_H
#define ALERT_ALERT_EVENT_H

#include "base/str.h"

/* X(identifier, "name", SENDER or THING, lasts, preset, "when", "one of it",
 * "several", "what to do"). SENDER: its subject is a sender, and a link goes
 * there. lasts: it goes on until its end is reported, with reminders in
 * between. preset: ON where the option events has it by default, FIRST for the
 * first of these, else OFF. when: a sentence of that option's text. "%s" in
 * what to do is the sender or thing. */
#define ALERT_EVENT_TABLE(X)                                                   \
	X(FREEZE, "freeze", SENDER, true, FIRST,                               \
	    "a sender was frozen, by a rule or by hand; over when it is "      \
	    "thawed",                                                          \
	    "is frozen", "senders frozen",                                     \
	    "Check the waiting mail: weirctl show '%s'. If it is "             \
	    "spam, change the password, then run: weirctl thaw "               \
	    "'%s' --discard. If it is legitimate, run: weirctl "               \
	    "thaw '%s' --release")                                             \
	X(THAW, "thaw", SENDER, false, ON, "a sender was thawed",              \
	    "was thawed", "senders thawed", "")                                \
	X(WARNING, "warning", SENDER, false, OFF,                              \
	    "a sender or a scope is near a limit (warn_at), or a queue is "    \
	    "full and its sender cannot be frozen",                            \
	    "is near a limit", "warnings about limits",                        \
	    "Check the sender: weirctl show '%s'")                             \
	X(BLAST, "blast", SENDER, false, ON,                                   \
	    "one message to more new recipients than burst",                   \
	    "wrote one message to many new recipients",                        \
	    "messages to many new recipients",                                 \
	    "Check the waiting mail: weirctl queue '%s'. Release "             \
	    "a legitimate message with weirctl release ID")                    \
	X(DECOY, "decoy", SENDER, false, ON, "a sender wrote to a decoy",      \
	    "wrote to a decoy", "senders wrote to decoys",                     \
	    "Nobody has a reason to write to a decoy. Change the "             \
	    "password, then check the sender: weirctl show '%s'")              \
	X(NETWORKS, "networks", SENDER, false, ON,                             \
	    "a login is used from more networks than client_networks",         \
	    "is used from too many networks", "logins from too many networks", \
	    "Ask the owner of the account. If it was somebody else, change "   \
	    "the password")                                                    \
	X(DISK, "disk", THING, true, ON,                                       \
	    "the file system of the spool has less free space than min_free; " \
	    "over when there is room again",                                   \
	    "has too little free space", "disks with too little free space",   \
	    "New mail is deferred with 4xx. Free space on the "                \
	    "file system of the spool, or lower min_free")                     \
	X(NEXT_HOP, "next_hop", THING, true, ON,                               \
	    "a next hop has failed for ten seconds; over when it answers "     \
	    "again",                                                           \
	    "cannot be reached", "next hops that cannot be reached",           \
	    "Mail waits until the server is back. Check it: "                  \
	    "weirctl problems")                                                \
	X(CERTIFICATE, "certificate", THING, true, ON,                         \
	    "a certificate expires within two weeks, or has expired; over "    \
	    "when it was replaced and loaded (weirctl reload)",                \
	    "expires soon", "certificates that expire soon",                   \
	    "Renew it, then run: weirctl reload")                              \
	X(RELOAD_FAILED, "reload_failed", THING, true, ON,                     \
	    "the configuration could not be reloaded because it has an "       \
	    "error; over at the next successful reload",                       \
	    "could not be reloaded", "configuration errors",                   \
	    "The old configuration remains in use. Correct the "               \
	    "file, then run: weirctl reload")                                  \
	X(SHARED_STATE, "shared_state", THING, true, ON,                       \
	    "the server of shared does not answer; over when it answers "      \
	    "again",                                                           \
	    "does not answer", "shared servers that do not answer",            \
	    "This relay works on its own: it does not receive "                \
	    "freezes and thaws from the others. Check the server")             \
	X(RESTART, "restart", THING, false, ON,                                \
	    "the previous weir-maild was not stopped, but ended unexpectedly", \
	    "restarted after a crash", "restarts after a crash",               \
	    "No acknowledged mail is lost. See the log for the "               \
	    "cause")                                                           \
	X(RELEASE, "release", SENDER, false, OFF,                              \
	    "a destination may be contacted for which POST /api/v1/decide "    \
	    "had answered wait; for programs, in a section of its own",        \
	    "may go now", "destinations of decisions may go now",              \
	    "Ask again: it passes")

enum alert_event {
#define ALERT_EVENT_ENUM(id, ...) ALERT_##id,
	ALERT_EVENT_TABLE(ALERT_EVENT_ENUM)
#undef ALERT_EVENT_ENUM
	    ALERT_TEST, /* by a command alone */
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
