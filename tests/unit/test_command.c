/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Real programs run by the loop: what goes in, what comes out, how they end,
 * and what becomes of one that does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/command.h"
#include "pump.h"

struct outcome {
	struct loop *loop;
	bool ended;
	int status, ends;
	bool timed_out;
	char said[COMMAND_SAID_MAX];
	struct buf output;
};

static int
setup(void **state)
{
	struct outcome *o = xcalloc(1, sizeof(*o));

	signal(SIGPIPE, SIG_IGN);
	o->loop = loop_new();
	buf_init(&o->output, 8 << 20);
	*state = o;
	return 0;
}

static int
teardown(void **state)
{
	struct outcome *o = *state;

	loop_free(o->loop);
	buf_clear(&o->output);
	free(o);
	return 0;
}

static void
on_output(void *arg, struct str piece)
{
	struct outcome *o = arg;

	assert_true(buf_append_str(&o->output, piece));
}

static void
on_end(void *arg, const struct command_end *end)
{
	struct outcome *o = arg;

	o->ended = true;
	o->ends++;
	o->status = end->status;
	o->timed_out = end->timed_out;
	str_copy(str_from(end->said), o->said, sizeof(o->said));
}

static void
run(struct outcome *o, const char *const *argv, struct str input,
    int64_t timeout_ms)
{
	o->ended = false;
	(void)command_start(o->loop, &(struct command_run){.argv = argv,
					 .input = input,
					 .timeout_ms = timeout_ms,
					 .on_output = on_output,
					 .on_end = on_end,
					 .arg = o});
	assert_false(o->ended);
	assert_true(pump_until(o->loop, pump_is_set, &o->ended));
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(text) ARGV("/bin/sh", "-c", text)

static void
test_input_and_output(void **state)
{
	struct outcome *o = *state;
	char *large = xcalloc(1, COMMAND_INPUT_MAX);

	run(o, ARGV("/bin/cat"), STR("one\ntwo\n"), 60000);
	assert_int_equal(o->status, 0);
	assert_true(str_eq(buf_str(&o->output), STR("one\ntwo\n")));
	buf_reset(&o->output);
	memset(large, 'x', COMMAND_INPUT_MAX);
	run(o, ARGV("/bin/cat"), (struct str){large, COMMAND_INPUT_MAX}, 60000);
	assert_int_equal(o->output.len, COMMAND_INPUT_MAX);
	free(large);
	/* More than a pipe holds. */
	buf_reset(&o->output);
	run(o, SHELL("yes 4jWDnr6BL8z1bdGS | head -c 3000000"), STR(""), 60000);
	assert_int_equal(o->output.len, 3000000);
}

static void
test_how_it_ended(void **state)
{
	struct outcome *o = *state;

	run(o, SHELL("echo no rights >&2; echo at all >&2; exit 77"), STR(""),
	    60000);
	assert_int_equal(o->status, 77);
	assert_string_equal(o->said, "no rights at all");
	run(o, SHELL("kill -9 $$"), STR(""), 60000);
	assert_int_equal(o->status, 128 + SIGKILL);
	run(o, ARGV("/nowhere/postsuper"), STR("x\n"), 60000);
	assert_int_equal(o->status, 127);
	assert_string_equal(
	    o->said, "/nowhere/postsuper: No such file or directory");
	run(o, ARGV("/etc"), STR("x\n"), 60000);
	assert_string_equal(o->said, "/etc: it is no file");
	run(o, ARGV("/etc/passwd"), STR("x\n"), 60000);
	assert_int_equal(o->status, 127);
	assert_string_equal(o->said, "/etc/passwd: it is not executable");
	/* What nobody reads is no failure. */
	run(o, ARGV("/bin/true"), STR("ids\n"), 60000);
	assert_int_equal(o->status, 0);
	assert_int_equal(o->ends, 6);
}

/* With all that it started. */
static void
test_one_that_does_not_end(void **state)
{
	struct outcome *o = *state;
	uint64_t pid;

	run(o, SHELL("sleep 600 & echo $!; wait"), STR(""), 300);
	assert_true(o->timed_out);
	assert_int_equal(o->status, 128 + SIGKILL);
	assert_true(str_to_u64(
	    str_sub(buf_str(&o->output), 0, o->output.len - 1), &pid));
	for (int i = 0; i < 1000 && kill((pid_t)pid, 0) == 0; i++)
		pump_turns(o->loop, 5);
	assert_true(kill((pid_t)pid, 0) != 0);
}

static void
test_a_grandchild_keeps_nobody(void **state)
{
	struct outcome *o = *state;

	run(o, SHELL("sleep 5 & echo done"), STR(""), 60000);
	assert_int_equal(o->status, 0);
	assert_true(str_eq(buf_str(&o->output), STR("done\n")));
}

/* No secret of ours, no descriptor of ours, no signal that we ignore. */
static void
test_what_it_gets(void **state)
{
	struct outcome *o = *state;
	int leak = open("/dev/null", O_RDONLY);
	char *text;

	assert_true(leak > 2);
	setenv("WEIR_SECRET", "x", 1);
	run(o,
	    SHELL("env | sort | grep -v -e ^PWD -e ^_ -e ^SHLVL -e ^OLDPWD; "
		  "for f in 3 4 5 6 7 8 9; do [ ! -e /proc/self/fd/$f ] || "
		  "echo fd $f; done; kill -PIPE $$; echo SIGPIPE is ignored"),
	    STR(""), 60000);
	text = buf_take(&o->output);
	assert_string_equal(
	    text, "LC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n");
	assert_int_equal(o->status, 128 + SIGPIPE);
	free(text);
	close(leak);
}

static void
test_freed_before_its_end(void **state)
{
	struct outcome *o = *state;
	struct command *c = command_start(
	    o->loop, &(struct command_run){.argv = SHELL("sleep 600"),
			 .timeout_ms = 60000,
			 .on_end = on_end,
			 .arg = o});

	pump_turns(o->loop, 5);
	command_free(c);
	pump_turns(o->loop, 5);
	assert_int_equal(o->ends, 0);
}

/* ---- behind a socket ---- */

static _Noreturn void
serve(int listener, const char *answer)
{
	char text[64] = "";
	size_t n = 0;
	ssize_t got;
	int fd = accept(listener, NULL, NULL);

	while ((got = read(fd, text + n, sizeof(text) - n)) > 0)
		n += (size_t)got;
	if (n == 4 && memcmp(text, "ids\n", 4) == 0)
		(void)!write(fd, answer, strlen(answer));
	_exit(0);
}

static void
ask_socket(struct outcome *o, const char *answer)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/weir-command-%d",
	    (int)getpid());
	unlink(sa.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(listener, 1), 0);
	if (fork() == 0)
		serve(listener, answer);
	o->ended = false;
	(void)command_start(
	    o->loop, &(struct command_run){.socket = sa.sun_path,
			 .input = STR("ids\n"),
			 .timeout_ms = 60000,
			 .on_end = on_end,
			 .arg = o});
	assert_true(pump_until(o->loop, pump_is_set, &o->ended));
	close(listener);
	unlink(sa.sun_path);
}

static void
test_behind_a_socket(void **state)
{
	struct outcome *o = *state;

	ask_socket(o, "released: 1\nstatus 0\n");
	assert_int_equal(o->status, 0);
	ask_socket(o, "no rights\nstatus 77\n");
	assert_int_equal(o->status, 77);
	assert_string_equal(o->said, "no rights status 77");
	/* It may have died in the middle: nobody knows. */
	ask_socket(o, "released: 1\n");
	assert_int_equal(o->status, 127);
	ask_socket(o, "status 0 \nmore");
	assert_int_equal(o->status, 127);
	o->ended = false;
	(void)command_start(
	    o->loop, &(struct command_run){.socket = "/nowhere/sock",
			 .timeout_ms = 60000,
			 .on_end = on_end,
			 .arg = o});
	assert_true(pump_until(o->loop, pump_is_set, &o->ended));
	assert_int_equal(o->status, 127);
	assert_string_equal(
	    o->said, "/nowhere/sock: No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_input_and_output, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_how_it_ended, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_one_that_does_not_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_a_grandchild_keeps_nobody, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_what_it_gets, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_freed_before_its_end, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_behind_a_socket, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
