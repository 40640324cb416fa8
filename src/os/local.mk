noinst_LIBRARIES += libos.a
libos_a_SOURCES = \
	src/os/caps.c src/os/caps.h \
	src/os/clock.c src/os/clock.h \
	src/os/counters.c src/os/counters.h \
	src/os/entries.c src/os/entries.h \
	src/os/events.c src/os/events.h \
	src/os/file.c src/os/file.h \
	src/os/log.c src/os/log.h src/os/log_table.def \
	src/os/option_check.c src/os/option_check.h \
	src/os/options.c src/os/options.h \
	src/os/options_doc.c src/os/options_doc.h \
	src/os/options_format.c src/os/options_print.c \
	src/os/options_scan.c src/os/options_scan.h \
	src/os/options_struct.c \
	src/os/options_value.c src/os/options_value.h \
	src/os/priv.c src/os/priv.h \
	src/os/problems.c src/os/problems.h \
	src/os/process.c src/os/process.h \
	src/os/program.c src/os/program.h \
	src/os/secret_file.c src/os/secret_file.h \
	src/os/systemd.c src/os/systemd.h \
	src/os/tap.c src/os/tap.h \
	src/os/trend.c src/os/trend.h
os_libs = libos.a $(base_libs) $(CONFUSE_LIBS) $(SYSTEMD_LIBS)

# Prints weir-log(5)'s events and keys.
noinst_PROGRAMS += weir-log-doc
weir_log_doc_SOURCES = src/os/gen_log.c
weir_log_doc_LDADD = $(os_libs)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_file tests/unit/test_log \
	tests/unit/test_options tests/unit/test_priv tests/unit/test_program \
	tests/unit/test_rlimit tests/unit/test_events \
	tests/unit/test_problems tests/unit/test_trend
tests_unit_test_trend_SOURCES = tests/unit/test_trend.c
tests_unit_test_trend_LDADD = $(os_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_tap
tests_unit_test_tap_SOURCES = tests/unit/test_tap.c
tests_unit_test_tap_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_problems_SOURCES = tests/unit/test_problems.c
tests_unit_test_problems_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_events_SOURCES = tests/unit/test_events.c
tests_unit_test_events_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_file_SOURCES = tests/unit/test_file.c
tests_unit_test_file_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_options_SOURCES = tests/unit/test_options.c \
	tests/options_schema.h
tests_unit_test_options_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_program_SOURCES = tests/unit/test_program.c
tests_unit_test_program_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_rlimit_SOURCES = tests/unit/test_rlimit.c
tests_unit_test_rlimit_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_priv_SOURCES = tests/unit/test_priv.c
tests_unit_test_priv_LDADD = $(os_libs) $(CMOCKA_LIBS)
endif
