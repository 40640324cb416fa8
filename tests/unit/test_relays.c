/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Relays of a site and their letters: against a server, against one that the
 * test plays, and tokens by a clock of the test's own.
 */
#include "config.h"

#include "redis_rig.h"

#include "net/conn.h"
#include "net/listener.h"
#include "share/relays.h"
#include "share/tokens.h"

#include <string.h>

/* ---- tokens ---- */

static void
test_tokens(void **state)
{
	struct tokens *t = xcalloc(1, sizeof(*t));
	int64_t now = 1000;

	(void)state;
	tokens_turn(t, 7, now);
	assert_int_equal(tokens_take(t, 8, 1, now), now);
	assert_int_equal(tokens_take(t, 0, 1, now), now);
	assert_int_equal(tokens_take(t, 7, 1, now), now + TOKENS_LAST_MS);
	assert_int_equal(tokens_take(t, 7, 1, now), now);
	tokens_turn(t, 8, now + TOKENS_TURN_MS - 1);
	assert_int_equal(t->v[0].value, 7);
	now += TOKENS_TURN_MS;
	tokens_turn(t, 8, now);
	assert_int_equal(t->v[0].value, 8);
	/* The one before is good for its second half. */
	assert_true(tokens_take(t, 7, 2, now) > now);
	assert_int_equal(tokens_take(t, 7, 1, now), now);
	/* The server was away, and none was turned. */
	assert_true(
	    tokens_take(t, 7, 3, now + TOKENS_TURN_MS) <= now + TOKENS_TURN_MS);
	assert_true(
	    tokens_take(t, 8, 3, now + TOKENS_LAST_MS) <= now + TOKENS_LAST_MS);
	tokens_turn(t, 9, now + TOKENS_LAST_MS);
	assert_true(
	    tokens_take(t, 8, 4, now + TOKENS_LAST_MS) <= now + TOKENS_LAST_MS);
	free(t);
}

static void
test_a_token_has_room_for_a_long_listing(void **state)
{
	struct tokens *t = xcalloc(1, sizeof(*t));

	(void)state;
	tokens_turn(t, 7, 0);
	for (uint64_t i = 0; i < TOKENS_READ_MAX; i++)
		assert_true(tokens_take(t, 7, i + 1, 1) > 1);
	assert_int_equal(tokens_take(t, 7, TOKENS_READ_MAX + 1, 1), 1);
	free(t);
}

/* ---- two relays and a server ---- */

#define ANSWERS 3

struct site {
	struct redis_rig rig;
	struct relays *a, *b;
	uint64_t questions[ANSWERS];
	size_t asked, answered, lost, unanswered;
	struct buf text, answer;
	int64_t mail; /* questions of mail's own */
};

static void
on_question(void *arg, const char *from, uint64_t question, struct str text)
{
	struct site *s = arg;

	assert_string_equal(from, "a.test");
	assert_true(str_eq(text, STR("what?")));
	s->questions[s->asked++] = question;
}

static void
on_unanswered(void *arg, const char *to, const char *why)
{
	struct site *s = arg;

	assert_string_equal(to, "a.test");
	assert_string_equal(why, "its queue on the server is full");
	s->unanswered++;
}

static void
on_twin(void *arg, bool is_there)
{
	(void)arg;
	(void)is_there;
}

static const struct relays_ops ops = {.on_question = on_question,
    .on_unanswered = on_unanswered,
    .on_twin = on_twin};

static void
on_answer(void *arg, struct str text, int64_t now)
{
	struct site *s = arg;

	(void)now;
	s->answered++;
	s->lost += text.p == NULL;
	buf_reset(&s->answer);
	if (text.p != NULL)
		assert_true(buf_append_str(&s->answer, text));
}

static bool
knows(struct relays *r, const char *name)
{
	struct relays_peer p;

	for (size_t i = 0; relays_peer(r, i, &p); i++) {
		if (strcmp(p.name, name) == 0 && p.is_up)
			return true;
	}
	return false;
}

static bool
know_each_other(void *arg)
{
	struct site *s = arg;

	return knows(s->a, "b.test") && knows(s->b, "a.test");
}

static bool
is_asked(void *arg)
{
	return ((struct site *)arg)->asked == ANSWERS;
}

static bool
is_answered(void *arg)
{
	return ((struct site *)arg)->answered == ANSWERS;
}

static int
set_up(void **state)
{
	struct site *s = xcalloc(1, sizeof(*s));

	redis_rig_open(&s->rig);
	buf_init(&s->answer, RELAYS_TEXT_MAX);
	buf_init(&s->text, RELAYS_TEXT_MAX);
	s->a = relays_new(
	    s->rig.loop, s->rig.link, s->rig.seal, "weir", "a.test", &ops, s);
	s->b = relays_new(
	    s->rig.loop, s->rig.link, s->rig.seal, "weir", "b.test", &ops, s);
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	struct site *s = *state;

	redis_rig_stop(&s->rig);
	relays_free(s->a);
	relays_free(s->b);
	redis_rig_close(&s->rig);
	buf_clear(&s->answer);
	buf_clear(&s->text);
	free(s);
	return 0;
}

static void
on_mail(void *arg, const struct resp_value *reply, int64_t now)
{
	struct site *s = arg;

	(void)now;
	assert_non_null(reply);
	s->mail++;
}

/* As large as they may be, and several at once: mail's own questions go by the
 * same link meanwhile. */
static void
test_large_answers(void **state)
{
	static struct redis_script mail = {.text = "return 1"};
	struct str key = STR("{weir:1}:k");
	struct site *s = *state;

	while (s->text.len < RELAYS_TEXT_MAX)
		assert_true(buf_append(&s->text, "0123456789abcdef", 16));
	relays_start(s->a);
	relays_start(s->b);
	assert_true(pump_until(s->rig.loop, know_each_other, s));
	for (int i = 0; i < ANSWERS; i++)
		assert_non_null(
		    relays_ask(s->a, "b.test", STR("what?"), on_answer, s));
	assert_true(pump_until(s->rig.loop, is_asked, s));
	for (int i = 0; i < ANSWERS; i++) {
		struct str text = buf_str(&s->text);

		/* What the box has room for. */
		if (i > 0)
			text.n /= 2;
		assert_true(
		    relays_answer(s->b, "a.test", s->questions[i], text));
		assert_true(redis_link_run(
		    s->rig.link, &mail, &key, 1, NULL, 0, on_mail, s));
	}
	assert_true(pump_until(s->rig.loop, is_answered, s));
	assert_int_equal(s->lost, 0);
	assert_int_equal(s->mail, ANSWERS);
	assert_true(str_eq(buf_str(&s->answer),
	    str_sub(buf_str(&s->text), 0, s->text.len / 2)));
	/* One byte more. */
	buf_clear(&s->text);
	buf_init(&s->text, RELAYS_TEXT_MAX + 1);
	while (s->text.len <= RELAYS_TEXT_MAX)
		assert_true(buf_append(&s->text, "x", 1));
	assert_false(
	    relays_answer(s->b, "a.test", s->questions[0], buf_str(&s->text)));
}

static bool
is_set(void *arg)
{
	return ((struct site *)arg)->mail > 0;
}

/* Of more than there may be, the oldest are forgotten. */
static void
test_too_many_relays(void **state)
{
	static struct redis_script fill = {
	    .text = "local t = redis.call('TIME')[1] * 1000\n"
		    "for i = 1, 100 do\n"
		    "  redis.call('ZADD', KEYS[2], t - 9000 - i, 'x' .. i)\n"
		    "  redis.call('HSET', KEYS[1], 'x' .. i,\n"
		    "    string.format('%.0f run sealed', t - 9000 - i))\n"
		    "end return 1\n"};
	struct str keys[2] = {
	    STR("{weir:1}:relays"), STR("{weir:1}:relays-seen")};
	struct site *s = *state;

	assert_true(
	    redis_link_run(s->rig.link, &fill, keys, 2, NULL, 0, on_mail, s));
	assert_true(pump_until(s->rig.loop, is_set, s));
	relays_start(s->a);
	relays_start(s->b);
	assert_true(pump_until(s->rig.loop, know_each_other, s));
}

static bool
is_lost(void *arg)
{
	return ((struct site *)arg)->unanswered > 0;
}

static bool
is_one_asked(void *arg)
{
	return ((struct site *)arg)->asked > 0;
}

static bool
is_one_answered(void *arg)
{
	return ((struct site *)arg)->answered > 0;
}

/* Both sides hear of it: who answered at once, who asked after a while. */
static void
test_a_full_box_is_said(void **state)
{
	static struct redis_script fill = {
	    .text = "for i = 1, 100000 do\n"
		    "  redis.call('RPUSH', KEYS[1], 'x')\n"
		    "end return 1\n"};
	struct site *s = *state;
	unsigned char id[SEAL_ID];
	char box[64 + 2 * SEAL_ID] = "{weir:1}:box:";
	struct str key;

	relays_start(s->a);
	relays_start(s->b);
	assert_true(pump_until(s->rig.loop, know_each_other, s));
	assert_non_null(relays_ask(s->a, "b.test", STR("what?"), on_answer, s));
	assert_true(pump_until(s->rig.loop, is_one_asked, s));
	seal_id(s->rig.seal, "relay", STR("a.test"), id);
	for (size_t i = 0; i < SEAL_ID; i++)
		snprintf(box + strlen(box), 3, "%02x", id[i]);
	key = str_from(box);
	assert_true(
	    redis_link_run(s->rig.link, &fill, &key, 1, NULL, 0, on_mail, s));
	assert_true(pump_until(s->rig.loop, is_set, s));
	assert_true(
	    relays_answer(s->b, "a.test", s->questions[0], STR("this")));
	assert_true(pump_until(s->rig.loop, is_lost, s));
	assert_true(pump_until(s->rig.loop, is_one_answered, s));
	assert_int_equal(s->lost, 1);
}

/* ---- a server that lies ---- */

struct liar {
	struct loop *loop;
	struct listener *listener;
	struct conn *conn;
	struct redis_link *link;
	struct seal *seal;
	struct relays *r;
	char path[64];
	int64_t silent_ms;
};

static void
answer_look(struct liar *l)
{
	struct buf plain, sealed, out;
	unsigned char id[SEAL_ID];

	buf_init(&plain, CARD_PLAIN_MAX);
	buf_init(&sealed, CARD_PLAIN_MAX + SEAL_EXTRA);
	buf_init(&out, 4096);
	seal_id(l->seal, "relay", STR("b.test"), id);
	assert_true(card_write(
	    &(struct card){.token = 1, .name = STR("b.test")}, &plain));
	assert_true(
	    seal_close(l->seal, STR("weir relay 1"), buf_str(&plain), &sealed));
	assert_true(buf_printf(
	    &out, "*6\r\n:1\r\n$0\r\n\r\n:0\r\n$%d\r\n", (int)SEAL_ID));
	assert_true(buf_append(&out, id, SEAL_ID));
	assert_true(buf_printf(&out, "\r\n:%lld\r\n$%zu\r\n",
	    (long long)l->silent_ms, sealed.len));
	assert_true(buf_append_str(&out, buf_str(&sealed)));
	assert_true(buf_append(&out, "\r\n", 2));
	(void)conn_write(l->conn, buf_str(&out).p, out.len);
	buf_clear(&plain);
	buf_clear(&sealed);
	buf_clear(&out);
}

static void
on_liar_read(void *arg, int64_t now)
{
	static const char master[] =
	    "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n$0\r\n\r\n";
	struct liar *l = arg;
	struct str in = conn_input(l->conn);
	bool is_look = memmem(in.p, in.n, "EVALSHA", 7) != NULL;
	bool is_greeting = memmem(in.p, in.n, "memory", 6) != NULL;

	(void)now;
	conn_consume(l->conn, in.n);
	if (is_greeting)
		(void)conn_write(l->conn, master, sizeof(master) - 1);
	if (is_look)
		answer_look(l);
}

static void
on_liar_drain(void *arg, int64_t now)
{
	(void)arg;
	(void)now;
}

static void
on_liar_end(void *arg, enum conn_end why, int error, int64_t now)
{
	struct liar *l = arg;

	(void)why;
	(void)error;
	(void)now;
	conn_free(l->conn);
	l->conn = NULL;
}

static const struct conn_ops liar_ops = {
    .on_read = on_liar_read,
    .on_drain = on_liar_drain,
    .on_end = on_liar_end,
};

static void
on_accept(void *arg, int fd, const struct net_addr *peer, int64_t now)
{
	struct liar *l = arg;

	(void)peer;
	(void)now;
	l->conn = conn_new(l->loop, fd, &liar_ops, l);
}

static void
on_trouble(void *arg, int error, int64_t now)
{
	(void)arg;
	(void)now;
	fail_msg("accept: %s", strerror(error));
}

static bool
liar_is_up(void *arg)
{
	return redis_link_is_up(((struct liar *)arg)->link);
}

static bool
liar_has_told(void *arg)
{
	struct relays_peer p;

	return relays_peer(((struct liar *)arg)->r, 0, &p);
}

static void
check_silence(int64_t silent_ms, bool is_up)
{
	static const struct redis_link_ops link_ops = {
	    .on_up = redis_rig_on_up, .on_down = redis_rig_on_down};
	struct redis_link_settings settings = {.deadline_ms = PUMP_LIMIT_MS};
	struct liar l = {.loop = loop_new(), .silent_ms = silent_ms};
	struct listener_options options = {
	    .backlog = 8, .unix_mode = 0600, .unix_gid = -1};
	struct relays_peer p;
	struct net_addr addr;
	char text[80], why[128];

	snprintf(
	    l.path, sizeof(l.path), "/tmp/weir-liar-%d.sock", (int)getpid());
	snprintf(text, sizeof(text), "unix:%s", l.path);
	assert_true(net_addr_parse(str_from(text), &addr, why, sizeof(why)));
	l.listener = listener_new(&addr, &options, why, sizeof(why));
	assert_non_null(l.listener);
	listener_start(l.listener, l.loop, on_accept, on_trouble, &l);
	assert_true(redis_url_parse(text, &settings.url, why, sizeof(why)));
	l.link = redis_link_new(l.loop, &settings, &link_ops, NULL);
	l.seal = seal_new(STR("a secret of this site alone"));
	l.r = relays_new(l.loop, l.link, l.seal, "weir", "a.test", &ops, NULL);
	assert_true(pump_until(l.loop, liar_is_up, &l));
	relays_start(l.r);
	assert_true(pump_until(l.loop, liar_has_told, &l));
	assert_true(relays_peer(l.r, 0, &p));
	assert_int_equal(p.is_up, is_up);
	assert_true(p.silent_ms >= 0);
	assert_true(p.silent_ms <= RELAYS_FORGET_MS + PUMP_LIMIT_MS);
	redis_link_free(l.link);
	relays_free(l.r);
	if (l.conn != NULL)
		conn_free(l.conn);
	listener_free(l.listener);
	seal_free(l.seal);
	loop_free(l.loop);
}

static void
test_a_silence_that_cannot_be(void **state)
{
	(void)state;
	check_silence(0, true);
	check_silence(INT64_MIN, true);
	check_silence(-1000000, true);
	check_silence(INT64_MAX, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tokens),
	    cmocka_unit_test(test_a_token_has_room_for_a_long_listing),
	    cmocka_unit_test(test_a_silence_that_cannot_be),
	    cmocka_unit_test_setup_teardown(
		test_large_answers, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_too_many_relays, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_a_full_box_is_said, set_up, tear_down),
	};

	if (!redis_rig_is_there())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
