/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks of one value of weir.conf. The value itself stands in the message
 * already; here is only what is wrong with it and what to write.
 */
#include "config.h"

#include "maild/maild_check.h"

#include "base/ip.h"
#include "delivery/mta_queue.h"
#include "milter/milter.h"
#include "net/addr.h"
#include "net/tls.h"
#include "os/option_check.h"
#include "os/program.h"
#include "share/redis_url.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOSTNAME_MAX 255
#define LABEL_MAX 63
#define TEXT_MAX 200

static bool
is_label(struct str s)
{
	if (s.n == 0 || s.n > LABEL_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

static bool
is_hostname(struct str s)
{
	if (s.n == 0 || s.n > HOSTNAME_MAX || s.p[s.n - 1] == '.')
		return false;
	while (s.n > 0) {
		if (!is_label(str_cut(&s, '.')))
			return false;
	}
	return true;
}

bool
maild_check_hostname(const char *text, char *err, size_t cap)
{
	if (is_hostname(str_from(text)))
		return true;
	return option_refuse(err, cap,
	    "is not a host name; write letters, digits, hyphens and dots, as "
	    "in \"relay.example.org\"");
}

/* It stands in replies and log lines. */
bool
maild_check_text(const char *text, char *err, size_t cap)
{
	size_t n = strlen(text);

	if (n == 0 || n > TEXT_MAX)
		return option_refuse(err, cap,
		    "is empty or too long; write 1 to %d "
		    "characters",
		    TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return option_refuse(err, cap,
			    "may contain only printable ASCII, since it "
			    "appears in replies");
	}
	return true;
}

bool
maild_check_next_hop(const char *text, char *err, size_t cap)
{
	struct str s = str_from(text), host;
	struct net_addr addr;
	char why[128];
	uint16_t port;

	if (str_starts(s, STR("lmtp:")))
		s = str_sub(s, sizeof("lmtp:") - 1, s.n);
	if (str_starts(s, STR("unix:"))) {
		if (net_addr_parse(s, &addr, why, sizeof(why)))
			return true;
		return option_refuse(err, cap, "is not an address: %s", why);
	}
	if (!net_addr_split(s, &host, &port) || port == 0)
		return option_refuse(err, cap,
		    "is not an address; write "
		    "\"host:port\" or \"unix:/path\"");
	if (net_addr_parse(s, &addr, why, sizeof(why)) || is_hostname(host))
		return true;
	return option_refuse(err, cap,
	    "has no valid host; write a name, or an "
	    "address as in \"192.0.2.1:25\" or \"[2001:db8::1]:25\"");
}

bool
maild_check_listen(const char *text, char *err, size_t cap)
{
	struct net_addr addr;
	char why[128];

	if (net_addr_parse(str_from(text), &addr, why, sizeof(why)))
		return true;
	return option_refuse(
	    err, cap, "is not an address to listen on: %s", why);
}

bool
maild_check_protocol(const char *text, char *err, size_t cap)
{
	if (strcmp(text, "milter") != 0 || milter_is_built_in())
		return true;
	return option_refuse(err, cap,
	    "is not available: this weir was built without libmilter; install "
	    "libmilter-dev and rebuild it");
}

bool
maild_check_command(const char *text, char *err, size_t cap)
{
	struct mta_command c;
	bool ok = mta_command_parse(text, &c, err, cap);
	char why[PROGRAM_WHY_MAX];

	if (ok && c.socket == NULL &&
	    !program_can_run(c.words[0], why, sizeof(why)))
		ok = option_refuse(
		    err, cap, "cannot be run: %s: %s", c.words[0], why);
	mta_command_clear(&c);
	return ok;
}

bool
maild_check_fingerprint(const char *text, char *err, size_t cap)
{
	unsigned char print[TLS_FINGERPRINT_BYTES];

	if (tls_fingerprint_parse(str_from(text), print))
		return true;
	return option_refuse(err, cap,
	    "is not a SHA-256 fingerprint; openssl x509 -noout -fingerprint "
	    "-sha256 -in FILE prints it");
}

bool
maild_check_account(const char *text, char *err, size_t cap)
{
	struct str s = str_from(text);
	size_t at = str_rindex(s, '=');

	if (at > 0 && at < s.n &&
	    maild_check_fingerprint(text + at + 1, err, cap))
		return true;
	return option_refuse(err, cap,
	    "is not user=fingerprint; write a SHA-256 fingerprint, as in "
	    "\"app@example.org=3A:0F:...\"");
}

bool
maild_parse_mode(const char *text, unsigned *out)
{
	size_t n = strlen(text);

	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '7')
			return false;
		*out = *out * 8 + (unsigned)(text[i] - '0');
	}
	return n >= 3 && n <= 4 && *out <= 0777;
}

bool
maild_check_mode(const char *text, char *err, size_t cap)
{
	unsigned mode;

	if (maild_parse_mode(text, &mode))
		return true;
	return option_refuse(
	    err, cap, "is not a file mode; write octal digits, as in \"0660\"");
}

bool
maild_check_shared(const char *text, char *err, size_t cap)
{
	struct redis_url url;

	return redis_url_parse(text, &url, err, cap);
}

/* Braces would be a hash tag of its own to a cluster. */
bool
maild_check_prefix(const char *text, char *err, size_t cap)
{
	struct str s = str_from(text);

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && strchr("._:-", c) == NULL)
			return option_refuse(err, cap,
			    "contains characters other than letters, digits "
			    "and ._:-");
	}
	if (s.n == 0 || s.n > 64)
		return option_refuse(
		    err, cap, "is empty or longer than 64 bytes");
	return true;
}
