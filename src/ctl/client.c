/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asks the daemon: a line of JSON out, lines of JSON in. A daemon that is not
 * there, or that goes in the middle, is CTL_NO_DAEMON.
 */
#include "ctl/ctl.h"

#include "base/buf.h"
#include "ctl/reach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64u << 20)
#define READ_BYTES 65536
/* Bytes of a message may be zero. */
#define LOAD_FLAGS JSON_ALLOW_NUL
#define DUMP_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER)

struct answer {
	int fd;
	struct buf in;
	size_t seen; /* bytes of in without a line's end */
};

static int
open_socket(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	str_copy(str_from(path), un.sun_path, sizeof(un.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* A daemon that refuses us may have closed already: its answer is read all the
 * same. */
static bool
send_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET;
		s = str_sub(s, (size_t)n, s.n);
	}
	return true;
}

/* The next line, borrowed until the next call; false at the end. */
static bool
next_line(struct answer *a, struct str *line, size_t *used)
{
	buf_consume(&a->in, *used);
	*used = 0;
	for (;;) {
		struct str s = buf_str(&a->in), fresh;
		ssize_t n;
		char *room;

		fresh = str_sub(s, a->seen, s.n);
		n = (ssize_t)str_index(fresh, '\n');
		if ((size_t)n < fresh.n) {
			*line = str_sub(s, 0, a->seen + (size_t)n);
			*used = line->n + 1;
			a->seen = 0;
			return true;
		}
		a->seen = s.n;
		room = buf_reserve(&a->in, READ_BYTES);
		if (room == NULL)
			return false;
		n = read(a->fd, room, READ_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf_commit(&a->in, (size_t)n);
	}
}

/* Relays of the site that are missing in the answer. */
static void
tell_elsewhere(const json_t *done)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(done, "elsewhere"), i, one)
	{
		ctl_error(
		    "%s: %s", ctl_text(one, "relay"), ctl_text(one, "error"));
	}
}

/* True: this was the last line, and status is its meaning. */
static bool
take_line(struct str line, ctl_row_fn *fn, void *arg, enum ctl_status *status,
    json_t **done)
{
	static const char *const kinds[] = {"row", "event"};
	json_t *root = json_loadb(line.p, line.n, LOAD_FLAGS, NULL);
	const char *error = json_string_value(json_object_get(root, "error"));
	bool last = true;

	*status = CTL_NO_DAEMON;
	if (error != NULL) {
		ctl_error("%s", error);
		*status =
		    ctl_number(root, "status") == 2 ? CTL_USAGE : CTL_FAILED;
	} else if (ctl_flag(root, "done")) {
		tell_elsewhere(root);
		*status = CTL_OK;
		if (done != NULL)
			*done = json_incref(root);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			const json_t *value = json_object_get(root, kinds[i]);

			if (value == NULL)
				continue;
			last = false;
			if (fn != NULL)
				fn(arg, kinds[i], value);
		}
		if (last)
			ctl_error(
			    "unexpected answer: this is not a weir daemon");
	}
	json_decref(root);
	return last;
}

static enum ctl_status
read_answer(int fd, ctl_row_fn *fn, void *arg, json_t **done)
{
	struct answer a = {.fd = fd};
	enum ctl_status status = CTL_NO_DAEMON;
	struct str line;
	size_t used = 0;
	bool last = false;

	buf_init(&a.in, LINE_MAX_BYTES);
	while (!last && next_line(&a, &line, &used))
		last = take_line(line, fn, arg, &status, done);
	if (!last)
		ctl_error("the daemon closed the connection");
	buf_clear(&a.in);
	return status;
}

enum ctl_status
ctl_ask(
    struct ctl *ctl, json_t *request, ctl_row_fn *fn, void *arg, json_t **done)
{
	char *text = json_dumps(request, DUMP_FLAGS);
	enum ctl_status status = CTL_NO_DAEMON;
	char words[REACH_MAX];
	int fd;

	json_decref(request);
	if (text == NULL) {
		ctl_error("an argument is not valid UTF-8");
		return CTL_USAGE;
	}
	fd = open_socket(ctl->socket);
	if (fd < 0) {
		reach_words(ctl->socket, errno, words, sizeof(words));
		ctl_error("%s", words);
	} else if (!send_all(fd, str_from(text)) || !send_all(fd, STR("\n")))
		ctl_error("cannot send the request to the daemon: %s",
		    strerror(errno));
	else
		status = read_answer(fd, fn, arg, done);
	if (fd >= 0)
		close(fd);
	free(text);
	return status;
}

json_t *
ctl_request(const struct ctl *ctl, const char *name)
{
	static const struct {
		unsigned bit;
		const char *name;
	} flags[] = {{CTL_ALL, "all"}, {CTL_FROZEN, "frozen"},
	    {CTL_BUSY, "busy"}, {CTL_FOLLOW, "follow"},
	    {CTL_DRY_RUN, "dry_run"}};
	const struct {
		const char *name, *value;
	} texts[] = {{"sender", ctl->sender}, {"older", ctl->older},
	    {"recipient", ctl->recipient}, {"message_id", ctl->message_id},
	    {"mta_id", ctl->mta_id}, {"subject", ctl->subject},
	    {"client", ctl->client}, {"reason", ctl->reason},
	    {"for", ctl->span}, {"right", ctl->right},
	    {"expires", ctl->expires}, {"domain", ctl->domain},
	    {"newer", ctl->newer}, {"relay", ctl->relay}};
	json_t *request = json_pack("{s:s}", "command", name);

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (ctl->given & flags[i].bit)
			json_object_set_new(
			    request, flags[i].name, json_true());
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].value != NULL)
			json_object_set_new(request, texts[i].name,
			    json_string(texts[i].value));
	}
	return request;
}

/* ---- JSON out ---- */

static void
print_item(void *arg, const char *kind, const json_t *value)
{
	size_t *count = arg;

	(void)kind;
	fputs((*count)++ == 0 ? "[\n" : ",\n", stdout);
	json_dumpf(value, stdout, DUMP_FLAGS);
}

enum ctl_status
ctl_ask_json_list(struct ctl *ctl, json_t *request)
{
	size_t count = 0;
	enum ctl_status status =
	    ctl_ask(ctl, request, print_item, &count, NULL);

	if (count > 0)
		fputs("\n]\n", stdout);
	else if (status == CTL_OK)
		fputs("[]\n", stdout);
	return status;
}

static void
print_one(void *arg, const char *kind, const json_t *value)
{
	(void)arg;
	(void)kind;
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	fputs("\n", stdout);
}

enum ctl_status
ctl_ask_json_one(struct ctl *ctl, json_t *request)
{
	return ctl_ask(ctl, request, print_one, NULL, NULL);
}

const char *
ctl_text(const json_t *row, const char *name)
{
	const char *s = json_string_value(json_object_get(row, name));

	return s != NULL ? s : "";
}

int64_t
ctl_number(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

bool
ctl_flag(const json_t *row, const char *name)
{
	return json_is_true(json_object_get(row, name));
}
