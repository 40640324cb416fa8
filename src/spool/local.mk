noinst_LIBRARIES += libspool.a
libspool_a_SOURCES = \
	src/spool/accounts.c src/spool/accounts.h \
	src/spool/acquaintance.c src/spool/alert.c \
	src/spool/arena.c src/spool/arena.h \
	src/spool/body.c src/spool/body.h \
	src/spool/claim.c \
	src/spool/core.h \
	src/spool/db.c src/spool/db.h \
	src/spool/deferred.c \
	src/spool/filer.c src/spool/filer.h \
	src/spool/find.c \
	src/spool/id.c \
	src/spool/list.c \
	src/spool/held.c \
	src/spool/load.c \
	src/spool/message.c src/spool/message.h \
	src/spool/mark.c \
	src/spool/mta_held.c \
	src/spool/notice.c \
	src/spool/put.c \
	src/spool/quarantine.c \
	src/spool/queue.c src/spool/queue.h \
	src/spool/reader.c src/spool/reader.h \
	src/spool/recover.c src/spool/recover.h \
	src/spool/recover_rows.c \
	src/spool/schema.c src/spool/schema.h \
	src/spool/select.c \
	src/spool/simple.h \
	src/spool/source.c \
	src/spool/spool.c src/spool/spool.h \
	src/spool/stop.c src/spool/stop.h \
	src/spool/turns.c src/spool/turns.h \
	src/spool/walk.c src/spool/walk.h \
	src/spool/writer.c src/spool/writer.h
spool_libs = libspool.a $(os_libs) $(SQLITE_LIBS) -lpthread

SPOOL_TEST_LIBS = $(spool_libs) $(SQLITE_LIBS) $(CMOCKA_LIBS)
SPOOL_KIT = tests/unit/spool_kit.c tests/unit/spool_kit.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_spool
tests_unit_test_spool_SOURCES = tests/unit/test_spool.c $(SPOOL_KIT)
tests_unit_test_spool_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_turns
tests_unit_test_turns_SOURCES = tests/unit/test_turns.c
tests_unit_test_turns_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_turns
tests_unit_test_spool_turns_SOURCES = tests/unit/test_spool_turns.c $(SPOOL_KIT)
tests_unit_test_spool_turns_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_stop
tests_unit_test_spool_stop_SOURCES = tests/unit/test_spool_stop.c $(SPOOL_KIT)
tests_unit_test_spool_stop_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_state
tests_unit_test_spool_state_SOURCES = tests/unit/test_spool_state.c $(SPOOL_KIT)
tests_unit_test_spool_state_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_find
tests_unit_test_spool_find_SOURCES = tests/unit/test_spool_find.c $(SPOOL_KIT)
tests_unit_test_spool_find_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_notice
tests_unit_test_spool_notice_SOURCES = tests/unit/test_spool_notice.c \
	$(SPOOL_KIT)
tests_unit_test_spool_notice_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_quarantine
tests_unit_test_spool_quarantine_SOURCES = \
	tests/unit/test_spool_quarantine.c $(SPOOL_KIT)
tests_unit_test_spool_quarantine_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_recover
tests_unit_test_spool_recover_SOURCES = tests/unit/test_spool_recover.c \
	$(SPOOL_KIT)
tests_unit_test_spool_recover_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_held
tests_unit_test_spool_held_SOURCES = tests/unit/test_spool_held.c $(SPOOL_KIT)
tests_unit_test_spool_held_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_body
tests_unit_test_spool_body_SOURCES = tests/unit/test_spool_body.c $(SPOOL_KIT)
tests_unit_test_spool_body_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_kill
tests_unit_test_spool_kill_SOURCES = tests/unit/test_spool_kill.c \
	$(SPOOL_KIT)
tests_unit_test_spool_kill_LDADD = $(SPOOL_TEST_LIBS)

check_PROGRAMS += tests/unit/test_spool_fault
tests_unit_test_spool_fault_SOURCES = tests/unit/test_spool_fault.c \
	tests/unit/fault_libc.c tests/unit/fault_vfs.c \
	tests/unit/fault_vfs.h $(SPOOL_KIT)
tests_unit_test_spool_fault_LDADD = $(SPOOL_TEST_LIBS)
tests_unit_test_spool_fault_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=write -Wl,--wrap=fsync -Wl,--wrap=rename
endif

noinst_PROGRAMS += tests/bench/bench_spool
BENCHES += tests/bench/bench_spool
tests_bench_bench_spool_SOURCES = tests/bench/bench_spool.c
tests_bench_bench_spool_LDADD = $(spool_libs) $(SQLITE_LIBS)
