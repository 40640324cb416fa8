/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of letters is the C library's, asked through a locale of our own:
 * the program's may be any. Letters whose small form takes more bytes stay as
 * they are, so a text never grows.
 */
#include "config.h"

#include "base/fold.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

struct fold {
	locale_t locale; /* 0: none */
	char text[FOLD_MAX];
};

struct fold *
fold_new(void)
{
	struct fold *f = xmalloc(sizeof(*f));

	f->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return f;
}

void
fold_free(struct fold *f)
{
	if (f == NULL)
		return;
	if (f->locale != (locale_t)0)
		freelocale(f->locale);
	free(f);
}

static size_t
encode(uint32_t c, char out[4])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1) {
		out[0] = (char)c;
		return 1;
	}
	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)((0xf00u >> n & 0xffu) | c);
	return n;
}

struct str
fold_text(struct fold *f, struct str s)
{
	size_t used = 0;

	s = str_sub(s, 0, FOLD_MAX);
	while (s.n > 0) {
		unsigned char c = (unsigned char)s.p[0];
		uint32_t code = 0;
		size_t n = c < 0x80 ? 0 : str_utf8(s, &code), small = 0;
		char letter[4];

		if (n > 0 && f->locale != (locale_t)0)
			small = encode(
			    (uint32_t)towlower_l((wint_t)code, f->locale),
			    letter);
		if (n == 0)
			f->text[used++] =
			    (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		else if (small == 0 || small > n)
			memcpy(f->text + used, s.p, small = n);
		else
			memcpy(f->text + used, letter, small);
		used += small;
		s = str_sub(s, n > 0 ? n : 1, s.n);
	}
	return (struct str){f->text, used};
}

bool
fold_has(struct fold *f, struct str s, struct str folded)
{
	struct str text = fold_text(f, s);

	return folded.n == 0 ||
	       (text.n >= folded.n &&
		   memmem(text.p, text.n, folded.p, folded.n) != NULL);
}
