/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message needs and what a next hop offers. Nothing is downgraded: what
 * does not fit is returned to its sender. A bounce has none, and nobody would
 * hear of it: it waits in the queue, for the administrator to see. So does what
 * met a next hop that refused EHLO, since it may well take it an hour later.
 *
 * What is no address cannot be written to any next hop. No front takes one, but
 * rows of earlier versions may have it: it is refused before a connection is
 * asked for, so that the others of the message and of the queue go on.
 */
#include "delivery/delivery_private.h"

#include "smtp/address.h"

static void
refuse_all(
    struct attempt *a, bool waits, const char *status, const char *reason)
{
	for (size_t i = 0; i < a->job->m.rcpt_count; i++) {
		struct outcome *f = &a->outcomes[i];

		/* What is decided already stays so. */
		if (f->kind > OUTCOME_ACCEPTED)
			continue;
		f->kind = waits ? OUTCOME_LATER : OUTCOME_REFUSED;
		f->reason = reason;
		str_copy(str_from(status), f->status, sizeof(f->status));
		f->status[0] = waits ? '4' : '5';
	}
}

bool
attempt_fits(struct attempt *a)
{
	const struct spool_message *m = &a->job->m;
	uint32_t ext = smtp_client_caps(hop_client(a->hop))->ext;
	uint64_t size = smtp_client_caps(hop_client(a->hop))->size;
	bool is_bounce = m->from[0] == '\0';
	/* Nothing is known of what it offers, so nothing is returned for it. */
	bool is_mute = smtp_client_said_helo(hop_client(a->hop));
	bool waits = is_bounce || is_mute;
	bool has_others = is_mute || nexthop_has_choice(a->d->nexthop);

	if (m->utf8 && (ext & SMTP_EXT_SMTPUTF8) == 0)
		refuse_all(a, waits, "5.6.7",
		    "it needs SMTPUTF8, which the next hop does not offer");
	else if (m->body_type == SMTP_BODY_8BITMIME &&
		 (ext & SMTP_EXT_8BITMIME) == 0)
		refuse_all(a, waits, "5.6.3",
		    "it needs 8BITMIME, which the next hop does not offer");
	else if (size > 0 && m->size > size)
		refuse_all(a, is_bounce || nexthop_has_choice(a->d->nexthop),
		    "5.3.4", "it is larger than the next hop accepts");
	else if (m->require_tls && !is_bounce && !hop_is_tls(a->hop))
		/* RFC 8689 section 4.2.1: the others first. */
		refuse_all(a, has_others, "5.7.10",
		    "it needs REQUIRETLS, and the connection to the next hop "
		    "is not encrypted");
	else if (m->require_tls && !is_bounce &&
		 (ext & SMTP_EXT_REQUIRETLS) == 0)
		refuse_all(a, has_others, "5.7.30",
		    "it needs REQUIRETLS, which the next hop does not offer "
		    "over a TLS connection with a verified certificate");
	else
		return true;
	return false;
}

static void
refuse_address(struct outcome *f, const char *status, const char *reason)
{
	f->kind = OUTCOME_REFUSED;
	f->is_ours = true;
	f->reason = reason;
	str_copy(str_from(status), f->status, sizeof(f->status));
}

static bool
is_path(const char *text, bool null_ok)
{
	struct smtp_path path;

	return smtp_path_parse_given(str_from(text), null_ok, &path) ==
		   SMTP_PATH_OK &&
	       smtp_client_can_mail(&(struct smtp_mail){.from = path.address});
}

bool
attempt_has_paths(struct attempt *a)
{
	const struct spool_message *m = &a->job->m;
	bool good = is_path(m->from, true);
	size_t open = 0;

	for (size_t i = 0; i < m->rcpt_count; i++) {
		struct outcome *f = &a->outcomes[i];

		if (!good)
			refuse_address(f, "5.1.7",
			    "the sender is not an address (RFC 5321)");
		else if (!is_path(m->rcpts[i].address, false))
			refuse_address(f, "5.1.3",
			    "the recipient is not an address (RFC 5321)");
		open += f->kind == OUTCOME_OPEN;
	}
	return open > 0;
}
