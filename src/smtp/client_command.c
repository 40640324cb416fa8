/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * MAIL and RCPT as text. The values were checked when they came in, and are
 * checked once more for what could start a new command or parameter.
 */
#include "smtp/client_command.h"

#include "smtp/client.h"

#include <inttypes.h>

/* An address goes between brackets: outside a quoted string no '>' and no
 * blank may be in it. */
static bool
is_safe_address(struct str s)
{
	bool quoted = false, escaped = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7F)
			return false;
		if (!quoted && (c == ' ' || c == '<' || c == '>'))
			return false;
		if (escaped)
			escaped = false;
		else if (quoted && c == '\\')
			escaped = true;
		else if (c == '"')
			quoted = !quoted;
	}
	return !quoted;
}

static bool
is_safe_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7F)
			return false;
	}
	return true;
}

static bool
append(struct buf *out, const char *text)
{
	return buf_append_str(out, str_from(text));
}

/* xtext, whose digits RFC 3461 section 4 wants in capitals. Where a '+' is
 * none of xtext's, nothing but the case of two letters changes. */
static bool
append_xtext(struct buf *out, struct str s)
{
	char *to = buf_reserve(out, s.n);
	size_t digits = 0;

	if (to == NULL)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (digits > 0 && c >= 'a' && c <= 'f')
			c = (char)(c - 'a' + 'A');
		digits = c == '+' ? 2 : digits > 0 ? digits - 1 : 0;
		to[i] = c;
	}
	buf_commit(out, s.n);
	return true;
}

/* BODY= and SMTPUTF8 of content that needs them are written to a peer without
 * them too: refused is better than mangled. */
static bool
append_mail_parameters(
    const struct smtp_mail *mail, const struct smtp_caps *caps, struct buf *out)
{
	bool ok = true;

	if (mail->size > 0 && (caps->ext & SMTP_EXT_SIZE) != 0)
		ok = buf_printf(out, " SIZE=%" PRIu64, mail->size);
	if (mail->body == SMTP_BODY_8BITMIME)
		ok = ok && append(out, " BODY=8BITMIME");
	else if (mail->body == SMTP_BODY_7BIT &&
		 (caps->ext & SMTP_EXT_8BITMIME) != 0)
		ok = ok && append(out, " BODY=7BIT");
	if (mail->utf8)
		ok = ok && append(out, " SMTPUTF8");
	if (mail->require_tls &&
	    (mail->from.n > 0 || (caps->ext & SMTP_EXT_REQUIRETLS) != 0))
		ok = ok && append(out, " REQUIRETLS");
	if ((caps->ext & SMTP_EXT_DSN) == 0)
		return ok;
	if (mail->ret != SMTP_RET_NONE)
		ok =
		    ok && append(out, mail->ret == SMTP_RET_FULL ? " RET=FULL"
								 : " RET=HDRS");
	if (mail->envid.n > 0)
		ok = ok && append(out, " ENVID=") &&
		     append_xtext(out, mail->envid);
	return ok;
}

bool
smtp_client_can_mail(const struct smtp_mail *mail)
{
	return is_safe_address(mail->from) && is_safe_value(mail->envid);
}

bool
smtp_client_can_rcpt(const struct smtp_rcpt *rcpt)
{
	return rcpt->to.n > 0 && is_safe_address(rcpt->to) &&
	       is_safe_value(rcpt->orcpt);
}

bool
client_command_mail(
    const struct smtp_mail *mail, const struct smtp_caps *caps, struct buf *out)
{
	size_t before = out->len;

	if (smtp_client_can_mail(mail) && append(out, "MAIL FROM:<") &&
	    buf_append_str(out, mail->from) && append(out, ">") &&
	    append_mail_parameters(mail, caps, out) && append(out, "\r\n"))
		return true;
	out->len = before;
	return false;
}

static bool
append_notify(unsigned notify, struct buf *out)
{
	static const struct {
		unsigned bit;
		const char *name;
	} table[] = {
	    {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
	    {SMTP_NOTIFY_FAILURE, "FAILURE"},
	    {SMTP_NOTIFY_DELAY, "DELAY"},
	};
	const char *before = " NOTIFY=";

	/* NEVER stands alone (RFC 3461 section 4.1). */
	if ((notify & SMTP_NOTIFY_NEVER) != 0)
		return append(out, " NOTIFY=NEVER");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if ((notify & table[i].bit) == 0)
			continue;
		if (!append(out, before) || !append(out, table[i].name))
			return false;
		before = ",";
	}
	return true;
}

static bool
append_rcpt_parameters(
    const struct smtp_rcpt *rcpt, const struct smtp_caps *caps, struct buf *out)
{
	if ((caps->ext & SMTP_EXT_DSN) == 0)
		return true;
	return append_notify(rcpt->notify, out) &&
	       (rcpt->orcpt.n == 0 ||
		   (append(out, " ORCPT=") && append_xtext(out, rcpt->orcpt)));
}

bool
client_command_rcpt(
    const struct smtp_rcpt *rcpt, const struct smtp_caps *caps, struct buf *out)
{
	size_t before = out->len;

	if (smtp_client_can_rcpt(rcpt) && append(out, "RCPT TO:<") &&
	    buf_append_str(out, rcpt->to) && append(out, ">") &&
	    append_rcpt_parameters(rcpt, caps, out) && append(out, "\r\n"))
		return true;
	out->len = before;
	return false;
}
