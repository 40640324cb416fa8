/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a report read at once and read byte by byte names the same
 * recipients, no more than it may, and none without an ENVID and a status.
 */
#include "fuzz.h"

#include "smtp/dsn.h"

struct heard {
	unsigned n;
	size_t bytes;
};

static void
on_rcpt(void *arg, const struct smtp_dsn_rcpt *rcpt)
{
	struct heard *h = arg;

	fuzz_check(
	    rcpt->envid.n > 0 && rcpt->envid.n <= SMTP_ENVID_MAX &&
		rcpt->final.n > 0 && rcpt->final.n <= SMTP_DSN_ADDRESS_MAX &&
		rcpt->original.n <= SMTP_DSN_ADDRESS_MAX &&
		rcpt->status.n > 0 && rcpt->status.n <= SMTP_DSN_STATUS_MAX,
	    "a recipient that is none");
	h->n++;
	h->bytes +=
	    rcpt->envid.n + rcpt->final.n + rcpt->original.n + rcpt->status.n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	struct heard whole = {0}, pieces = {0};
	struct smtp_dsn d;

	smtp_dsn_init(&d);
	smtp_dsn_feed(&d, (struct str){text, size}, on_rcpt, &whole);
	smtp_dsn_init(&d);
	for (size_t i = 0; i < size; i++)
		smtp_dsn_feed(&d, (struct str){text + i, 1}, on_rcpt, &pieces);
	fuzz_check(whole.n == pieces.n && whole.bytes == pieces.bytes,
	    "what it names hangs on how it is cut");
	fuzz_check(whole.n <= SMTP_DSN_RCPTS_MAX, "too many recipients");
	free(text);
	return 0;
}
