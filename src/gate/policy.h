/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policies: the numbers for a class of sources, and which source a message
 * belongs to. The options table of the `policy` section lives here.
 *
 * Policies are tried in the order of the file; the first whose `match` fits is
 * taken, else the one called "default" (built in when the file has none). A
 * policy without `match` that is not the default matches nothing and is an
 * error. Match entries:
 *
 *	alice@example.org	the source's own name (policy_own_name)
 *	@example.org		the domain of it
 *	192.0.2.0/24		the client's network
 *	user:NAME from:ADDRESS client:NETWORK	one of these alone
 *	from:<>			the source <>; stands alone
 *	file:/path		entries from a file, one a line, # comments
 */
#ifndef GATE_POLICY_H
#define GATE_POLICY_H

#include "base/ip.h"
#include "base/str.h"
#include "gate/acquaintance_set.h"
#include "gate/credit.h"
#include "gate/networks.h"
#include "gate/warn.h"
#include "os/options.h"
#include "weir/throttle.h"

enum policy_key {         /* what names the source */
	POLICY_KEY_FIRST, /* user, else client, else envelope */
	POLICY_KEY_USER,  /* user; without one as FIRST */
	POLICY_KEY_CLIENT,
	POLICY_KEY_ENVELOPE,
};
enum policy_profile {
	POLICY_PROFILE_MAIL,
	POLICY_PROFILE_MACHINE,
	POLICY_PROFILE_TCP,
	POLICY_PROFILE_UDP,
	POLICY_PROFILE_PAPER,
};
enum policy_local { /* mail of this machine's own programs, not authenticated */
	POLICY_LOCAL_SENDER,
	POLICY_LOCAL_USER, /* the sender's local part, whatever its domain */
	POLICY_LOCAL_CLIENT,
};
enum policy_service { /* the policy service's answer to what must wait */
	POLICY_SERVICE_DEFER,
	POLICY_SERVICE_HOLD,
	POLICY_SERVICE_REJECT,
};
enum policy_paths { POLICY_PATHS_COUNT, POLICY_PATHS_FREE };
enum policy_senders { POLICY_SENDERS_ANY, POLICY_SENDERS_OWN };
enum policy_notify {
	POLICY_NOTIFY_NONE,
	POLICY_NOTIFY_FREEZE,
	POLICY_NOTIFY_WARNING, /* and of a freeze */
};
enum policy_networks { POLICY_NETWORKS_HOLD, POLICY_NETWORKS_FREEZE };
enum policy_multi { POLICY_SPLIT, POLICY_WHOLE };
enum policy_frozen {
	POLICY_FROZEN_TEMPFAIL,
	POLICY_FROZEN_HOLD,
	POLICY_FROZEN_REJECT,
};

#define POLICY_FAMILIAR_FREEZE_AT 300 /* unless it is given */

/* The `policy` section as it is read (struct for os/options.h). 0 in
 * working_set, burst, queue_max, interval_ms, idle_expiry_ms, familiar_burst
 * and familiar_interval_ms: not given, the profile's value is taken. */
struct policy_conf {
	char *name;
	struct option_place place;
	int profile; /* enum policy_profile; "paper" is tcp */
	struct option_strings match, exempt_recipients;
	uint32_t working_set, burst, initial, freeze_at, queue_max;
	uint32_t weight; /* of the turns of delivery */
	int64_t interval_ms, idle_expiry_ms;
	struct option_rate freeze_growth;
	struct option_rates limit;
	struct option_rate stranger_messages; /* count 0: none */
	/* The file sets them; else policy_conf_fill has a word. */
	bool has_freeze_at, has_limit, has_stranger_messages;
	struct option_strings warn_at;
	uint32_t refused_credit;
	int64_t credit_freeze_ms;
	struct option_rate client_networks;
	int client_networks_action; /* enum policy_networks */
	int key, local, multi, when_frozen, service;
	int reverse_paths;         /* enum policy_paths */
	int sender_addresses;      /* enum policy_senders */
	char *sender_address_file; /* NULL: none */
	int notify_sender;         /* enum policy_notify */
	bool exempt, fold_tags;
	bool learn_inbound;
	uint32_t inbound_set;
	struct option_rate inbound_rate;
	int64_t inbound_expiry_ms;
	int64_t familiar_for_ms; /* 0: no familiar tier */
	uint32_t familiar_burst, familiar_freeze_at;
	int64_t familiar_interval_ms;
	uint32_t ipv6_prefix; /* client key; 64 */
	char *contact; /* who can help, in replies; NULL: the global one */
};

extern const struct option policy_options[];

/* limit and stranger_messages where the policy does not give them: those of its
 * profile; none where it gives numbers of its own. Twice is as once. */
void policy_conf_fill(struct policy_conf *conf);

/* What is known of a client when its MAIL comes. Slices are borrowed. */
struct gate_facts {
	struct str user;   /* authenticated, empty: none */
	bool exact_user;   /* its case counts */
	uint64_t proof;    /* of its password, see spellings.h; 0: none */
	struct str sender; /* envelope, empty: null sender */
	struct str helo;
	struct ip client; /* IP_NONE: a Unix socket */
	/* By its name, whatever match says; empty, or of none that there is:
	 * by match. */
	struct str policy;
	bool local; /* a program of the MTA's own machine: policy's `local` */
	/* By a command, which hears no 451: the mail server would hand it in
	 * again and again, and let it go when the sender is thawed. */
	bool by_command;
	/* A mail server that speaks for others (xclient_from). */
	bool front_end;
	/* The front end knows where the mail server sends each recipient
	 * (gate_next_stays). */
	bool has_routes;
	/* gate_commit will mean that the message was accepted: users may learn
	 * from it. */
	bool teaches;
};

struct match;
struct owners;
struct policies;

struct policy {
	const struct policy_conf *conf; /* filled; the lists of texts in it
					   are empty */
	struct throttle_policy throttle;
	/* For familiar recipients, where has_familiar. It is valid without, as
	 * a source may have come from another policy with a queue there. */
	struct throttle_policy familiar;
	bool has_familiar;
	/* Whom its senders know is remembered, and asked. Not of those that
	 * many share. */
	bool remembers;
	/* For so long after the last mail: whom they wrote to, 0 for the
	 * papers' profiles; and whom incoming mail named, 0 without
	 * learn_inbound. */
	int64_t familiar_for_ms, met_for_ms;
	struct acquaintance_rules met;
	struct warn_marks warn;
	struct credit_rules credit;
	struct networks_rules networks;
	/* Private. */
	struct policies *set;
	struct match *match, *exempt_recipients;
	struct owners *owners; /* NULL: no sender_address_file */
	bool is_spared;        /* never_freeze names it */
	struct policy_conf own;
};

/* Compiles and validates; confs is copied where it is needed later. Reads the
 * files that entries name, hence blocks: at start and at a reload. NULL on an
 * error, with file, line, policy and what to do in err. */
struct policies *policies_new(
    const struct policy_conf *confs, size_t n, char *err, size_t err_cap);
/* One reference more; policies_free gives one back, and the last frees. A
 * policy is valid as long as its set is. */
struct policies *policies_ref(struct policies *p);
void policies_free(struct policies *p);
const struct policy *policies_select(
    const struct policies *p, const struct gate_facts *facts);
/* By name; NULL: there is none. */
const struct policy *policies_find(const struct policies *p, struct str name);
const struct policy *policies_default(const struct policies *p);
/* The policy of a source that has one of its own, by its key; NULL: it is
 * chosen by match. "null" is for <>, mail without an envelope sender, and
 * "overflow" for POLICY_KEY_OVERFLOW, the one that new senders share when
 * senders_max is reached. The file may give both; neither freezes. */
#define POLICY_OVERFLOW_TEXT "[overflow]"
#define POLICY_KEY_OVERFLOW STR(POLICY_OVERFLOW_TEXT)
const struct policy *policies_of_key(const struct policies *p, struct str key);
/* never_freeze: an entry of match, "policy:NAME" or "file:/path". False: what
 * is wrong with it in err. Before anybody else has a reference. */
MUST_CHECK bool policies_spare(
    struct policies *p, struct str entry, char *err, size_t err_cap);
/* No rule may freeze a source of this policy and key. */
bool policies_spares(
    const struct policies *p, const struct policy *policy, struct str key);
/* decoys: an address, a domain or "file:/path", like policies_spare. */
MUST_CHECK bool policies_add_decoy(
    struct policies *p, struct str entry, char *err, size_t err_cap);
bool policies_have_decoys(const struct policies *p);
bool policies_is_decoy(const struct policies *p, struct str address);
/* Incoming mail makes known to its sources who wrote (learn_inbound). */
bool policy_meets(const struct policy *policy);
/* One of them has learn_inbound. */
bool policies_learn(const struct policies *p);
/* The longest familiar_for. */
int64_t policies_familiar_for(const struct policies *p);

#define POLICY_SOURCE_MAX 400
/*
 * The source's key for these facts, in a form that cannot be confused: a user
 * as it is (lower case), a client as "[192.0.2.1]" or "[2001:db8::/64]", an
 * envelope sender as "<alice@example.org>", the null sender as "<>", a Unix
 * socket as "[local]". Printable, without NUL. Returns its length.
 */
size_t policy_source_key(const struct policy *policy,
    const struct gate_facts *facts, char out[POLICY_SOURCE_MAX]);
/*
 * The name of a source that has no login, where the policy calls it by one: the
 * envelope sender or its local part (key = envelope, local = sender or user).
 * Empty: it has a login or is called by its client. Whoever logs in chooses the
 * envelope sender freely, so an entry without a word in front matches that only
 * where it is the source.
 */
struct str policy_own_name(
    const struct policy *policy, const struct gate_facts *facts);
/* An address or domain in `match` without user: or from: in front, which says
 * nothing about envelope senders; NULL: none, or the sender is the source. */
const char *policy_bare_entry(const struct policy *policy);
/* The facts that a key tells, to choose a policy when nothing else is known of
 * the source. Slices point into key. */
void policy_key_facts(struct str key, struct gate_facts *facts);
/* The key for a name typed by a person of whom nothing is known: an address is
 * a client, a key is itself, everything else an envelope sender where those are
 * counted and a user elsewhere; never anybody else. */
void policy_name_key(const struct policies *p, struct str name, bool exact_user,
    char out[POLICY_SOURCE_MAX]);
/* The keys that a name typed by a person may stand for, by likelihood: i from
 * 0 until false. */
bool policy_key_guess(struct str name, unsigned i, char out[POLICY_SOURCE_MAX]);
bool policy_exempts_recipient(const struct policy *policy, struct str address);

#endif
