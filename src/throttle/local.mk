# The throttle core, twice: for the daemons, and libweir for others, which shows
# throttle_* alone.
noinst_LIBRARIES += libthrottle.a
throttle_sources = \
	include/weir/throttle.h \
	src/throttle/blasts.c src/throttle/blasts.h \
	src/throttle/core.h \
	src/throttle/delay_queue.c src/throttle/delay_queue.h \
	src/throttle/dest_index.c src/throttle/dest_index.h \
	src/throttle/due_heap.c src/throttle/due_heap.h \
	src/throttle/info.c \
	src/throttle/limiter.c src/throttle/limiter.h \
	src/throttle/limits.c src/throttle/limits.h \
	src/throttle/mem.h \
	src/throttle/profiles.c \
	src/throttle/request.c src/throttle/shared.c \
	src/throttle/snapshot.c \
	src/throttle/source_table.c src/throttle/source_table.h \
	src/throttle/throttle.c \
	src/throttle/time_ring.c src/throttle/time_ring.h \
	src/throttle/working_set.c src/throttle/working_set.h
libthrottle_a_SOURCES = $(throttle_sources)
throttle_libs = libthrottle.a $(base_libs)

lib_LTLIBRARIES += libweir.la
# Flags of its own, since its objects are for a shared library.
libweir_la_SOURCES = $(throttle_sources) $(base_sources)
libweir_la_CFLAGS = $(AM_CFLAGS)
libweir_la_LIBADD = $(XXHASH_LIBS)
libweir_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-export-symbols-regex '^throttle_'
weirincludedir = $(includedir)/weir
weirinclude_HEADERS = include/weir/throttle.h
pkgconfig_DATA = weir.pc

noinst_PROGRAMS += tests/bench/bench_throttle
tests_bench_bench_throttle_SOURCES = tests/bench/bench_throttle.c
tests_bench_bench_throttle_CFLAGS = $(AM_CFLAGS) -O2
tests_bench_bench_throttle_LDADD = $(throttle_libs)

BENCHES += tests/bench/bench_throttle

if HAVE_CMOCKA
throttle_tests = \
	tests/unit/test_throttle \
	tests/unit/test_throttle_figures \
	tests/unit/test_throttle_model \
	tests/unit/test_throttle_oracle \
	tests/unit/test_throttle_property \
	tests/unit/test_throttle_snapshot \
	tests/unit/test_throttle_sources
check_PROGRAMS += $(throttle_tests)
tests_unit_test_throttle_SOURCES = \
	tests/unit/test_throttle.c \
	tests/unit/throttle_fixture.h
tests_unit_test_throttle_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_figures_SOURCES = \
	tests/unit/test_throttle_figures.c
tests_unit_test_throttle_figures_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_model_SOURCES = \
	tests/unit/test_throttle_model.c \
	tests/unit/throttle_random.h
tests_unit_test_throttle_model_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_oracle_SOURCES = \
	tests/unit/test_throttle_oracle.c \
	tests/unit/throttle_random.h
tests_unit_test_throttle_oracle_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_property_SOURCES = \
	tests/unit/test_throttle_property.c \
	tests/unit/throttle_random.h
tests_unit_test_throttle_property_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_snapshot_SOURCES = \
	tests/unit/test_throttle_snapshot.c \
	tests/unit/throttle_fixture.h
tests_unit_test_throttle_snapshot_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
tests_unit_test_throttle_sources_SOURCES = \
	tests/unit/test_throttle_sources.c \
	tests/unit/throttle_fixture.h
tests_unit_test_throttle_sources_LDADD = $(throttle_libs) $(CMOCKA_LIBS)
endif
