noinst_LTLIBRARIES += libgate.la
libgate_la_SOURCES = \
	src/gate/gate.c src/gate/gate.h src/gate/gate_internal.h \
	src/gate/gate_admin.c \
	src/gate/gate_freeze.c \
	src/gate/gate_inbound.c \
	src/gate/gate_info.c \
	src/gate/gate_lesson.c \
	src/gate/gate_load.c \
	src/gate/gate_news.c \
	src/gate/gate_path.c src/gate/gate_path.h \
	src/gate/gate_recipient.c \
	src/gate/gate_release.c \
	src/gate/gate_secure.c \
	src/gate/gate_source.c \
	src/gate/gate_txn.c src/gate/gate_txn.h \
	src/gate/gate_words.c \
	src/gate/inbound.c src/gate/inbound.h src/gate/inbound_set.h \
	src/gate/inbound_state.c \
	src/gate/locals.c src/gate/locals.h \
	src/gate/login.c src/gate/login.h \
	src/gate/match.c src/gate/match.h \
	src/gate/owners.c src/gate/owners.h \
	src/gate/policy.c src/gate/policy.h \
	src/gate/policy_key.c \
	src/gate/policy_options.c
libgate_la_LIBADD = libthrottle.la libspool.la libos.la libbase.la

noinst_PROGRAMS += tests/bench/bench_inbound
tests_bench_bench_inbound_SOURCES = tests/bench/bench_inbound.c
tests_bench_bench_inbound_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_bench_inbound_LDADD = libgate.la
BENCHES += tests/bench/bench_inbound

if HAVE_CMOCKA
gate_rig = tests/unit/gate_rig.c tests/unit/gate_rig.h tests/unit/policy_rig.h \
	tests/unit/gate_rig_send.c
check_PROGRAMS += tests/unit/test_inbound tests/unit/test_gate_inbound \
	tests/unit/test_gate_lesson
tests_unit_test_inbound_SOURCES = tests/unit/test_inbound.c \
	tests/unit/throttle_random.h
tests_unit_test_inbound_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_inbound_SOURCES = tests/unit/test_gate_inbound.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_inbound_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_lesson_SOURCES = tests/unit/test_gate_lesson.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_lesson_LDADD = libgate.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_path
tests_unit_test_gate_path_SOURCES = tests/unit/test_gate_path.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_path_LDADD = libgate.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_login
tests_unit_test_login_SOURCES = tests/unit/test_login.c
tests_unit_test_login_LDADD = libsmtp.la libgate.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_policy tests/unit/test_policy_key \
	tests/unit/test_gate \
	tests/unit/test_gate_admin tests/unit/test_gate_observe \
	tests/unit/test_gate_policy tests/unit/test_gate_restart
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c \
	tests/unit/policy_rig.h
tests_unit_test_policy_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_policy_key_SOURCES = tests/unit/test_policy_key.c \
	tests/unit/policy_rig.h
tests_unit_test_policy_key_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c $(gate_rig)
tests_unit_test_gate_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_admin_SOURCES = tests/unit/test_gate_admin.c $(gate_rig)
tests_unit_test_gate_admin_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_observe_SOURCES = tests/unit/test_gate_observe.c $(gate_rig)
tests_unit_test_gate_observe_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_policy_SOURCES = tests/unit/test_gate_policy.c $(gate_rig)
tests_unit_test_gate_policy_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_restart_SOURCES = tests/unit/test_gate_restart.c $(gate_rig)
tests_unit_test_gate_restart_LDADD = libgate.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_full tests/unit/test_gate_secure
tests_unit_test_gate_full_SOURCES = tests/unit/test_gate_full.c $(gate_rig)
tests_unit_test_gate_full_LDADD = libgate.la $(CMOCKA_LIBS)
tests_unit_test_gate_secure_SOURCES = tests/unit/test_gate_secure.c \
	tests/unit/fault_vfs.c tests/unit/fault_vfs.h $(gate_rig)
tests_unit_test_gate_secure_LDADD = libgate.la $(CMOCKA_LIBS)
endif
