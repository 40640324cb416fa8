/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The mark of delay notices: it moves with the notice or not at all, and
 * outlives a restart.
 */
#include "spool_kit.h"

#include <errno.h>
#include <string.h>

struct answer {
	bool done;
	int error;
};

static void
on_done(void *arg, int error)
{
	struct answer *a = arg;

	a->done = true;
	a->error = error;
}

static int
mark(struct kit *k, uint64_t id, const struct spool_message *m, struct str text)
{
	struct answer a = {.done = false};

	spool_set_notice_mark(k->spool, id, m, text, on_done, &a);
	assert_true(kit_wait(k->spool, &a.done));
	return a.error;
}

static struct spool_message
make_notice(struct kit *k, const struct spool_rcpt *to)
{
	return (struct spool_message){
	    .id = spool_new_id(k->spool, KIT_WALL),
	    .source = "<>",
	    .policy = "bounce",
	    .from = "",
	    .client = "",
	    .helo = "",
	    .queued_at = KIT_WALL,
	    .rcpts = to,
	    .rcpt_count = 1,
	};
}

static void
test_mark_and_notice(void **state)
{
	static const struct spool_rcpt to = {.address = "a@example.org",
	    .state = SPOOL_RELEASED,
	    .next_try = KIT_WALL};
	struct spool_message m;
	struct kit_claim c;
	struct kit k;
	uint64_t id;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	assert_int_equal(spool_notice_mark(k.spool), 0);
	id = spool_new_id(k.spool, KIT_WALL);
	assert_int_equal(spool_id_wall(id), KIT_WALL);
	m = make_notice(&k, &to);
	assert_int_equal(mark(&k, id, &m, STR("Subject: x\r\n\r\n")), 0);
	assert_int_equal(spool_notice_mark(k.spool), id);
	kit_close(&k);
	kit_open(&k);
	assert_int_equal(spool_notice_mark(k.spool), id);
	kit_claim(&k, 10, KIT_WALL, &c);
	assert_int_equal(c.n, 1);
	assert_string_equal(c.jobs[0]->m.rcpts[0].address, "a@example.org");
	assert_true(str_eq(c.jobs[0]->body, STR("Subject: x\r\n\r\n")));
	kit_claim_clear(&c);
	kit_clear(&k);
}

static void
test_no_mark_without_its_notice(void **state)
{
	static const struct spool_rcpt to = {
	    .address = "a@example.org", .state = SPOOL_SENDING};
	struct spool_message m;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	m = make_notice(&k, &to);
	assert_int_equal(mark(&k, m.id, &m, STR("x")), EINVAL);
	assert_int_equal(spool_notice_mark(k.spool), 0);
	assert_int_equal(mark(&k, m.id, NULL, (struct str){NULL, 0}), 0);
	assert_int_equal(spool_notice_mark(k.spool), m.id);
	kit_clear(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mark_and_notice),
	    cmocka_unit_test(test_no_mark_without_its_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
