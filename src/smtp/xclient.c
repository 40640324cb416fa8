/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A table of attributes, each with how it is read and written. A value is
 * decoded and then held to what it stands for, since it goes on into headers,
 * logs and commands.
 */
#include "smtp/xclient.h"

#include <stdio.h>
#include <string.h>

#define VALUE_MAX 255
#define XTEXT_MAX (3 * VALUE_MAX + 1)
#define VERB_LEN (sizeof("XCLIENT") - 1)

struct attr_info {
	struct str name;
	enum xclient_attr attr;
	/* value is decoded; unavailable ones do not come here. */
	bool (*read)(struct xclient *x, struct str value);
	/* False: unavailable. */
	bool (*write)(const struct xclient *x, char out[VALUE_MAX + 1]);
};

/* A host name or address literal, or a login: no blanks, no control
 * characters, nothing that could break a header's comment. */
static bool
is_word(struct str s, const char *bad)
{
	if (s.n == 0 || s.n > VALUE_MAX || !str_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7F || strchr(bad, c) != NULL)
			return false;
		if (c == 0xC2 && i + 1 < s.n &&
		    (unsigned char)s.p[i + 1] < 0xA0)
			return false; /* C1 control character */
	}
	return true;
}

#define HOST_BAD "\"\\<>(),;@"

static bool
read_name(struct xclient *x, struct str value)
{
	str_copy(value, x->name, sizeof(x->name));
	return is_word(value, HOST_BAD);
}

static bool
read_helo(struct xclient *x, struct str value)
{
	str_copy(value, x->helo, sizeof(x->helo));
	return is_word(value, HOST_BAD);
}

/* Words: a directory's users may be called "john doe". */
static bool
is_login(struct str s)
{
	if (s.n == 0 || s.n > VALUE_MAX || str_trim(s).n != s.n)
		return false;
	while (s.n > 0) {
		struct str word = str_cut(&s, ' ');

		if (word.n > 0 && !is_word(word, ""))
			return false;
	}
	return true;
}

static bool
read_login(struct xclient *x, struct str value)
{
	str_copy(value, x->login, sizeof(x->login));
	return is_login(value);
}

static bool
read_ident(struct xclient *x, struct str value)
{
	str_copy(value, x->ident, sizeof(x->ident));
	return is_word(value, "");
}

static bool
read_ip(struct str value, struct ip *out)
{
	if (str_istarts(value, STR("IPV6:")))
		value = str_sub(value, sizeof("IPV6:") - 1, value.n);
	return ip_parse(value, out);
}

static bool
read_addr(struct xclient *x, struct str value)
{
	return read_ip(value, &x->addr);
}

static bool
read_dest_addr(struct xclient *x, struct str value)
{
	return read_ip(value, &x->dest_addr);
}

static bool
read_number(struct str value, uint16_t *out)
{
	uint64_t n;

	if (!str_to_u64(value, &n) || n > UINT16_MAX)
		return false;
	*out = (uint16_t)n;
	return true;
}

static bool
read_port(struct xclient *x, struct str value)
{
	return read_number(value, &x->port);
}

static bool
read_dest_port(struct xclient *x, struct str value)
{
	return read_number(value, &x->dest_port);
}

static bool
read_proto(struct xclient *x, struct str value)
{
	x->esmtp = str_ieq(value, STR("ESMTP"));
	return x->esmtp || str_ieq(value, STR("SMTP"));
}

static bool
read_source(struct xclient *x, struct str value)
{
	x->local = str_ieq(value, STR("LOCAL"));
	return x->local || str_ieq(value, STR("REMOTE"));
}

static bool
write_text(const char *text, char out[VALUE_MAX + 1])
{
	return str_copy(str_from(text), out, VALUE_MAX + 1) > 0;
}

static bool
write_name(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_text(x->name, out);
}

static bool
write_helo(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_text(x->helo, out);
}

static bool
write_login(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_text(x->login, out);
}

static bool
write_ip(const struct ip *ip, char out[VALUE_MAX + 1])
{
	char text[IP_TEXT_MAX];

	if (ip->family == IP_NONE)
		return false;
	snprintf(out, VALUE_MAX + 1, "%s%s", ip->family == IP_V6 ? "IPV6:" : "",
	    ip_format(ip, text));
	return true;
}

static bool
write_addr(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_ip(&x->addr, out);
}

static bool
write_dest_addr(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_ip(&x->dest_addr, out);
}

static bool
write_number(uint16_t n, char out[VALUE_MAX + 1])
{
	snprintf(out, VALUE_MAX + 1, "%u", (unsigned)n);
	return n != 0;
}

static bool
write_port(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_number(x->port, out);
}

static bool
write_dest_port(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_number(x->dest_port, out);
}

static bool
write_proto(const struct xclient *x, char out[VALUE_MAX + 1])
{
	return write_text(x->esmtp ? "ESMTP" : "SMTP", out);
}

static const struct attr_info attrs_info[] = {
    {STR("NAME"), XCLIENT_NAME, read_name, write_name},
    {STR("ADDR"), XCLIENT_ADDR, read_addr, write_addr},
    {STR("PORT"), XCLIENT_PORT, read_port, write_port},
    {STR("PROTO"), XCLIENT_PROTO, read_proto, write_proto},
    {STR("HELO"), XCLIENT_HELO, read_helo, write_helo},
    {STR("DESTADDR"), XCLIENT_DESTADDR, read_dest_addr, write_dest_addr},
    {STR("DESTPORT"), XCLIENT_DESTPORT, read_dest_port, write_dest_port},
    /* The last that is written: each XCLIENT forgets the login before it, and
     * a long HELO makes several of one. */
    {STR("LOGIN"), XCLIENT_LOGIN, read_login, write_login},
    {STR("IDENT"), XCLIENT_IDENT, read_ident, NULL},
    {STR("SOURCE"), XCLIENT_SOURCE, read_source, NULL},
};

/* ---- xtext (RFC 3461 section 4) ---- */

/* False: a bad escape, or too long. */
static bool
xtext_decode(struct str in, char out[VALUE_MAX + 1], size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < in.n; i++) {
		int high, low;

		if (*n == VALUE_MAX)
			return false;
		if (in.p[i] != '+') {
			out[(*n)++] = in.p[i];
			continue;
		}
		if (in.n - i < 3)
			return false;
		high = str_hex_digit(in.p[i + 1]);
		low = str_hex_digit(in.p[i + 2]);
		if (high < 0 || low < 0)
			return false;
		out[(*n)++] = (char)(high << 4 | low);
		i += 2;
	}
	return true;
}

static void
xtext_encode(const char *in, char out[XTEXT_MAX])
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (; *in != '\0'; in++) {
		unsigned char c = (unsigned char)*in;

		if (c > ' ' && c < 0x7F && c != '+' && c != '=') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '+';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
}

/* ---- whole commands ---- */

static const struct attr_info *
find_attr(struct str name, unsigned allowed)
{
	for (size_t i = 0; i < ARRAY_LEN(attrs_info); i++) {
		if ((attrs_info[i].attr & allowed) &&
		    str_ieq(name, attrs_info[i].name))
			return &attrs_info[i];
	}
	return NULL;
}

static bool
is_unavailable(struct xclient *x, enum xclient_attr attr, struct str value)
{
	bool temp = str_ieq(value, STR("[TEMPUNAVAIL]"));

	if (temp)
		x->temp |= attr;
	return temp || str_ieq(value, STR("[UNAVAILABLE]"));
}

static const char *
read_attr(struct xclient *x, struct str word, unsigned allowed)
{
	const struct attr_info *info;
	struct str name = str_cut(&word, '=');
	char value[VALUE_MAX + 1];
	size_t n;

	info = find_attr(name, allowed);
	if (info == NULL)
		return "unknown attribute";
	if (x->given & info->attr)
		return "duplicate attribute";
	if (!xtext_decode(word, value, &n))
		return "attribute value is not valid xtext";
	x->given |= info->attr;
	if (is_unavailable(x, info->attr, (struct str){value, n}))
		return NULL;
	if (memchr(value, '\0', n) != NULL ||
	    !info->read(x, (struct str){value, n}))
		return "malformed attribute value";
	return NULL;
}

bool
xclient_parse(
    struct str args, unsigned allowed, struct xclient *out, const char **why)
{
	struct str word;

	*out = (struct xclient){0};
	*why = NULL;
	while (args.n > 0 && *why == NULL) {
		word = str_cut(&args, ' ');
		if (word.n > 0)
			*why = read_attr(out, word, allowed);
	}
	if (*why == NULL && out->given == 0)
		*why = "expected attribute=value";
	return *why == NULL;
}

unsigned
xclient_attrs_parse(struct str list)
{
	const struct attr_info *info;
	unsigned found = 0;

	while (list.n > 0) {
		info = find_attr(str_cut(&list, ' '), XCLIENT_ATTRS);
		found |= info != NULL ? (unsigned)info->attr : 0;
	}
	return found;
}

const char *
xclient_attrs_format(unsigned attrs, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(attrs_info); i++) {
		if (!(attrs & attrs_info[i].attr))
			continue;
		if (n > 0)
			n += str_copy(STR(" "), out + n, cap - n);
		n += str_copy(attrs_info[i].name, out + n, cap - n);
	}
	return out;
}

bool
xclient_print(const struct xclient *x, unsigned attrs, struct buf *out,
    unsigned *commands)
{
	size_t room = 0;
	bool ok = true;

	*commands = 0;
	for (size_t i = 0; i < ARRAY_LEN(attrs_info) && ok; i++) {
		const struct attr_info *info = &attrs_info[i];
		char value[VALUE_MAX + 1], text[XTEXT_MAX];
		size_t n;

		if (!(attrs & x->given & info->attr) || info->write == NULL)
			continue;
		if (info->write(x, value))
			xtext_encode(value, text);
		else
			str_copy((x->temp & info->attr) ? STR("[TEMPUNAVAIL]")
							: STR("[UNAVAILABLE]"),
			    text, sizeof(text));
		n = info->name.n + strlen(text) + 2;
		if (n + VERB_LEN + 2 > XCLIENT_LINE_MAX)
			continue;
		if (n > room) {
			ok = buf_printf(
			    out, "%sXCLIENT", *commands > 0 ? "\r\n" : "");
			room = XCLIENT_LINE_MAX - VERB_LEN - 2;
			++*commands;
		}
		ok = ok && buf_printf(out, " %s=%s", info->name.p, text);
		room -= n;
	}
	return ok && (*commands == 0 || buf_append(out, "\r\n", 2));
}
