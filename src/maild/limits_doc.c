/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One row a cap. Sentences end at the end of a line, as mdoc wants it.
 */
#include "maild/limits_doc.h"

#include "base/buf.h"

#include <string.h>

struct limit {
	const char *option;
	const char *at;   /* what happens */
	const char *seen; /* in the log and the counters; NULL: nowhere else */
};

struct group {
	const char *title;
	const struct limit *limits;
};

static const struct limit per_client[] = {
    {"client_sessions_max", "421 4.7.0 Too many connections",
	"log \"smtp refuse limit=client_sessions_max\", one line a second; "
	"sessions_refused"},
    {"auth_failures_max",
	"421 4.7.0 Too many failed logins, to that user; other users at the "
	"address are checked one at a time and get 421 if that would take "
	"long; users who have logged in there within a week do not wait",
	"log \"smtp auth_failed\" and \"smtp refuse limit=auth_failures_max\"; "
	"auth_failures, auth_locked"},
    {"queue_max",
	"452 with the sender, the limit and the time of the next free place",
	"refused_recipients"},
    {"freeze_at", "as set by when_frozen, by default 451 4.7.1",
	"log, an event, freeze_command; freezes"},
    {"notify_limit", "no further notice to that address",
	"log \"delivery delayed notice=limit\""},
    {"report_limit",
	"the bounce waits with its recipient in the spool; other reports are "
	"dropped",
	"log \"delivery bounce-put-off\", an event; reports_limited"},
    {"report_limit_address", "the same", "the same"},
    {"inbound_set", "the address that has been silent the longest is forgotten",
	"inbound_replaced"},
    {"inbound_rate", "the address is not learned; answers to it may be held",
	"inbound_refused"},
    {NULL, NULL, NULL},
};

static const struct limit per_session[] = {
    {"errors_max", "421 4.7.0 too many errors", "protocol_errors"},
    {"idle_commands_max", "421 4.7.0 too many commands without mail",
	"protocol_errors"},
    {"refused_max", "421 4.7.0 too many recipients refused", "protocol_errors"},
    {"recipients_max", "452 4.5.3 too many recipients for one message", NULL},
    {"local_part_max", "553 5.1.7 or 5.1.3 local part longer than 64 bytes",
	"protocol_errors"},
    {"message_size", "552 5.3.4 message size exceeds the limit",
	"messages_refused"},
    {"line_max", "554 5.6.0 message contains a line that is too long",
	"messages_refused"},
    {"header_max", "552 5.3.4 message header exceeds the limit",
	"messages_refused"},
    {"received_max", "554 5.4.6 too many hops: mail loop", "messages_refused"},
    {"command_timeout", "421 4.4.2 timeout", "protocol_errors"},
    {"data_timeout", "421 4.4.2 timeout", "protocol_errors"},
    {"message_timeout", "421 4.4.2 timeout", "protocol_errors"},
    {"data_rate_min", "421 4.4.2 data rate too low, closing the connection",
	"protocol_errors"},
    {"tls_timeout", "the connection is closed", "tls_failures"},
    {NULL, NULL, NULL},
};

static const struct limit in_all[] = {
    {"sessions_max",
	"421 4.3.2 to an idle session, to make room; if there is none, 421 "
	"4.7.0 Too many connections to the new client",
	"log \"smtp refuse limit=sessions_max\", one line a second; "
	"sessions_shed, sessions_refused"},
    {"envelope_memory",
	"452 4.3.1 Too many recipients in open transactions, to RCPT; each "
	"client or login has a share",
	"log \"smtp refuse limit=envelope_memory\"; limit_refusals"},
    {"body_memory", "clients are read only as fast as the disk writes", NULL},
    {"held_max",
	"452 4.3.1 Hold queue is full (held_max), to RCPT, with the limit and "
	"its use; each sender has a share",
	"log \"smtp refuse limit=held_max\"; limit_refusals"},
    {"held_bytes_max",
	"452 4.3.1 Hold queue is full (held_bytes_max), to the end of the "
	"message; each sender has a share",
	"log \"smtp refuse limit=held_bytes_max\"; limit_refusals"},
    {"min_free", "452 4.3.1 the spool is full", "status: short_of_space"},
    {"senders_max", "an idle sender is forgotten, or new ones share one",
	"log \"gate full\""},
    {"history_memory", "weirctl explain --policy covers less time", NULL},
    {"acquaintances_memory",
	"the least recently used senders are read from the disk again; when "
	"unwritten data fills it, no new recipient is remembered; with a "
	"million senders on disk, incoming mail adds no new one",
	"log \"gate acquaintances_full\", one line a minute"},
    {"next_hop_connections",
	"sessions wait; after next_hop_wait slow ones are ended with 421 "
	"4.3.2; after answer_timeout waiting ones get 451 4.3.2",
	"log \"smtp refuse limit=next_hop_connections\"; slow_ended"},
    {"delivery_concurrency", "released mail waits", NULL},
    {"policy_connections_max", "the connection is closed",
	"log \"policy refuse\", one line a second; connections_refused"},
    {"milter_connections_max",
	"the connection is closed, the mail server applies its "
	"milter_default_action or equivalent",
	"log \"milter refuse\", one line a second; connections_refused"},
    {"control_connections_max", "weirctl: too many control connections",
	"log \"control refuse\", one line a second"},
    {NULL, NULL, NULL},
};

static const struct group groups[] = {
    {"Of one client or sender", per_client},
    {"Of one session or message", per_session},
    {"Of all together", in_all},
};

static const struct option *
find_in(const struct option *const *tables, const char *name)
{
	option_each (o, tables) {
		if (strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}

static const char *
preset_of(const struct option_schema *schema, const char *name)
{
	const struct option *o = find_in(schema->tables, name);

	for (const struct option_section *s = schema->sections;
	     o == NULL && s->name != NULL; s++)
		o = find_in(s->tables, name);
	if (o == NULL)
		panic("limits: there is no option %s", name);
	return o->preset != NULL ? o->preset : o->sample;
}

static bool
print_limit(
    const struct option_schema *schema, const struct limit *l, struct buf *out)
{
	return buf_printf(out, ".It Ic %s Pq default %s\n%s.\n", l->option,
		   preset_of(schema, l->option), l->at) &&
	       (l->seen == NULL || buf_printf(out, "Seen in: %s.\n", l->seen));
}

bool
limits_print_mdoc(const struct option_schema *schema, struct buf *out)
{
	bool ok = true;

	for (size_t i = 0; ok && i < ARRAY_LEN(groups); i++) {
		ok = buf_printf(
		    out, ".Ss %s\n.Bl -tag -width Ds\n", groups[i].title);
		for (const struct limit *l = groups[i].limits;
		     ok && l->option != NULL; l++)
			ok = print_limit(schema, l, out);
		ok = ok && buf_printf(out, ".El\n");
	}
	return ok;
}

bool
limits_has(const char *option)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		for (const struct limit *l = groups[i].limits;
		     l->option != NULL; l++) {
			if (strcmp(l->option, option) == 0)
				return true;
		}
	}
	return false;
}
