/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared server's protocol without a server: answers and their bounds,
 * addresses, what is sealed, and records of freezes.
 */
#include "share/freeze_record.h"
#include "share/freezes.h"
#include "share/redis_slots.h"
#include "share/redis_url.h"
#include "share/resp.h"
#include "share/seal.h"
#include "share/spends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct resp_value *
one(struct resp *r, const char *text)
{
	struct resp_value *v;

	assert_true(resp_feed(r, text, strlen(text)));
	v = resp_next(r);
	return v;
}

static void
test_answers_of_every_kind(void **state)
{
	struct resp *r = resp_new();
	struct resp_value *v;

	(void)state;
	assert_null(one(r, "*4\r\n$3\r\na"));
	v = one(r, "\nb\r\n:-7\r\n$-1\r\n*1\r\n+OK\r\n-ERR no\r\n");
	assert_non_null(v);
	assert_int_equal(v->count, 4);
	assert_true(str_eq(resp_text(resp_at(v, 0)), STR("a\nb")));
	assert_int_equal(resp_at(v, 1)->integer, -7);
	assert_int_equal(resp_at(v, 2)->type, RESP_NIL);
	assert_true(str_eq(resp_text(resp_at(resp_at(v, 3), 0)), STR("OK")));
	assert_int_equal(resp_at(v, 4)->type, RESP_NIL);
	resp_value_free(v);
	v = resp_next(r);
	assert_true(resp_is_error(v, "ERR"));
	assert_int_equal(resp_text(v).n, 0);
	resp_value_free(v);
	resp_free(r);
}

static void
test_what_is_no_answer(void **state)
{
	static const char *const bad[] = {"220 smtp.example.org ESMTP\r\n",
	    "*100000000\r\n", "*4096\r\n*4096\r\n*4096\r\n",
	    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
	    "$-7\r\n", ":x\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct resp *r = resp_new();

		assert_null(one(r, bad[i]));
		assert_true(resp_is_broken(r));
		assert_false(resp_feed(r, "+OK\r\n", 5));
		assert_null(resp_next(r));
		resp_free(r);
	}
}

static void
test_an_answer_without_end(void **state)
{
	struct resp *r = resp_new();
	char *text = xcalloc(1, 65536);

	(void)state;
	memset(text, 'x', 65536);
	assert_null(one(r, "$2000000\r\n"));
	for (size_t n = 0; n <= RESP_REPLY_MAX && !resp_is_broken(r);
	     n += 65536) {
		assert_true(resp_feed(r, text, 65536));
		assert_null(resp_next(r));
	}
	assert_true(resp_is_broken(r));
	free(text);
	resp_free(r);
}

static void
test_commands(void **state)
{
	struct str words[] = {STR("GET"), {"a\0b", 3}, STR("")};
	static const char want[] =
	    "*3\r\n$3\r\nGET\r\n$3\r\na\0b\r\n$0\r\n\r\n";
	struct buf out;
	char *large = xcalloc(1, RESP_COMMAND_MAX);

	(void)state;
	buf_init(&out, 2 * RESP_COMMAND_MAX);
	assert_true(resp_command(&out, words, 3));
	assert_true(
	    str_eq(buf_str(&out), (struct str){want, sizeof(want) - 1}));
	words[1] = (struct str){large, RESP_COMMAND_MAX};
	assert_false(resp_command(&out, words, 3));
	buf_clear(&out);
	free(large);
}

static void
test_addresses(void **state)
{
	struct redis_url u;
	char why[200];

	(void)state;
	assert_true(redis_url_parse("redis://127.0.0.1", &u, why, 200));
	assert_int_equal(u.server.port, 6379);
	assert_true(u.server.has_addr && !u.is_tls && u.db == 0);
	assert_true(redis_url_parse("redis://[::1]:7000/12", &u, why, 200));
	assert_true(u.server.has_addr && u.server.port == 7000 && u.db == 12);
	assert_true(redis_url_parse("redis://[::1]", &u, why, 200));
	assert_int_equal(u.server.port, 6379);
	assert_true(
	    redis_url_parse("rediss://cache.example.org:1/", &u, why, 200));
	assert_true(u.is_tls && !u.server.has_addr && u.db == 0);
	assert_string_equal(u.server.host, "cache.example.org");
	assert_true(redis_url_parse("unix:/run/redis.sock", &u, why, 200));
	assert_true(u.server.has_addr);
	assert_true(redis_url_parse(
	    "redis+sentinel://10.0.0.1,s2.example.org:7000/mymaster/3", &u, why,
	    200));
	assert_int_equal(u.host_count, 2);
	assert_true(u.hosts[0].has_addr);
	assert_int_equal(u.hosts[0].port, 26379);
	assert_string_equal(u.hosts[1].host, "s2.example.org");
	assert_int_equal(u.hosts[1].port, 7000);
	assert_string_equal(u.master, "mymaster");
	assert_int_equal(u.db, 3);
	assert_true(redis_url_parse("rediss+sentinel://a/m", &u, why, 200));
	assert_true(u.is_tls);
	assert_false(redis_url_parse("redis+sentinel://a:1", &u, why, 200));
	assert_false(redis_url_parse("redis+sentinel://a:1/", &u, why, 200));
	assert_false(redis_url_parse("redis+sentinel:///m", &u, why, 200));
	assert_false(redis_url_parse("redis+sentinel://a,,b/m", &u, why, 200));
	assert_false(redis_url_parse(
	    "redis+sentinel://a,b,c,d,e,f,g,h,i/m", &u, why, 200));
	assert_true(
	    redis_url_parse("redis+cluster://a,[::1]:7000/", &u, why, 200));
	assert_true(u.kind == REDIS_CLUSTER && !u.is_tls);
	assert_int_equal(u.host_count, 2);
	assert_int_equal(u.hosts[0].port, 6379);
	assert_int_equal(u.hosts[1].port, 7000);
	assert_true(redis_url_parse("rediss+cluster://a/0", &u, why, 200));
	assert_true(u.is_tls);
	assert_false(redis_url_parse("redis+cluster://a/1", &u, why, 200));
	assert_non_null(strstr(why, "database"));
	assert_false(redis_url_parse("redis+cluster://", &u, why, 200));
	assert_false(redis_url_parse("127.0.0.1:6379", &u, why, 200));
	assert_false(redis_url_parse("redis://:secret@host", &u, why, 200));
	assert_non_null(strstr(why, "shared_password_file"));
	assert_false(redis_url_parse("redis://", &u, why, 200));
	assert_false(redis_url_parse("redis://host:0x1", &u, why, 200));
	assert_false(redis_url_parse("redis://host/65536", &u, why, 200));
	assert_false(redis_url_parse("redis://host/zero", &u, why, 200));
	assert_false(redis_url_parse("unix:", &u, why, 200));
}

static void
test_what_is_sealed(void **state)
{
	struct seal *a = seal_new(STR("a secret of this site"));
	struct seal *b = seal_new(STR("another secret, not it"));
	struct str about = STR("id");
	unsigned char one[SEAL_ID], two[SEAL_ID];
	struct buf sealed, plain;

	(void)state;
	buf_init(&sealed, 256);
	buf_init(&plain, 256);
	assert_true(seal_close(a, about, STR("alice"), &sealed));
	assert_int_equal(sealed.len, 5 + SEAL_EXTRA);
	assert_true(seal_open(a, about, buf_str(&sealed), &plain));
	assert_true(str_eq(buf_str(&plain), STR("alice")));
	assert_false(seal_open(b, about, buf_str(&sealed), &plain));
	assert_false(seal_open(a, STR("di"), buf_str(&sealed), &plain));
	assert_int_equal(plain.len, 0);
	sealed.mem[sealed.off + 14] ^= 1;
	assert_false(seal_open(a, about, buf_str(&sealed), &plain));
	for (size_t n = 0; n < SEAL_EXTRA; n++)
		assert_false(seal_open(
		    a, about, str_sub(buf_str(&sealed), 0, n), &plain));
	seal_id(a, "freeze", STR("alice"), one);
	seal_id(b, "freeze", STR("alice"), two);
	assert_memory_not_equal(one, two, SEAL_ID);
	seal_id(a, "other", STR("alice"), two);
	assert_memory_not_equal(one, two, SEAL_ID);
	seal_id(a, "freeze", STR("alice"), two);
	assert_memory_equal(one, two, SEAL_ID);
	buf_clear(&sealed);
	buf_clear(&plain);
	seal_free(a);
	seal_free(b);
}

static void
test_records(void **state)
{
	struct freeze_record r = {.is_frozen = true,
	    .then = FREEZES_DISCARD,
	    .thaw_at = 77,
	    .id = UINT64_MAX,
	    .sender = STR("alice"),
	    .relay = STR("mx1"),
	    .who = STR(""),
	    .why = STR("100 of 100 recipients waiting")};
	struct freeze_record back;
	char *large = xcalloc(1, FREEZES_SENDER_MAX + 2);
	struct buf out;

	(void)state;
	buf_init(&out, FREEZE_RECORD_MAX);
	assert_true(freeze_record_write(&r, &out));
	assert_true(freeze_record_read(buf_str(&out), &back));
	assert_true(back.is_frozen && back.then == FREEZES_DISCARD &&
		    back.thaw_at == 77 && back.id == UINT64_MAX);
	assert_true(str_eq(back.why, r.why) && str_eq(back.sender, r.sender));
	for (size_t n = 0; n < out.len; n++)
		assert_false(
		    freeze_record_read(str_sub(buf_str(&out), 0, n), &back));
	out.mem[out.off] = 2; /* another version */
	assert_false(freeze_record_read(buf_str(&out), &back));
	buf_reset(&out);
	memset(large, 'x', FREEZES_SENDER_MAX + 1);
	r.why = str_from(large);
	assert_true(freeze_record_write(&r, &out));
	assert_true(freeze_record_read(buf_str(&out), &back));
	assert_int_equal(back.why.n, FREEZES_TEXT_MAX);
	r.sender = str_from(large);
	assert_false(freeze_record_write(&r, &out));
	r.sender = STR("");
	assert_false(freeze_record_write(&r, &out));
	buf_clear(&out);
	free(large);
}

static void
test_what_was_spent(void **state)
{
	struct spend v = {7, 3, SPENDS_COUNT_MAX, STR("alice")}, back;
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_true(spend_write(&v, &out));
	assert_true(spend_read(buf_str(&out), &back));
	assert_true(back.relay == 7 && back.recipients == 3 &&
		    back.messages == SPENDS_COUNT_MAX &&
		    str_eq(back.sender, v.sender));
	for (size_t n = 0; n <= out.len - v.sender.n; n++)
		assert_false(spend_read(str_sub(buf_str(&out), 0, n), &back));
	buf_reset(&out);
	v.recipients = SPENDS_COUNT_MAX + 1;
	assert_true(spend_write(&v, &out));
	assert_false(spend_read(buf_str(&out), &back));
	v.sender = STR("");
	assert_false(spend_write(&v, &out));
	buf_clear(&out);
}

static struct str
moved(const char *text, struct redis_redirect *out)
{
	static const struct redis_host from = {.host = "10.0.0.9"};

	if (!redis_redirect_read(str_from(text), &from, out))
		return STR("");
	return str_from(out->host.host);
}

static void
test_slots(void **state)
{
	struct redis_redirect r;

	(void)state;
	/* As CLUSTER KEYSLOT says. */
	assert_int_equal(redis_slot_of(STR("123456789")), 0x31c3);
	assert_int_equal(redis_slot_of(STR("foo")), 12182);
	assert_int_equal(redis_slot_of(STR("x{foo}y{bar}")), 12182);
	assert_int_equal(
	    redis_slot_of(STR("{foo")), redis_slot_of(STR("{foo")));
	assert_int_not_equal(redis_slot_of(STR("{}foo")), 12182);
	assert_int_equal(
	    redis_slot_of(STR("{{foo}}")), redis_slot_of(STR("{foo")));
	assert_true(
	    str_eq(moved("MOVED 3999 127.0.0.1:6381", &r), STR("127.0.0.1")));
	assert_false(r.is_ask);
	assert_int_equal(r.slot, 3999);
	assert_int_equal(r.host.port, 6381);
	assert_true(r.host.has_addr);
	assert_true(str_eq(moved("ASK 16383 ::1:6381", &r), STR("::1")));
	assert_true(r.is_ask && r.host.has_addr);
	assert_true(str_eq(moved("ASK 0 :6381", &r), STR("10.0.0.9")));
	assert_true(str_eq(moved("MOVED 1 a.b-c:1", &r), STR("a.b-c")));
	assert_int_equal(moved("MOVED 16384 h:1", &r).n, 0);
	assert_int_equal(moved("MOVED -1 h:1", &r).n, 0);
	assert_int_equal(moved("MOVED 1 ?:1", &r).n, 0);
	assert_int_equal(moved("MOVED 1 h:0", &r).n, 0);
	assert_int_equal(moved("MOVED 1 h:65536", &r).n, 0);
	assert_int_equal(moved("MOVED 1 h", &r).n, 0);
	assert_int_equal(moved("MOVED 1 h\x1b:1", &r).n, 0);
	assert_int_equal(moved("MOVED", &r).n, 0);
	assert_int_equal(moved("MOVES 1 h:1", &r).n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_answers_of_every_kind),
	    cmocka_unit_test(test_what_is_no_answer),
	    cmocka_unit_test(test_an_answer_without_end),
	    cmocka_unit_test(test_commands),
	    cmocka_unit_test(test_slots),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_what_is_sealed),
	    cmocka_unit_test(test_records),
	    cmocka_unit_test(test_what_was_spent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
