/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of extension keywords: what an EHLO reply means and what ours
 * says. Extensions whose line needs parameters that struct smtp_caps does not
 * hold are understood and never printed.
 */
#include "smtp/ext.h"

#include "smtp/sasl.h"
#include "smtp/xclient.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
	struct str keyword;
	enum smtp_ext ext;
	bool printed;
} extensions[] = {
    {STR("PIPELINING"), SMTP_EXT_PIPELINING, true},
    {STR("SIZE"), SMTP_EXT_SIZE, true},
    {STR("STARTTLS"), SMTP_EXT_STARTTLS, true},
    {STR("AUTH"), SMTP_EXT_AUTH, true},
    {STR("ENHANCEDSTATUSCODES"), SMTP_EXT_ENHANCED, true},
    {STR("8BITMIME"), SMTP_EXT_8BITMIME, true},
    {STR("DSN"), SMTP_EXT_DSN, true},
    {STR("SMTPUTF8"), SMTP_EXT_SMTPUTF8, true},
    {STR("CHUNKING"), SMTP_EXT_CHUNKING, true},
    {STR("XCLIENT"), SMTP_EXT_XCLIENT, true},
    {STR("XFORWARD"), SMTP_EXT_XFORWARD, true},
    {STR("LIMITS"), SMTP_EXT_LIMITS, true},
    {STR("REQUIRETLS"), SMTP_EXT_REQUIRETLS, true},
};

/* RFC 9422 section 3: "RCPTMAX=100 MAILMAX=5"; what is malformed or not known
 * is passed over. */
static void
parse_limits(struct smtp_caps *caps, struct str text)
{
	while (text.n > 0) {
		struct str value = str_cut(&text, ' ');
		struct str name = str_cut(&value, '=');
		uint64_t n;

		if (!str_to_u64(value, &n) || n == 0 || n >= UINT32_MAX)
			continue;
		if (str_ieq(name, STR("RCPTMAX")))
			caps->rcpt_max = (uint32_t)n;
		else if (str_ieq(name, STR("MAILMAX")))
			caps->mail_max = (uint32_t)n;
	}
}

static void
parse_value(struct smtp_caps *caps, enum smtp_ext ext, struct str value)
{
	if (ext == SMTP_EXT_SIZE && !str_to_u64(str_trim(value), &caps->size))
		caps->size = 0;
	if (ext == SMTP_EXT_AUTH)
		caps->auth |= sasl_mechs_parse(value);
	if (ext == SMTP_EXT_XCLIENT)
		caps->xclient = xclient_attrs_parse(value);
	if (ext == SMTP_EXT_LIMITS)
		parse_limits(caps, value);
}

void
smtp_caps_parse_line(struct smtp_caps *caps, struct str line)
{
	struct str rest = str_trim(line);
	struct str keyword = str_cut(&rest, ' ');

	/* "AUTH=LOGIN" is how some servers still say it for old clients. */
	if (str_istarts(keyword, STR("AUTH="))) {
		caps->auth |= (unsigned)sasl_mech_find(
		    str_sub(keyword, sizeof("AUTH=") - 1, keyword.n));
		keyword.n = sizeof("AUTH") - 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		if (!str_ieq(keyword, extensions[i].keyword))
			continue;
		caps->ext |= extensions[i].ext;
		parse_value(caps, extensions[i].ext, rest);
	}
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

struct smtp_caps
smtp_caps_meet(const struct smtp_caps *own, const struct smtp_caps *hop)
{
	struct smtp_caps both = {.ext = own->ext & hop->ext};

	both.ext &=
	    ~(uint32_t)(SMTP_EXT_AUTH | SMTP_EXT_XCLIENT | SMTP_EXT_XFORWARD);
	/* Our own limit is worth saying to a client of a next hop that says
	 * none (Dovecot's LMTP): it holds all the same. */
	both.ext |= own->ext & SMTP_EXT_SIZE;
	if (both.ext & SMTP_EXT_SIZE)
		both.size = smaller(own->size, hop->size);
	/* A limit holds whether the other side knows of limits or not. */
	both.rcpt_max = (uint32_t)smaller(own->rcpt_max, hop->rcpt_max);
	if (both.rcpt_max == 0)
		both.ext &= ~(uint32_t)SMTP_EXT_LIMITS;
	return both;
}

static void
print_line(const struct smtp_caps *caps, enum smtp_ext ext, struct str keyword,
    char *out, size_t cap)
{
	size_t n = str_copy(keyword, out, cap);

	if (n + 1 >= cap)
		return;
	if (ext == SMTP_EXT_SIZE && caps->size > 0)
		snprintf(out + n, cap - n, " %" PRIu64, caps->size);
	if (ext == SMTP_EXT_LIMITS)
		snprintf(out + n, cap - n, " RCPTMAX=%" PRIu32, caps->rcpt_max);
	if (ext != SMTP_EXT_AUTH && ext != SMTP_EXT_XCLIENT &&
	    ext != SMTP_EXT_XFORWARD)
		return;
	out[n++] = ' ';
	if (ext == SMTP_EXT_AUTH)
		sasl_mechs_format(caps->auth, out + n, cap - n);
	else
		xclient_attrs_format(
		    ext == SMTP_EXT_XCLIENT ? caps->xclient : XFORWARD_ATTRS,
		    out + n, cap - n);
}

const char *
smtp_caps_line(
    const struct smtp_caps *caps, unsigned index, char *out, size_t cap)
{
	unsigned seen = 0;

	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		if (!extensions[i].printed || !(caps->ext & extensions[i].ext))
			continue;
		if (seen++ != index)
			continue;
		print_line(
		    caps, extensions[i].ext, extensions[i].keyword, out, cap);
		return out;
	}
	return NULL;
}
