/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything in the facts may have been chosen by an outsider: sender,
 * recipients, the next hop's replies, the original. None of it can start a
 * header line, a field of the report or a part of its own: control characters
 * are replaced, and the boundary is one that the original does not hold.
 *
 * What is not ASCII is written as RFC 6533 says for reports that must pass
 * 7-bit relays: addresses as utf-8-addr-xtext, the header quoted-printable.
 */
#include "delivery/bounce.h"

#include "base/hash.h"
#include "smtp/address.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BOUNDARY_MAX 48
#define REPLY_SHOWN_MAX 512
#define ADDRESS_SHOWN_MAX 960
#define XTEXT_SHOWN_MAX 512
#define LINE_LENGTH_MAX 998 /* RFC 5322 section 2.1.1 */
#define EIGHT_BIT "Content-Transfer-Encoding: 8bit\r\n"
#define QP_LINE_MAX 72 /* "=XX" and the soft break stay within 76 */

/* Appends until out is full; that is looked at once, at the end. */
struct printer {
	struct buf *out;
	bool full;
};

static void
put(struct printer *p, struct str s)
{
	if (!p->full && !buf_append_str(p->out, s))
		p->full = true;
}

PRINTF_LIKE(2, 3)
static void
putf(struct printer *p, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		p->full = true;
	else
		put(p, (struct str){line, (size_t)n});
}

/* Text as a single line of printable ASCII. */
static void
put_text(struct printer *p, struct str s, size_t max)
{
	char out[REPLY_SHOWN_MAX];
	size_t n = 0;

	if (max > sizeof(out))
		max = sizeof(out);
	for (; n < s.n && n < max; n++) {
		unsigned char c = (unsigned char)s.p[n];

		if (c == '\n' || c == '\r' || c == '\t')
			out[n] = ' ';
		else
			out[n] = c < 0x20 || c >= 0x7f ? '?' : (char)c;
	}
	put(p, (struct str){out, n});
}

/* UTF-8 as it is, on a single line. */
static void
put_utf8(struct printer *p, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool is_control = c < 0x20 || c == 0x7f;

		put(p, is_control ? STR("?") : str_sub(s, i, 1));
	}
}

/* The code point at the start of well-formed UTF-8, taken off *s. */
static uint32_t
take_char(struct str *s)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t point = n == 1 ? c : c & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		point = point << 6 | ((unsigned char)s->p[i] & 0x3f);
	s->p += n;
	s->n -= n;
	return point;
}

/* RFC 6533 section 3: utf-8-addr-xtext. An address of SMTP is whole within
 * ADDRESS_SHOWN_MAX; a damaged spool may have longer ones. */
static void
put_utf8_address(struct printer *p, struct str s)
{
	size_t start = p->out->len;

	while (s.n > 0 && p->out->len - start < ADDRESS_SHOWN_MAX) {
		uint32_t c = take_char(&s);

		if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '+' || c == '=')
			putf(p, "\\x{%X}", (unsigned)c);
		else
			putf(p, "%c", (int)c);
	}
}

static void
put_address(struct printer *p, struct str s)
{
	if (str_is_ascii(s) || !str_is_utf8(s))
		put_text(p, s, REPLY_SHOWN_MAX);
	else
		put_utf8_address(p, s);
}

static void
put_typed_address(struct printer *p, const char *field, struct str s)
{
	bool utf8 = !str_is_ascii(s) && str_is_utf8(s);

	putf(p, "%s: %s; ", field, utf8 ? "utf-8" : "rfc822");
	put_address(p, s);
	put(p, STR("\r\n"));
}

/* RFC 3461 section 4: xtext, decoded; what does not decode stays. ORCPT has 500
 * characters and ENVID 100; a damaged spool may have more. */
static void
put_xtext(struct printer *p, struct str s)
{
	s = str_sub(s, 0, XTEXT_SHOWN_MAX);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '+' && s.n - i > 2 && str_hex_digit(s.p[i + 1]) >= 0 &&
		    str_hex_digit(s.p[i + 2]) >= 0) {
			c = (char)(str_hex_digit(s.p[i + 1]) << 4 |
				   str_hex_digit(s.p[i + 2]));
			i += 2;
		}
		put_text(p, (struct str){&c, 1}, 1);
	}
}

const char *
bounce_date(int64_t wall_ms, char out[BOUNCE_DATE_MAX])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
	snprintf(out, BOUNCE_DATE_MAX, "%.3s, %d %.3s %d %02d:%02d:%02d +0000",
	    days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
	    1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return out;
}

/* A boundary that the original does not hold, whoever wrote it. */
static void
choose_boundary(const struct bounce_facts *f, char out[BOUNDARY_MAX])
{
	uint64_t hash = hash_str(f->id, f->seed);

	do {
		snprintf(out, BOUNDARY_MAX, "=_weir_%016llx",
		    (unsigned long long)hash++);
	} while (f->original.n > 0 && memmem(f->original.p, f->original.n, out,
					  strlen(out)) != NULL);
}

static const struct action {
	const char *name, *subject;
	const char *before, *after; /* the date of the message */
} actions[] = {
    [BOUNCE_FAILED] = {"failed", "Undelivered mail returned to sender",
	"Your message of ",
	" could not be\r\ndelivered to the recipients below. Delivery will not "
	"be attempted again.\r\n"},
    [BOUNCE_DELAYED] = {"delayed", "Delayed mail (still being retried)",
	"Your message of ",
	" has not yet been\r\ndelivered to the recipients below. It is still "
	"queued. Do not send it again.\r\n"},
    [BOUNCE_RELAYED] = {"relayed", "Successful mail delivery report",
	"Your message of ",
	" was relayed for the\r\nrecipients below to a mail server that does "
	"not report deliveries. You may\r\nnot receive further reports.\r\n"},
    [BOUNCE_DELIVERED] = {"delivered", "Successful mail delivery report",
	"Your message of ", " was delivered to the\r\nrecipients below.\r\n"},
};

const char *
bounce_address(const char *sender, char out[BOUNCE_ADDRESS_MAX])
{
	_Static_assert(BOUNCE_ADDRESS_MAX > SMTP_ADDRESS_MAX, "room");
	if (!str_is_ascii(str_from(sender)) &&
	    smtp_address_to_ascii(str_from(sender), out))
		return out;
	return sender;
}

static bool
has_action(const struct bounce_facts *f, enum bounce_action action)
{
	for (size_t i = 0; i < f->rcpt_count; i++) {
		if (f->rcpts[i].action == action)
			return true;
	}
	return false;
}

const char *
bounce_subject(const struct bounce_facts *f)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (has_action(f, (enum bounce_action)i))
			return actions[i].subject;
	}
	return actions[BOUNCE_FAILED].subject;
}

static void
put_header(struct printer *p, const struct bounce_facts *f,
    const char *boundary, bool eight_bit)
{
	char date[BOUNCE_DATE_MAX];

	putf(p, "Date: %s\r\nFrom: Mail delivery system <MAILER-DAEMON@",
	    bounce_date(f->wall, date));
	put_text(p, f->hostname, SIZE_MAX);
	put(p, STR(">\r\nTo: <"));
	/* An address that is not ASCII needs SMTPUTF8 to get there anyway
	 * and stands as it is (RFC 6532); control characters never do. */
	if (str_is_ascii(f->to) || !str_is_utf8(f->to))
		put_text(p, f->to, SIZE_MAX);
	else
		put_utf8(p, f->to);
	putf(p, ">\r\nSubject: %s\r\nMessage-ID: <", bounce_subject(f));
	put_text(p, f->id, SIZE_MAX);
	put(p, STR("@"));
	put_text(p, f->hostname, SIZE_MAX);
	putf(p,
	    ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n%s"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n\r\n",
	    eight_bit ? EIGHT_BIT : "", boundary);
}

static void
put_reason(struct printer *p, const struct bounce_recipient *r)
{
	put(p, STR("<"));
	put_address(p, r->address);
	put(p, STR(">:\r\n    "));
	put_text(p, r->reason, SIZE_MAX);
	if (r->reply.n > 0) {
		put(p, STR(".\r\n    "));
		put_text(p, r->remote, SIZE_MAX);
		put(p, r->remote.n > 0 ? STR(" said: ") : STR("Last error: "));
		put_text(p, r->reply, REPLY_SHOWN_MAX);
	}
	put(p, STR("\r\n\r\n"));
}

/* Those of one outcome, under what it is. */
static void
put_group(
    struct printer *p, const struct bounce_facts *f, enum bounce_action action)
{
	char date[BOUNCE_DATE_MAX];

	if (!has_action(f, action))
		return;
	putf(p, "%s%s%s\r\n", actions[action].before,
	    bounce_date(f->arrived, date), actions[action].after);
	for (size_t i = 0; i < f->rcpt_count; i++) {
		if (f->rcpts[i].action == action)
			put_reason(p, &f->rcpts[i]);
	}
}

static void
put_notice(
    struct printer *p, const struct bounce_facts *f, const char *boundary)
{
	putf(p,
	    "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
	    "This is the mail relay ",
	    boundary);
	put_text(p, f->hostname, SIZE_MAX);
	put(p, STR(".\r\n\r\n"));
	for (size_t i = 0; i < ARRAY_LEN(actions); i++)
		put_group(p, f, (enum bounce_action)i);
	put(p, STR("For help, contact <"));
	put_text(p, f->postmaster, SIZE_MAX);
	put(p, STR("> and include this report.\r\nThe message was queued here "
		   "as "));
	put_text(p, f->original_id, SIZE_MAX);
	put(p, STR(".\r\n\r\n"));
}

static void
put_original_recipient(struct printer *p, struct str orcpt)
{
	struct str rest = orcpt, type = str_cut(&rest, ';');

	if (rest.n == 0)
		return;
	put(p, STR("Original-Recipient: "));
	put_text(p, type, SIZE_MAX);
	put(p, STR("; "));
	put_xtext(p, rest);
	put(p, STR("\r\n"));
}

/* RFC 3464 section 9.3: a domain, else an address literal, and no port; from
 * "mx.example.org[192.0.2.1]:25", "192.0.2.1:25" or "[2001:db8::1]:25". */
static void
put_mta_name(struct printer *p, struct str remote)
{
	size_t bracket = str_index(remote, '[');
	struct str inside = str_sub(remote, bracket + 1, remote.n);

	if (bracket > 0 && bracket < remote.n) {
		put_text(p, str_sub(remote, 0, bracket), SIZE_MAX);
		return;
	}
	put(p, bracket == 0 ? STR("[IPv6:") : STR("["));
	put_text(p,
	    bracket == 0 ? str_sub(inside, 0, str_index(inside, ']'))
			 : str_sub(remote, 0, str_rindex(remote, ':')),
	    SIZE_MAX);
	put(p, STR("]"));
}

static void
put_remote(struct printer *p, const struct bounce_recipient *r)
{
	bool local = str_starts(r->remote, STR("unix:")) ||
		     str_starts(r->remote, STR("lmtp:"));

	putf(p, "Remote-MTA: %s; ", local ? "x-local" : "dns");
	if (local)
		put_text(p, r->remote, SIZE_MAX);
	else
		put_mta_name(p, r->remote);
	put(p, STR("\r\nDiagnostic-Code: smtp; "));
	put_text(p, r->reply, REPLY_SHOWN_MAX);
	put(p, STR("\r\n"));
}

static void
put_status(
    struct printer *p, const struct bounce_facts *f, const char *boundary)
{
	char date[BOUNCE_DATE_MAX];

	putf(p,
	    "--%s\r\nContent-Type: message/delivery-status\r\n\r\n"
	    "Reporting-MTA: dns; ",
	    boundary);
	put_text(p, f->hostname, SIZE_MAX);
	if (f->envid.n > 0) {
		put(p, STR("\r\nOriginal-Envelope-Id: "));
		put_xtext(p, f->envid);
	}
	putf(p, "\r\nArrival-Date: %s\r\n\r\n", bounce_date(f->arrived, date));
	for (size_t i = 0; i < f->rcpt_count; i++) {
		const struct bounce_recipient *r = &f->rcpts[i];

		put_original_recipient(p, r->orcpt);
		put_typed_address(p, "Final-Recipient", r->address);
		putf(p, "Action: %s\r\nStatus: ", actions[r->action].name);
		put_text(p, r->status, SIZE_MAX);
		put(p, STR("\r\n"));
		if (r->remote.n > 0 && r->reply.n > 0)
			put_remote(p, r);
		if (r->retry_until != 0)
			putf(p, "Will-Retry-Until: %s\r\n",
			    bounce_date(r->retry_until, date));
		if (r->action != BOUNCE_DELAYED)
			putf(p, "Last-Attempt-Date: %s\r\n",
			    bounce_date(f->wall, date));
		put(p, STR("\r\n"));
	}
}

/* The header with the empty line left out; when it goes on past what is
 * known, its last line is cut off. */
static struct str
header_of(const struct bounce_facts *f)
{
	struct str s = f->original;
	const char *end;

	if (str_starts(s, STR("\r\n")))
		return (struct str){s.p, 0};
	end = s.n > 0 ? memmem(s.p, s.n, "\r\n\r\n", 4) : NULL;
	if (end != NULL)
		return (struct str){s.p, (size_t)(end - s.p) + 2};
	if (f->is_whole)
		return s;
	s.n = str_rindex(s, '\n') < s.n ? str_rindex(s, '\n') + 1 : 0;
	return s;
}

/* May it stand as it is in a message of 7-bit lines? */
static bool
is_plain(struct str s)
{
	if (!str_is_ascii(s) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	while (s.n > 0) {
		if (str_cut(&s, '\n').n > LINE_LENGTH_MAX + 1)
			return false;
	}
	return true;
}

/* RFC 2045 section 6.7. */
static void
put_quoted_printable(struct printer *p, struct str s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool ends = i + 1 == s.n || s.p[i + 1] == '\r';

		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			put(p, STR("\r\n"));
			column = 0;
			i++;
			continue;
		}
		if (column >= QP_LINE_MAX) {
			put(p, STR("=\r\n"));
			column = 0;
		}
		if (c > 0x20 && c < 0x7f && c != '=') {
			put(p, (struct str){s.p + i, 1});
			column++;
		} else if ((c == ' ' || c == '\t') && !ends) {
			put(p, (struct str){s.p + i, 1});
			column++;
		} else {
			putf(p, "=%02X", c);
			column += 3;
		}
	}
}

static void
put_headers(
    struct printer *p, const struct bounce_facts *f, const char *boundary)
{
	struct str header = header_of(f);

	putf(p, "--%s\r\nContent-Type: text/rfc822-headers\r\n", boundary);
	if (header.n == 0 || is_plain(header)) {
		put(p, STR("\r\n"));
		put(p, header);
		return;
	}
	put(p, STR("Content-Transfer-Encoding: quoted-printable\r\n\r\n"));
	put_quoted_printable(p, header);
}

/* RET=FULL, which is about failures alone (RFC 3461 section 4.3), when the
 * message is at hand and can go back unchanged: an embedded message must not be
 * encoded (RFC 2046 section 5.2.1). */
static bool
returns_whole(const struct bounce_facts *f)
{
	return f->ret == SMTP_RET_FULL && has_action(f, BOUNCE_FAILED) &&
	       f->is_whole && (f->eight_bit_ok || str_is_ascii(f->original));
}

bool
bounce_print(const struct bounce_facts *f, struct buf *out, bool *eight_bit)
{
	struct printer p = {.out = out};
	char boundary[BOUNDARY_MAX];

	*eight_bit = returns_whole(f) && !str_is_ascii(f->original);
	choose_boundary(f, boundary);
	put_header(&p, f, boundary, *eight_bit);
	put_notice(&p, f, boundary);
	put_status(&p, f, boundary);
	if (returns_whole(f)) {
		putf(&p, "--%s\r\nContent-Type: message/rfc822\r\n%s\r\n",
		    boundary, *eight_bit ? EIGHT_BIT : "");
		put(&p, f->original);
	} else {
		put_headers(&p, f, boundary);
	}
	putf(&p, "\r\n--%s--\r\n", boundary);
	return !p.full;
}
