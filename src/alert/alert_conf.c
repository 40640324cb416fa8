/* SPDX-License-Identifier: BSD-3-Clause */
#include "alert/alert_conf.h"

#include "alert/alert_event.h"
#include "alert/alert_text.h"
#include "os/file.h"
#include "os/option_check.h"
#include "os/secret_file.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(struct alert_conf, field)
#define SECONDS(n) ((n)*INT64_C(1000))
#define HOURS(n) SECONDS((n)*3600)
#define DAYS(n) HOURS((n)*24)
#define FILE_MAX 65536
#define SECRET_MIN 16
#define SECRET_MAX 512

const char *const alert_channel_name[ALERT_CHANNELS + 1] = {
    "mail", "webhook", "command", NULL};

static bool
check_event(const char *text, char *err, size_t cap)
{
	enum alert_event event;

	if (alert_event_find(str_from(text), &event))
		return true;
	snprintf(err, cap,
	    "is not an event; the events are freeze, thaw, warning, blast, "
	    "decoy, networks, disk, next_hop, certificate, reload_failed, "
	    "shared_state, restart");
	return false;
}

/* What may stand between < and > without any quoting. */
static bool
check_address(const char *text, char *err, size_t cap)
{
	const char *at = strrchr(text, '@');

	if (at != NULL && at != text && at[1] != '\0' && strlen(text) <= 254 &&
	    str_is_ascii(str_from(text)) &&
	    strpbrk(text, " \t\r\n<>()[],;:\\\"") == NULL &&
	    str_is_shown(str_from(text)))
		return true;
	snprintf(err, cap,
	    "is not a mail address; write it as in postmaster@example.org");
	return false;
}

static bool
is_url(const char *text)
{
	struct str s = str_from(text);

	return (str_istarts(s, STR("https://")) ||
		   str_istarts(s, STR("http://"))) &&
	       s.n > 8 && str_is_ascii(s) && str_is_shown(s) &&
	       strpbrk(text, " \"<>\\") == NULL;
}

static bool
check_url(const char *text, char *err, size_t cap)
{
	if (is_url(text))
		return true;
	snprintf(err, cap,
	    "is not a web server address; write it as in "
	    "https://hooks.example.org/weir");
	return false;
}

static bool
check_hop(const char *text, char *err, size_t cap)
{
	struct str s = str_from(text);

	if (str_istarts(s, STR("smtps://")))
		s = str_sub(s, 8, s.n);
	else if (str_istarts(s, STR("smtp://")))
		s = str_sub(s, 7, s.n);
	if (s.n > 0 && s.n < 300 && str_is_ascii(s) && str_is_shown(s) &&
	    str_index(s, '/') == s.n && str_index(s, ' ') == s.n &&
	    str_index(s, '@') == s.n && str_rindex(s, ':') < s.n)
		return true;
	snprintf(err, cap,
	    "is not a mail server; write it as in mail.example.net:25 or "
	    "smtps://mail.example.net:465");
	return false;
}

/* The rows of the table, as the list of their names and as sentences. */
#define PRESET_FIRST(name) "\"" name "\""
#define PRESET_ON(name) ", \"" name "\""
#define PRESET_OFF(name) ""
#define EVENT_PRESET(id, name, of, lasts, preset, ...) PRESET_##preset(name)
#define EVENT_DOC(id, name, of, lasts, preset, when, ...) " " name ": " when "."

const struct option alert_options[] = {
    {
	.name = "channel",
	.type = OPTION_ENUM,
	.offset = AT(channel),
	.preset = "mail",
	.names = alert_channel_name,
	.reloadable = true,
	.doc = "How alerts are sent. mail: a message to the addresses in to. "
	       "webhook: JSON is posted to url. command: a program is run with "
	       "the JSON on its standard input. weirctl alert test and the "
	       "section's name send a test.",
    },
    {
	.name = "events",
	.type = OPTION_STRINGS,
	.offset = AT(events),
	.preset = "{" ALERT_EVENT_TABLE(EVENT_PRESET) "}",
	.reloadable = true,
	.check = check_event,
	.doc = "What to alert about." ALERT_EVENT_TABLE(EVENT_DOC),
    },
    {
	.name = "to",
	.type = OPTION_STRINGS,
	.offset = AT(to),
	.reloadable = true,
	.sample = "postmaster@example.org",
	.check = check_address,
	.doc =
	    "For channel = mail: recipients of the alerts. The messages have "
	    "the null sender, are not throttled, and never cause a bounce.",
    },
    {
	.name = "from",
	.type = OPTION_STRING,
	.offset = AT(from),
	.reloadable = true,
	.sample = "weir@example.org",
	.check = check_address,
	.doc = "For channel = mail: the address in the From header field. "
	       "Default: postmaster.",
    },
    {
	.name = "next_hop",
	.type = OPTION_STRING,
	.offset = AT(next_hop),
	.reloadable = true,
	.sample = "mail.example.net:25",
	.check = check_hop,
	.doc =
	    "For channel = mail: mail server for alerts, instead of the next "
	    "hop of all mail, so that they arrive when that one is down. TLS "
	    "is used if the server offers it. With smtps:// in front, TLS is "
	    "used from the first byte, with a certificate for that name.",
    },
    {
	.name = "url",
	.type = OPTION_STRING,
	.offset = AT(url),
	.reloadable = true,
	.sample = "https://hooks.example.org/weir",
	.check = check_url,
	.doc = "For channel = webhook: URL to which JSON is posted. The "
	       "certificate is verified, redirects are not followed, and any "
	       "response other than 2xx is retried. weirctl show config prints "
	       "the URL; if it is itself a secret, use url_file.",
    },
    {
	.name = "url_file",
	.type = OPTION_STRING,
	.offset = AT(url_file),
	.reloadable = true,
	.sample = "/etc/weir/hook.url",
	.check = option_check_path,
	.doc = "File with the URL, instead of url.",
    },
    {
	.name = "secret_file",
	.type = OPTION_STRING,
	.offset = AT(secret_file),
	.reloadable = true,
	.sample = "/etc/weir/hook.secret",
	.check = option_check_path,
	.doc = "For channel = webhook: file with the key of the signature, 16 "
	       "to 512 bytes, or whsec_ and base64. Each request then has "
	       "webhook-signature: v1, and the base64 HMAC-SHA256 of "
	       "webhook-id, a dot, webhook-timestamp, a dot and the body.",
    },
    {
	.name = "header_file",
	.type = OPTION_STRING,
	.offset = AT(header_file),
	.reloadable = true,
	.sample = "/etc/weir/hook.headers",
	.check = option_check_path,
	.doc = "For channel = webhook: file with further header fields, one "
	       "per line, such as \"Authorization: Bearer ...\".",
    },
    {
	.name = "ca_file",
	.type = OPTION_STRING,
	.offset = AT(ca_file),
	.reloadable = true,
	.sample = "/etc/weir/hook-ca.pem",
	.check = option_check_path,
	.doc = "Certificates to trust instead of the system's.",
    },
    {
	.name = "template",
	.type = OPTION_STRING,
	.offset = AT(template),
	.reloadable = true,
	.sample = "/etc/weir/slack.json",
	.check = option_check_path,
	.doc = "For channel = webhook: file with the JSON to post, in which "
	       "{{text}}, {{summary}}, {{id}}, {{time}}, {{host}}, {{count}}, "
	       "{{event}}, {{sender}} and {{link}} are replaced inside "
	       "strings. Default: the object described in doc/alerts.md.",
    },
    {
	.name = "command",
	.type = OPTION_STRING,
	.offset = AT(command),
	.reloadable = true,
	.sample = "/usr/local/bin/weir-page",
	.check = option_check_program,
	.doc = "For channel = command: full path of a program. No shell runs "
	       "it. Exit status 0 means that the alert was sent; after any "
	       "other status it is retried.",
    },
    {
	.name = "group_wait",
	.type = OPTION_DURATION,
	.offset = AT(group_wait_ms),
	.preset = "10s",
	.max = HOURS(1),
	.reloadable = true,
	.doc = "Time that the first event waits for others, so that an "
	       "outbreak is one message. 0s: each event is sent on its own.",
    },
    {
	.name = "group_limit",
	.type = OPTION_RATE,
	.offset = AT(group_limit),
	.preset = "20/1h",
	.reloadable = true,
	.doc = "Maximum rate of messages. Further events are collected until "
	       "the next message may be sent.",
    },
    {
	.name = "remind",
	.type = OPTION_DURATION,
	.offset = AT(remind_ms),
	.preset = "24h",
	.max = DAYS(30),
	.reloadable = true,
	.doc = "Time between reminders of a lasting condition, such as a "
	       "sender that is still frozen. 0s: never.",
    },
    {
	.name = "retry_for",
	.type = OPTION_DURATION,
	.offset = AT(retry_for_ms),
	.preset = "24h",
	.min = SECONDS(1),
	.max = DAYS(7),
	.reloadable = true,
	.doc = "How long to retry an alert that could not be sent, with "
	       "growing pauses from 10 seconds to 10 minutes. Meanwhile "
	       "further events are collected. Mail without a next_hop of its "
	       "own is retried like other mail (max_age).",
    },
    {
	.name = "timeout",
	.type = OPTION_DURATION,
	.offset = AT(timeout_ms),
	.preset = "15s",
	.min = SECONDS(1),
	.max = SECONDS(300),
	.reloadable = true,
	.doc = "Maximum duration of one attempt.",
    },
    {
	.name = "link",
	.type = OPTION_STRING,
	.offset = AT(link),
	.reloadable = true,
	.sample = "https://mail.example.org/weir/#/senders/%s",
	.check = check_url,
	.doc = "URL to put into alerts, such as that of the dashboard. %s in "
	       "it stands for the sender.",
    },
    {0},
};

/* ---- files ---- */

/* Without the line ends at its end. is_secret: nobody else may read it. */
static char *
read_text(const char *option, const char *path, bool is_secret, size_t *size,
    char *err, size_t cap)
{
	char why[300] = "";
	struct buf content;
	char *text;
	int error = 0;

	buf_init(&content, FILE_MAX);
	if (is_secret && !secret_file_read(path, &content, why, sizeof(why))) {
		snprintf(err, cap, "%s: %s", option, why);
		return NULL;
	}
	if (!is_secret)
		error = file_read(path, FILE_MAX, &content);
	if (error != 0) {
		snprintf(err, cap,
		    "%s: %s cannot be read: %s; check the path and its "
		    "permissions",
		    option, path, strerror(error));
		buf_clear(&content);
		return NULL;
	}
	*size = content.len;
	while (*size > 0 && (content.mem[content.off + *size - 1] == '\n' ||
				content.mem[content.off + *size - 1] == '\r'))
		--*size;
	text = str_dup(str_sub(buf_str(&content), 0, *size));
	secret_file_wipe(&content);
	return text;
}

static void
forget(char **secret, size_t size)
{
	if (*secret != NULL)
		OPENSSL_cleanse(*secret, size);
	free(*secret);
	*secret = NULL;
}

/* The form of https://www.standardwebhooks.com, so that its libraries can
 * verify. */
static bool
decode_secret(struct alert_conf *c)
{
	struct str s = {c->secret, c->secret_size};
	unsigned char out[SECRET_MAX + 3];
	int n;

	if (!str_starts(s, STR("whsec_")))
		return true;
	s = str_sub(s, 6, s.n);
	if (s.n == 0 || s.n % 4 != 0 || s.n > SECRET_MAX)
		return false;
	n = EVP_DecodeBlock(out, (const unsigned char *)s.p, (int)s.n);
	if (n < 0)
		return false;
	for (size_t i = s.n; i > 0 && s.p[i - 1] == '='; i--)
		n--;
	forget(&c->secret, c->secret_size);
	c->secret = xmalloc((size_t)n + 1);
	memcpy(c->secret, out, (size_t)n);
	c->secret_size = (size_t)n;
	OPENSSL_cleanse(out, sizeof(out));
	return true;
}

static bool
read_secret(struct alert_conf *c, char *err, size_t cap)
{
	if (c->secret_file == NULL)
		return true;
	c->secret = read_text(
	    "secret_file", c->secret_file, true, &c->secret_size, err, cap);
	if (c->secret == NULL)
		return false;
	if (c->secret_size <= SECRET_MAX && decode_secret(c) &&
	    c->secret_size >= SECRET_MIN)
		return true;
	snprintf(err, cap,
	    "secret_file: %s: the key must have 16 to 512 bytes, or be whsec_ "
	    "and base64; make one with openssl rand -hex 32",
	    c->secret_file);
	return false;
}

static bool
read_url(struct alert_conf *c, char *err, size_t cap)
{
	size_t size;

	if ((c->url == NULL) == (c->url_file == NULL)) {
		snprintf(err, cap, "channel: webhook requires url or url_file");
		return false;
	}
	if (c->url != NULL) {
		c->endpoint = xstrdup(c->url);
		return true;
	}
	c->endpoint = read_text("url_file", c->url_file, true, &size, err, cap);
	if (c->endpoint == NULL)
		return false;
	if (size == strlen(c->endpoint) && is_url(c->endpoint))
		return true;
	snprintf(err, cap,
	    "url_file: %s: does not contain the URL of a web server; write "
	    "one line, as in https://hooks.example.org/weir",
	    c->url_file);
	return false;
}

static bool
is_field(struct str line)
{
	size_t colon = str_index(line, ':');

	for (size_t i = 0; i < colon; i++) {
		char ch = line.p[i];

		if (ch != '-' && ch != '_' && !str_is_alnum(ch))
			return false;
	}
	return colon > 0 && colon < line.n && str_is_shown(line);
}

static bool
read_headers(struct alert_conf *c, char *err, size_t cap)
{
	struct str rest;
	size_t size, number = 0;

	if (c->header_file == NULL)
		return true;
	c->headers =
	    read_text("header_file", c->header_file, true, &size, err, cap);
	if (c->headers == NULL)
		return false;
	rest = (struct str){c->headers, size};
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');

		number++;
		if (is_field(line))
			continue;
		snprintf(err, cap,
		    "header_file: %s:%zu: is not a header field; write it as "
		    "in \"Name: value\"",
		    c->header_file, number);
		return false;
	}
	return true;
}

static bool
read_template(struct alert_conf *c, char *err, size_t cap)
{
	char why[200];
	size_t size;

	if (c->template == NULL)
		return true;
	c->template_text =
	    read_text("template", c->template, false, &size, err, cap);
	if (c->template_text == NULL)
		return false;
	if (alert_template_check(c->template_text, why, sizeof(why)))
		return true;
	snprintf(err, cap, "template: %s: %s", c->template, why);
	return false;
}

/* An option of another channel would promise what does not hold. */
static const char *
misplaced(const struct alert_conf *c)
{
	if (c->channel != ALERT_MAIL &&
	    (c->to.n > 0 || c->from != NULL || c->next_hop != NULL))
		return "to, from and next_hop are for channel = mail";
	if (c->channel != ALERT_WEBHOOK &&
	    (c->url != NULL || c->url_file != NULL || c->secret_file != NULL ||
		c->header_file != NULL || c->template != NULL))
		return "url, url_file, secret_file, header_file and template "
		       "are for channel = webhook";
	if (c->channel != ALERT_COMMAND && c->command != NULL)
		return "command is for channel = command";
	if (c->ca_file != NULL && c->channel != ALERT_WEBHOOK &&
	    c->next_hop == NULL)
		return "ca_file is for webhook, and for mail with next_hop";
	return NULL;
}

bool
alert_conf_check(struct alert_conf *c, char *err, size_t cap)
{
	const char *wrong = misplaced(c);

	if (wrong != NULL) {
		snprintf(err, cap, "%s; remove it", wrong);
		return false;
	}
	c->wanted = 0;
	for (size_t i = 0; i < c->events.n; i++) {
		enum alert_event event;

		if (alert_event_find(str_from(c->events.v[i]), &event))
			c->wanted |= 1u << event;
	}
	if (c->channel == ALERT_MAIL && c->to.n == 0) {
		snprintf(err, cap,
		    "channel: mail requires the option to; name the "
		    "recipients, as in to = {\"postmaster@example.org\"}");
		return false;
	}
	if (c->channel == ALERT_COMMAND && c->command == NULL) {
		snprintf(err, cap,
		    "channel: command requires the option "
		    "command");
		return false;
	}
	return c->channel != ALERT_WEBHOOK ||
	       (read_url(c, err, cap) && read_secret(c, err, cap) &&
		   read_headers(c, err, cap) && read_template(c, err, cap));
}

void
alert_conf_clear(struct alert_conf *c)
{
	forget(&c->secret, c->secret_size);
	forget(&c->headers, c->headers != NULL ? strlen(c->headers) : 0);
	free(c->endpoint);
	free(c->template_text);
	c->endpoint = c->template_text = NULL;
}
