/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: XCLIENT and XFORWARD attributes. Checked: what is taken holds no
 * control character, goes out in lines of at most 512 bytes, and comes back as
 * it was.
 */
#include "smtp/xclient.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok, const char *what)
{
	if (!ok)
		panic("%s", what);
}

static void
check_printable(const char *text)
{
	check(str_is_utf8(str_from(text)), "not UTF-8");
	for (; *text != '\0'; text++)
		check((unsigned char)*text >= ' ' && *text != 0x7F, "control");
}

static void
check_word(const char *text)
{
	check_printable(text);
	check(strchr(text, ' ') == NULL, "blank");
}

/* Within it there may be blanks. */
static void
check_login(const char *text)
{
	check_printable(text);
	check(str_trim(str_from(text)).n == strlen(text), "blank at an end");
}

static void
merge(struct xclient *all, const struct xclient *part)
{
	if (part->given & XCLIENT_NAME)
		memcpy(all->name, part->name, sizeof(all->name));
	if (part->given & XCLIENT_HELO)
		memcpy(all->helo, part->helo, sizeof(all->helo));
	if (part->given & XCLIENT_LOGIN)
		memcpy(all->login, part->login, sizeof(all->login));
	if (part->given & XCLIENT_ADDR)
		all->addr = part->addr;
	if (part->given & XCLIENT_PORT)
		all->port = part->port;
	all->given |= part->given;
}

static void
check_way_back(const struct xclient *x)
{
	struct xclient back = {0}, part;
	struct str rest, line;
	struct buf out;
	unsigned commands, lines = 0;
	const char *why;

	buf_init(&out, 8192);
	check(xclient_print(x, XCLIENT_ATTRS, &out, &commands), "print");
	for (rest = buf_str(&out); rest.n > 0; lines++) {
		line = str_cut(&rest, '\n');
		check(line.n + 1 <= XCLIENT_LINE_MAX, "long line");
		line = str_sub(line, sizeof("XCLIENT ") - 1, line.n);
		line.n--;
		check(xclient_parse(line, XCLIENT_ATTRS, &part, &why),
		    "does not come back");
		check((part.given & back.given) == 0, "twice");
		merge(&back, &part);
	}
	check(lines == commands, "commands");
	check(!(back.given & XCLIENT_NAME) || strcmp(back.name, x->name) == 0,
	    "name");
	check(!(back.given & XCLIENT_HELO) || strcmp(back.helo, x->helo) == 0,
	    "helo");
	check(
	    !(back.given & XCLIENT_LOGIN) || strcmp(back.login, x->login) == 0,
	    "login");
	check(back.port == x->port && ip_eq(&back.addr, &x->addr), "address");
	buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned allowed[] = {XCLIENT_ATTRS, XFORWARD_ATTRS};
	char *copy = xmalloc(size > 0 ? size : 1);
	const char *why;
	struct xclient x;

	memcpy(copy, data, size);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		if (!xclient_parse(
			(struct str){copy, size}, allowed[i], &x, &why)) {
			check(why != NULL, "no reason");
			continue;
		}
		check(x.given != 0 && (x.given & ~allowed[i]) == 0, "given");
		check_word(x.name);
		check_word(x.helo);
		check_login(x.login);
		check_word(x.ident);
		check_way_back(&x);
	}
	free(copy);
	return 0;
}
