/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of extension keywords: what an EHLO reply means and what ours
 * says. Extensions whose line needs parameters that struct smtp_caps does not
 * hold (AUTH, XCLIENT) are understood and never printed.
 */
#include "smtp/ext.h"

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
    {STR("AUTH"), SMTP_EXT_AUTH, false},
    {STR("ENHANCEDSTATUSCODES"), SMTP_EXT_ENHANCED, true},
    {STR("8BITMIME"), SMTP_EXT_8BITMIME, true},
    {STR("DSN"), SMTP_EXT_DSN, true},
    {STR("SMTPUTF8"), SMTP_EXT_SMTPUTF8, true},
    {STR("CHUNKING"), SMTP_EXT_CHUNKING, true},
    {STR("XCLIENT"), SMTP_EXT_XCLIENT, false},
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

		if (str_ieq(name, STR("RCPTMAX")) && str_to_u64(value, &n) &&
		    n > 0 && n < UINT32_MAX)
			caps->rcpt_max = (uint32_t)n;
	}
}

void
smtp_caps_parse_line(struct smtp_caps *caps, struct str line)
{
	struct str rest = str_trim(line);
	struct str keyword = str_cut(&rest, ' ');

	/* "AUTH=LOGIN" is how some servers still say it for old clients. */
	if (str_istarts(keyword, STR("AUTH=")))
		keyword.n = sizeof("AUTH") - 1;
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		if (!str_ieq(keyword, extensions[i].keyword))
			continue;
		caps->ext |= extensions[i].ext;
		if (extensions[i].ext == SMTP_EXT_SIZE &&
		    !str_to_u64(str_trim(rest), &caps->size))
			caps->size = 0;
		if (extensions[i].ext == SMTP_EXT_LIMITS)
			parse_limits(caps, rest);
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

	if (both.ext & SMTP_EXT_SIZE)
		both.size = smaller(own->size, hop->size);
	/* A limit holds whether the other side knows of limits or not. */
	both.rcpt_max = (uint32_t)smaller(own->rcpt_max, hop->rcpt_max);
	if (both.rcpt_max == 0)
		both.ext &= ~(uint32_t)SMTP_EXT_LIMITS;
	return both;
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
		if (extensions[i].ext == SMTP_EXT_SIZE && caps->size > 0)
			snprintf(out, cap, "SIZE %" PRIu64, caps->size);
		else if (extensions[i].ext == SMTP_EXT_LIMITS)
			snprintf(out, cap, "LIMITS RCPTMAX=%" PRIu32,
			    caps->rcpt_max);
		else
			str_copy(extensions[i].keyword, out, cap);
		return out;
	}
	return NULL;
}
