/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Decisions over a real gate and spool: verdicts and places, what is written
 * before anybody is told, and what comes back of it after a restart, whatever
 * the file holds.
 */
#include "gate_rig.h"

#include "base/hash.h"
#include "maild/decide_private.h"
#include "net/loop.h"
#include "os/clock.h"
#include "os/file.h"
#include "pump.h"

#include <sys/stat.h>
#include <unistd.h>

#define POLICY                                                          \
	"policy \"default\" { interval = \"1h\" burst = 2 initial = 2 " \
	"freeze_at = 50 limit = {} familiar_for = \"0s\" }"

struct desk {
	struct rig r;
	const char *policy; /* that decisions name */
	struct loop *loop;
	struct loop_watch *watch;
	struct decider *d;
	/* of the last decision */
	bool is_done;
	char verdicts[64];
	char tickets[64][DECIDE_TICKET_MAX];
	struct decision *open;
	/* of the last decide_wait */
	bool is_reported, is_ok, is_dropped;
	struct decide_wait wait;
	/* of on_turn */
	char turns[256];
};

static void
on_spool(void *arg, int64_t now)
{
	struct desk *k = arg;

	(void)now;
	spool_dispatch(k->r.spool);
}

static void
on_turn(
    void *arg, const char *source, const char *ticket, const char *destination)
{
	struct desk *k = arg;
	size_t n = strlen(k->turns);

	assert_int_equal(strlen(ticket), 24);
	snprintf(
	    k->turns + n, sizeof(k->turns) - n, "%s>%s ", source, destination);
}

static void
begin(struct desk *k)
{
	k->watch = loop_watch_new(k->loop, spool_fd(k->r.spool), on_spool, k);
	k->d = decide_new(&(struct decide_settings){.loop = k->loop,
	    .gate = k->r.gate,
	    .events = k->r.events,
	    .dir = k->r.dir,
	    .on_turn = on_turn,
	    .arg = k});
}

static void
end(struct desk *k)
{
	decide_free(k->d);
	k->d = NULL;
	loop_watch_free(k->watch);
}

static void
desk_open(struct desk *k)
{
	memset(k, 0, sizeof(*k));
	k->policy = "";
	rig_open(&k->r, POLICY);
	k->loop = loop_new();
	k->r.now = loop_now(k->loop);
	k->r.wall = clock_wall_ms();
	begin(k);
}

static void
desk_close(struct desk *k)
{
	end(k);
	rig_close(&k->r);
	loop_free(k->loop);
}

static void
desk_restart(struct desk *k)
{
	end(k);
	rig_restart(&k->r);
	begin(k);
}

static void
on_done(struct decision *c)
{
	struct desk *k = CONTAINER_OF(c->x_slot, struct desk, open);

	for (size_t i = 0; i < c->n; i++) {
		k->verdicts[i] = "phr"[c->items[i].verdict];
		k->tickets[i][0] = '\0';
		if (c->items[i].has_ticket)
			decide_ticket(
			    c->key, c->items[i].destination, k->tickets[i]);
	}
	k->verdicts[c->n] = '\0';
	if (c->phase == DECIDE_OPEN)
		k->open = c;
	k->is_done = true;
}

/* Destinations are single letters. Returns "pph" and the like. */
static const char *
ask(struct desk *k, enum decide_kind kind, const char *source,
    const char *letters)
{
	const struct ip nobody = {.family = IP_NONE};
	struct decision *c = decision_new(
	    k->d, source, "im", k->policy, &nobody, strlen(letters));

	c->kind = kind;
	c->on_done = on_done;
	c->x_slot = (struct web_exchange **)&k->open;
	k->is_done = false;
	k->open = NULL;
	for (const char *p = letters; *p != '\0'; p++)
		assert_true(decision_add(c, (char[]){*p, '\0'}));
	decision_run(c, loop_now(k->loop));
	assert_true(pump_until(k->loop, pump_is_set, &k->is_done));
	return k->verdicts;
}

static void
on_reported(struct decide_wait *w, bool ok)
{
	struct desk *k = CONTAINER_OF(w, struct desk, wait);

	k->is_reported = true;
	k->is_ok = ok;
}

static void
on_dropped(struct decide_wait *w)
{
	CONTAINER_OF(w, struct desk, wait)->is_dropped = true;
}

/* Whether all is on the disk now. */
static bool
is_durable(struct desk *k)
{
	k->is_reported = k->is_dropped = false;
	k->wait = (struct decide_wait){.fn = on_reported, .drop = on_dropped};
	decide_file_wait(k->d, &k->wait);
	assert_true(pump_until(k->loop, pump_is_set, &k->is_reported));
	return k->is_ok;
}

static char *
path_of(struct desk *k, const char *end)
{
	return xasprintf("%s/" DECIDE_FILE "%s", k->r.dir, end);
}

static char *
read_file(struct desk *k)
{
	char *path = path_of(k, "");
	struct buf text;

	buf_init(&text, 1 << 24);
	assert_int_equal(file_read(path, 1 << 24, &text), 0);
	assert_true(buf_append(&text, "", 1));
	free(path);
	return buf_take(&text);
}

static void
write_file(struct desk *k, const char *text)
{
	char *path = path_of(k, "");
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	free(path);
}

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static uint32_t
ahead(struct desk *k, const char *ticket)
{
	struct waiting *w = decide_find_waiting(k->d, str_from(ticket));
	struct gate_wait wait;

	if (w == NULL)
		fail_msg("no ticket %s", ticket);
	assert_true(gate_expected(k->r.gate, str_from(w->sender),
	    w->destination, loop_now(k->loop), clock_wall_ms(), &wait));
	return wait.ahead;
}

static struct remembered *
keep(struct desk *k, const char *key, const char *answer, int64_t for_ms)
{
	struct remembered *r = decide_remember(k->d, key, 0xabc);

	assert_non_null(r);
	r->is_stored = true;
	assert_true(decide_remember_answer(
	    k->d, r, 200, str_from(answer), loop_now(k->loop) + for_ms));
	decide_file_answer(k->d, r);
	return r;
}

/* ---- verdicts ---- */

static void
test_verdicts(void **state)
{
	char first[DECIDE_TICKET_MAX];
	struct desk k;

	(void)state;
	desk_open(&k);
	/* A check takes nothing, however often. */
	for (int i = 0; i < 3; i++)
		assert_string_equal(ask(&k, DECIDE_CHECK, "eve", "abc"), "pph");
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "abcd"), "pphh");
	assert_string_equal(k.tickets[0], "");
	assert_int_equal(ahead(&k, k.tickets[2]), 0);
	assert_int_equal(ahead(&k, k.tickets[3]), 1);
	str_copy(str_from(k.tickets[2]), first, sizeof(first));
	/* Who waits has one place, and known ones pass. */
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "acc"), "phh");
	assert_string_equal(k.tickets[1], first);
	assert_string_equal(k.tickets[2], first);
	assert_int_equal(map_count(k.d->by_ticket), 2);
	assert_string_equal(ask(&k, DECIDE_NOW, "bob", "a"), "p");
	assert_int_equal(rig_freeze(&k.r, "im:eve"), 0);
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "ae"), "rr");
	assert_int_equal(map_count(k.d->by_ticket), 2);
	desk_close(&k);
}

static void
test_later(void **state)
{
	struct desk k;
	struct decision *c;

	(void)state;
	desk_open(&k);
	assert_string_equal(ask(&k, DECIDE_LATER, "eve", "abc"), "pph");
	c = k.open;
	assert_non_null(c);
	assert_ptr_equal(decide_find_open(k.d, str_from(c->id)), c);
	assert_int_equal(map_count(k.d->by_ticket), 0);
	/* Reserved. */
	assert_string_equal(ask(&k, DECIDE_CHECK, "eve", "x"), "h");
	decision_free(c, loop_now(k.loop));
	assert_int_equal(k.d->open_count, 0);
	assert_string_equal(ask(&k, DECIDE_CHECK, "eve", "x"), "p");
	assert_string_equal(ask(&k, DECIDE_LATER, "eve", "abc"), "pph");
	c = k.open;
	k.is_done = false;
	decision_commit(c, loop_now(k.loop));
	assert_true(pump_until(k.loop, pump_is_set, &k.is_done));
	assert_string_equal(k.verdicts, "pph");
	assert_int_equal(ahead(&k, k.tickets[2]), 0);
	/* One that is open at the end is given back. */
	assert_string_equal(ask(&k, DECIDE_LATER, "bob", "ab"), "pp");
	desk_restart(&k);
	assert_string_equal(ask(&k, DECIDE_CHECK, "bob", "xy"), "pp");
	assert_string_equal(ask(&k, DECIDE_CHECK, "eve", "x"), "h");
	desk_close(&k);
}

/* By name, after a restart as well. */
static void
test_policy(void **state)
{
	struct desk k;

	(void)state;
	desk_open(&k);
	assert_true(gate_has_policy(k.r.gate, STR("default")));
	assert_false(gate_has_policy(k.r.gate, STR("other")));
	rig_reload(&k.r,
	    POLICY " policy \"tight\" { match = {\"app:none\"} interval = "
		   "\"1h\" burst = 1 initial = 1 }",
	    false);
	k.policy = "tight";
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "ab"), "ph");
	k.policy = "";
	assert_string_equal(ask(&k, DECIDE_NOW, "bob", "ab"), "pp");
	desk_restart(&k);
	assert_int_equal(map_count(k.d->by_ticket), 1);
	assert_string_equal(
	    LIST_ITEM(k.d->waiting.next, struct waiting, entry)->policy,
	    "tight");
	k.policy = "tight";
	assert_string_equal(ask(&k, DECIDE_CHECK, "eve", "c"), "h");
	desk_close(&k);
}

static void
test_names(void **state)
{
	const struct ip nobody = {.family = IP_NONE};
	char longest[DECIDE_NAME_MAX + 2];
	struct decision *c;
	struct desk k;

	(void)state;
	desk_open(&k);
	c = decision_new(k.d, "eve", "im", "", &nobody, 8);
	memset(longest, '!', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_false(decision_add(c, ""));
	assert_false(decision_add(c, "a\nb"));
	assert_false(decision_add(c, longest));
	longest[DECIDE_NAME_MAX] = '\0';
	assert_true(decision_add(c, longest));
	assert_true(decision_add(c, "+49 30"));
	assert_true(decision_add(c, "=20"));
	assert_true(decision_add(c, "bob@example.org"));
	assert_string_equal(c->items[1].address, "+49=2030@im.invalid");
	assert_string_equal(c->items[2].address, "=3d20@im.invalid");
	assert_string_equal(c->items[3].address, "bob@example.org");
	decision_free(c, 0);
	desk_close(&k);
}

/* ---- the file ---- */

static void
test_places_survive(void **state)
{
	char tickets[3][DECIDE_TICKET_MAX];
	struct desk k;
	char *text;

	(void)state;
	desk_open(&k);
	assert_true(is_durable(&k)); /* nothing is to be written */
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "abcde"), "pphhh");
	for (int i = 0; i < 3; i++)
		str_copy(
		    str_from(k.tickets[i + 2]), tickets[i], sizeof(tickets[i]));
	assert_true(is_durable(&k));
	text = read_file(&k);
	assert_int_equal(count_lines(text), 3);
	free(text);
	desk_restart(&k);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(ahead(&k, tickets[i]), i);
	/* Its turn comes: told once, and forgotten. */
	decide_turn(k.d, "im:eve",
	    decide_find_waiting(k.d, str_from(tickets[0]))->destination);
	assert_string_equal(k.turns, "im:eve>c ");
	assert_null(decide_find_waiting(k.d, str_from(tickets[0])));
	assert_true(is_durable(&k));
	text = read_file(&k); /* the first after a start: all anew */
	assert_int_equal(count_lines(text), 2);
	free(text);
	decide_turn(k.d, "im:eve",
	    decide_find_waiting(k.d, str_from(tickets[2]))->destination);
	assert_true(is_durable(&k));
	text = read_file(&k);
	assert_int_equal(count_lines(text), 3);
	assert_non_null(strstr(text, "{\"gone\":"));
	free(text);
	end(&k);
	begin(&k);
	assert_null(decide_find_waiting(k.d, str_from(tickets[0])));
	assert_null(decide_find_waiting(k.d, str_from(tickets[2])));
	assert_non_null(decide_find_waiting(k.d, str_from(tickets[1])));
	desk_close(&k);
}

/* A directory in the place of the new file. */
static void
test_failing_disk(void **state)
{
	struct desk k;
	char *path, *text;

	(void)state;
	desk_open(&k);
	path = path_of(&k, ".new");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "abc"), "pph");
	assert_false(is_durable(&k));
	/* Once more for the next who asks, and then for nobody. */
	assert_false(is_durable(&k));
	assert_int_equal(rmdir(path), 0);
	assert_true(is_durable(&k));
	text = read_file(&k);
	assert_int_equal(count_lines(text), 1);
	free(text);
	/* Who waits at the end hears that there is no answer. */
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "d"), "h");
	k.is_reported = k.is_dropped = false;
	k.wait = (struct decide_wait){.fn = on_reported, .drop = on_dropped};
	decide_file_wait(k.d, &k.wait);
	end(&k);
	assert_true(k.is_dropped && !k.is_reported);
	text = read_file(&k);
	assert_int_equal(count_lines(text), 2);
	free(text);
	begin(&k);
	free(path);
	desk_close(&k);
}

#define WAIT(sender, hash)                                            \
	"{\"wait\":{\"sender\":\"" sender "\",\"source\":\"im:eve\"," \
	"\"application\":\"im\",\"destination\":\"c\",\"hash\":\"" hash "\"}}"

static void
test_hostile_file(void **state)
{
	static const char *const bad[] = {"", "nonsense", "[]", "{}", "null",
	    "{\"wait\":1}", "{\"wait\":{}}", "{\"gone\":\"nobody\"}",
	    "{\"gone\":7}", WAIT("im:eve", ""), WAIT("im:eve", "xyz"),
	    WAIT("im:eve", "11112222333344445"),
	    "{\"key\":\"a\",\"body\":\"1\",\"code\":200,\"until\":1,\"answer\":"
	    "\"{}\"}",
	    "{\"key\":\"a\",\"body\":\"1\",\"code\":200,\"until\":"
	    "9223372036854775807,\"answer\":\"{}\"}",
	    "{\"key\":\"a\",\"body\":\"1\",\"code\":-200,\"until\":1,"
	    "\"answer\":\"{}\"}",
	    "{\"key\":7}", "\xff\xfe", "{\"wait\":{\"sender\":\"a\"}"};
	struct desk k;

	(void)state;
	desk_open(&k);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text = xasprintf(
		    "%s\n" WAIT("im:eve", "abc") "\n%s\n", bad[i], bad[i]);

		end(&k);
		write_file(&k, text);
		begin(&k);
		free(text);
		if (map_count(k.d->by_ticket) > 1 || k.d->remembered_count > 0)
			fail_msg("%s was taken", bad[i]);
	}
	/* Cut off by a crash: it promised nothing. */
	end(&k);
	write_file(&k, WAIT("im:eve", "abc") "\n" WAIT("im:bob", "ab"));
	begin(&k);
	assert_int_equal(k.d->remembered_count, 0);
	assert_null(decide_find_waiting(k.d, STR("nobody")));
	/* And the next line does not hang on it. */
	assert_string_equal(ask(&k, DECIDE_NOW, "zoe", "abc"), "pph");
	assert_true(is_durable(&k));
	end(&k);
	begin(&k);
	assert_int_equal(ahead(&k, k.tickets[2]), 0);
	desk_close(&k);
}

/* A file that holds all kinds of lines, with bytes changed. */
static void
test_mutated_file(void **state)
{
	const char *given = getenv("WEIR_TEST_SEED");
	uint64_t seed =
	    given != NULL ? strtoull(given, NULL, 10) : hash_random_seed();
	struct desk k;
	char *good;

	(void)state;
	printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
	desk_open(&k);
	assert_string_equal(ask(&k, DECIDE_NOW, "eve", "abcde"), "pphhh");
	keep(&k, "t k1", "{\"a\":1}", 60000);
	assert_true(is_durable(&k));
	decide_drop_waiting(
	    k.d, decide_find_waiting(k.d, str_from(k.tickets[3])));
	assert_true(is_durable(&k));
	good = read_file(&k);
	for (int round = 0; round < 200; round++) {
		char *bad = xstrdup(good);
		size_t n = strlen(bad);

		for (int i = 0; i < 1 + round % 5; i++) {
			uint64_t at = hash_bytes(&seed, sizeof(seed), ++seed);

			bad[at % n] = "{}[]\":,0a\n\\\xff"[(at >> 32) % 12];
		}
		end(&k);
		write_file(&k, bad);
		free(bad);
		begin(&k);
		/* Three lines of the file, and those the gate names whose
		 * lines no longer say the same. */
		assert_true(map_count(k.d->by_ticket) <= 6);
		assert_true(k.d->remembered_count <= 1);
	}
	free(good);
	desk_close(&k);
}

/* The one that waits longest makes room. */
static void
test_most_places(void **state)
{
	char first[DECIDE_TICKET_MAX], second[DECIDE_TICKET_MAX];
	struct desk k;

	(void)state;
	desk_open(&k);
	for (uint64_t i = 0; i <= DECIDE_WAITING_MAX; i++)
		decide_add_waiting(k.d, "im:eve", i, "im:eve", "im", "", "x");
	assert_int_equal(map_count(k.d->by_ticket), DECIDE_WAITING_MAX);
	decide_ticket("im:eve", 0, first);
	decide_ticket("im:eve", 1, second);
	assert_null(decide_find_waiting(k.d, str_from(first)));
	assert_non_null(decide_find_waiting(k.d, str_from(second)));
	assert_true(is_durable(&k));
	desk_close(&k);
}

/* ---- answers that are kept ---- */

static void
test_answers(void **state)
{
	struct remembered *r;
	struct desk k;
	char *text;

	(void)state;
	desk_open(&k);
	keep(&k, "t k1", "{\"a\":\"\\u00e4 \\\"\"}", 60000);
	keep(&k, "t k2", "{}", 120000);
	assert_true(is_durable(&k));
	end(&k);
	begin(&k);
	r = decide_find_remembered(k.d, "t k1", loop_now(k.loop));
	assert_non_null(r);
	assert_int_equal(r->body, 0xabc);
	assert_int_equal(r->code, 200);
	assert_true(
	    str_eq(buf_str(&r->answer), STR("{\"a\":\"\\u00e4 \\\"\"}")));
	assert_true(r->until > loop_now(k.loop) + 50000);
	/* It ends. */
	assert_null(
	    decide_find_remembered(k.d, "t k1", loop_now(k.loop) + 61000));
	assert_int_equal(k.d->remembered_count, 1);
	assert_null(decide_find_remembered(k.d, "k2", loop_now(k.loop)));
	/* One that is not answered yet is not written. */
	r = decide_remember(k.d, "t k3", 1);
	assert_int_equal(r->code, 0);
	keep(&k, "t k4", "{}", 60000);
	assert_true(is_durable(&k));
	text = read_file(&k);
	assert_null(strstr(text, "k3"));
	assert_non_null(strstr(text, "k4"));
	free(text);
	desk_close(&k);
}

static void
test_most_answers(void **state)
{
	size_t size = DECIDE_ANSWERS_MAX / 4;
	char *large = xmalloc(DECIDE_ANSWER_MAX + 2), key[32];
	struct remembered *r;
	struct desk k;

	(void)state;
	desk_open(&k);
	memset(large, 'x', DECIDE_ANSWER_MAX + 1);
	large[DECIDE_ANSWER_MAX + 1] = '\0';
	r = decide_remember(k.d, "too large", 1);
	assert_false(
	    decide_remember_answer(k.d, r, 200, str_from(large), 1000));
	assert_int_equal(k.d->remembered_count, 0);
	large[size] = '\0';
	for (int i = 0; i < 6; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		keep(&k, key, large, 60000);
	}
	assert_int_equal(k.d->remembered_count, 4);
	assert_true(k.d->remembered_bytes <= DECIDE_ANSWERS_MAX);
	assert_null(decide_find_remembered(k.d, "k1", loop_now(k.loop)));
	assert_non_null(decide_find_remembered(k.d, "k2", loop_now(k.loop)));
	for (int i = 0; i < DECIDE_REMEMBERED_MAX + 5; i++) {
		snprintf(key, sizeof(key), "n%d", i);
		keep(&k, key, "{}", 60000);
	}
	assert_int_equal(k.d->remembered_count, DECIDE_REMEMBERED_MAX);
	/* Where all of them wait for their answer there is no room. */
	while (!list_is_empty(&k.d->remembered))
		decide_forget(k.d,
		    LIST_ITEM(k.d->remembered.next, struct remembered, entry));
	for (int i = 0; i < DECIDE_REMEMBERED_MAX; i++) {
		snprintf(key, sizeof(key), "w%d", i);
		assert_non_null(decide_remember(k.d, key, 1));
	}
	assert_null(decide_remember(k.d, "one more", 1));
	assert_int_equal(k.d->remembered_bytes, 0);
	free(large);
	desk_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_later),
	    cmocka_unit_test(test_policy),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_places_survive),
	    cmocka_unit_test(test_failing_disk),
	    cmocka_unit_test(test_hostile_file),
	    cmocka_unit_test(test_mutated_file),
	    cmocka_unit_test(test_most_places),
	    cmocka_unit_test(test_answers),
	    cmocka_unit_test(test_most_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
