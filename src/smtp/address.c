/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths and mailboxes. Strict in characters and lengths; lenient where real
 * mailboxes leave the RFC: dots anywhere in a local part (mobile carriers gave
 * out such addresses), underscores in a domain, a final dot.
 */
#include "smtp/address.h"

#include "base/ip.h"
#include "base/mailbox.h"

#include <idn2.h>
#include <string.h>

#define LABEL_MAX 63

static bool
is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

static bool
is_literal(struct str s)
{
	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	for (size_t i = 1; i < s.n - 1; i++) {
		if (!str_is_alnum(s.p[i]) && strchr(".:-", s.p[i]) == NULL)
			return false;
	}
	return memchr(s.p, '\0', s.n) == NULL;
}

static bool
is_label(struct str s)
{
	if (s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!str_is_alnum(s.p[i]) && !is_high(s.p[i]) &&
		    s.p[i] != '-' && s.p[i] != '_')
			return false;
	}
	return s.n <= LABEL_MAX || !str_is_ascii(s);
}

static bool
is_domain(struct str s)
{
	if (s.n > 0 && s.p[0] == '[')
		return is_literal(s);
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.p[s.n - 1] == '.')
		return false;
	while (s.n > 0) {
		if (!is_label(str_cut(&s, '.')))
			return false;
	}
	return true;
}

/* Well-formed and without C1 control characters (U+0080 to U+009F). */
static bool
is_clean_utf8(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if ((unsigned char)s.p[i] == 0xC2 &&
		    (unsigned char)s.p[i + 1] < 0xA0)
			return false;
	}
	return str_is_utf8(s);
}

static enum smtp_path_error
check_limits(const struct smtp_path *path, bool utf8_ok)
{
	if (!str_is_ascii(path->address)) {
		if (!utf8_ok)
			return SMTP_PATH_NOT_ASCII;
		if (!is_clean_utf8(path->address))
			return SMTP_PATH_SYNTAX;
	}
	if (path->domain.n > SMTP_DOMAIN_MAX)
		return SMTP_PATH_DOMAIN_TOO_LONG;
	if (path->address.n > SMTP_ADDRESS_MAX)
		return SMTP_PATH_TOO_LONG;
	return SMTP_PATH_OK;
}

/* bare_ok: a local part may stand alone. */
static enum smtp_path_error
parse_address(
    struct str address, bool utf8_ok, bool bare_ok, struct smtp_path *out)
{
	size_t n = mailbox_local_length(address);

	*out = (struct smtp_path){.address = address,
	    .local = str_sub(address, 0, n),
	    .domain = str_sub(address, n + 1, address.n)};
	if (n == 0)
		return SMTP_PATH_SYNTAX;
	if (n == address.n)
		return bare_ok || str_ieq(address, STR("postmaster"))
			   ? check_limits(out, utf8_ok)
			   : SMTP_PATH_SYNTAX;
	if (address.p[n] != '@' || !is_domain(out->domain))
		return SMTP_PATH_SYNTAX;
	return check_limits(out, utf8_ok);
}

enum smtp_path_error
smtp_address_parse(struct str address, bool utf8_ok, struct smtp_path *out)
{
	return parse_address(address, utf8_ok, false, out);
}

/* Where the path's '>' stands; s.n: nowhere. A quoted local part may hold
 * one, in front of the '@'. */
static size_t
path_end(struct str s)
{
	size_t quoted = mailbox_quoted_length(s);

	return quoted + str_index(str_sub(s, quoted, s.n), '>');
}

/* Takes "@one,@two:" off; false: there is one and it is wrong. RFC 5321
 * appendix C: to be ignored. */
static bool
strip_route(struct str *s)
{
	struct str route;

	if (s->n == 0 || s->p[0] != '@')
		return true;
	/* A literal holds colons of its own; nobody routes through one. */
	if (str_index(*s, ':') == s->n)
		return false;
	route = str_cut(s, ':');
	while (route.n > 0) {
		struct str hop = str_cut(&route, ',');

		if (hop.n < 2 || hop.p[0] != '@' ||
		    !is_domain(str_sub(hop, 1, hop.n)))
			return false;
	}
	return true;
}

enum smtp_path_error
smtp_path_parse(
    struct str *rest, bool null_ok, bool utf8_ok, struct smtp_path *out)
{
	struct str inner = str_sub(*rest, 1, rest->n);
	bool routed = inner.n > 0 && inner.p[0] == '@';
	size_t end;

	*out = (struct smtp_path){.address = STR("")};
	if (rest->n < 2 || rest->p[0] != '<')
		return SMTP_PATH_SYNTAX;
	if (!strip_route(&inner))
		return SMTP_PATH_SYNTAX;
	end = path_end(inner);
	if (end == inner.n)
		return SMTP_PATH_SYNTAX;
	*rest = str_sub(inner, end + 1, inner.n);
	inner = str_sub(inner, 0, end);
	if (inner.n == 0 && null_ok && !routed) {
		out->address = out->local = out->domain = inner;
		return SMTP_PATH_OK;
	}
	return smtp_address_parse(inner, utf8_ok, out);
}

enum smtp_path_error
smtp_path_parse_given(struct str text, bool null_ok, struct smtp_path *out)
{
	bool bracketed =
	    text.n >= 2 && text.p[0] == '<' && text.p[text.n - 1] == '>';
	bool routed;

	if (bracketed)
		text = str_sub(text, 1, text.n - 2);
	routed = text.n > 0 && text.p[0] == '@';
	*out = (struct smtp_path){.address = STR("")};
	if (text.n == 0 && null_ok)
		return SMTP_PATH_OK;
	if (routed && !strip_route(&text))
		return SMTP_PATH_SYNTAX;
	return parse_address(text, true, !routed, out);
}

const char *
smtp_path_error_text(enum smtp_path_error e)
{
	switch (e) {
	case SMTP_PATH_OK:
		return "no error";
	case SMTP_PATH_SYNTAX:
		return "bad address syntax";
	case SMTP_PATH_DOMAIN_TOO_LONG:
		return "domain longer than 255 bytes";
	case SMTP_PATH_TOO_LONG:
		return "address longer than 254 bytes";
	case SMTP_PATH_NOT_ASCII:
		return "non-ASCII address requires SMTPUTF8";
	}
	panic("path error %d", (int)e);
}

static size_t
lower_copy(struct str s, char *out)
{
	for (size_t i = 0; i < s.n; i++)
		out[i] = s.p[i] >= 'A' && s.p[i] <= 'Z'
			     ? (char)(s.p[i] - 'A' + 'a')
			     : s.p[i];
	return s.n;
}

static size_t
local_key(struct str local, bool fold_tag, char *out)
{
	char text[SMTP_ADDRESS_MAX];
	struct str s = {text, lower_copy(local, text)};
	size_t n = mailbox_plain_local(s, out), plus;

	if (!fold_tag || out[0] == '"')
		return n;
	plus = str_index((struct str){out, n}, '+');
	return plus > 0 ? plus : n;
}

/* U-labels to A-labels; false: IDNA does not know such a domain. */
static bool
domain_to_ascii(struct str domain, char out[SMTP_DOMAIN_MAX + 1])
{
	char u8[SMTP_DOMAIN_MAX + 1];
	char *ascii = NULL;
	size_t n;
	bool ok;

	str_copy(domain, u8, sizeof(u8));
	if (idn2_to_ascii_8z(
		u8, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	/* Compatibility mappings give ASCII that no domain may hold, such as
	 * '@' or a blank: then it is not a domain. */
	n = strlen(ascii);
	ok = n <= SMTP_DOMAIN_MAX && ascii[0] != '[' &&
	     is_domain((struct str){ascii, n});
	if (ok)
		memcpy(out, ascii, n + 1);
	idn2_free(ascii);
	return ok;
}

bool
smtp_address_to_ascii(struct str address, char out[SMTP_ADDRESS_MAX + 1])
{
	char ascii[SMTP_DOMAIN_MAX + 1];
	struct smtp_path path;
	size_t n;

	if (smtp_address_parse(address, true, &path) != SMTP_PATH_OK ||
	    !str_is_ascii(path.local) || path.domain.n == 0 ||
	    !domain_to_ascii(path.domain, ascii))
		return false;
	n = path.local.n + 1;
	if (n + strlen(ascii) > SMTP_ADDRESS_MAX)
		return false;
	memcpy(out, address.p, n);
	memcpy(out + n, ascii, strlen(ascii) + 1);
	return true;
}

static struct str
without_final_dot(struct str domain)
{
	if (domain.n > 1 && domain.p[domain.n - 1] == '.')
		domain.n--;
	return domain;
}

/* One machine, one key: 127.0.0.1 has one spelling, IPv6 has many. */
static size_t
literal_key(struct str literal, size_t room, char *out)
{
	struct str text = str_sub(literal, 1, literal.n - 2), tag;
	bool tagged = str_istarts(text, STR("IPv6:"));
	char shown[IP_TEXT_MAX];
	struct ip ip;

	if (!ip_parse(tagged ? str_sub(text, 5, text.n) : text, &ip) ||
	    (!tagged && ip.family == IP_V6))
		return lower_copy(literal, out);
	text = str_from(ip_format(&ip, shown));
	tag = ip.family == IP_V6 ? STR("[ipv6:") : STR("[");
	if (tag.n + text.n + 1 > room)
		return lower_copy(literal, out);
	memcpy(out, tag.p, tag.n);
	memcpy(out + tag.n, text.p, text.n);
	out[tag.n + text.n] = ']';
	return tag.n + text.n + 1;
}

/* room: what is left of SMTP_ADDRESS_MAX. A-labels past it are no address, so
 * nothing is lost by their U-labels. */
static size_t
domain_key(struct str domain, size_t room, char *out)
{
	char ascii[SMTP_DOMAIN_MAX + 1];

	/* Before as well: what is no domain but for its final dot would get a
	 * key that has another key. */
	domain = without_final_dot(domain);
	if (domain.p[0] == '[')
		return literal_key(domain, room, out);
	if (!str_is_ascii(domain) && domain_to_ascii(domain, ascii) &&
	    strlen(ascii) <= room)
		domain = without_final_dot(str_from(ascii));
	return lower_copy(domain, out);
}

size_t
smtp_address_key(struct str address, bool fold_tag, char out[SMTP_KEY_MAX])
{
	struct smtp_path path;
	size_t n;

	/* Quoting never grows what came quoted. */
	_Static_assert(
	    SMTP_ADDRESS_MAX + 1 + SMTP_DOMAIN_MAX < SMTP_KEY_MAX, "key room");
	out[0] = '\0';
	if (parse_address(address, true, true, &path) != SMTP_PATH_OK)
		return 0;
	n = local_key(path.local, fold_tag, out);
	if (path.domain.n > 0) {
		out[n++] = '@';
		n += domain_key(path.domain, SMTP_ADDRESS_MAX - n, out + n);
	}
	out[n] = '\0';
	return n;
}
