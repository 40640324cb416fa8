noinst_LIBRARIES += libbase.a
base_sources = \
	src/base/base.c src/base/base.h \
	src/base/buf.c src/base/buf.h src/base/bytes.h \
	src/base/err.c src/base/err.h \
	src/base/fold.c src/base/fold.h \
	src/base/hash.c src/base/hash.h \
	src/base/header.c src/base/header.h \
	src/base/ip.c src/base/ip.h \
	src/base/ip_ranges.c src/base/ip_ranges.h \
	src/base/list.h \
	src/base/mailbox.c src/base/mailbox.h \
	src/base/map.c src/base/map.h \
	src/base/reverse_path.c src/base/reverse_path.h \
	src/base/share.c src/base/share.h \
	src/base/str.c src/base/str.h \
	src/base/units.c src/base/units.h
libbase_a_SOURCES = $(base_sources)
base_libs = libbase.a $(XXHASH_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_str tests/unit/test_buf \
	tests/unit/test_map tests/unit/test_units tests/unit/test_ip \
	tests/unit/test_mailbox tests/unit/test_reverse_path \
	tests/unit/test_share tests/unit/test_header
tests_unit_test_header_SOURCES = tests/unit/test_header.c
tests_unit_test_header_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_reverse_path_SOURCES = tests/unit/test_reverse_path.c
tests_unit_test_reverse_path_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_mailbox_SOURCES = tests/unit/test_mailbox.c
tests_unit_test_mailbox_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_str_SOURCES = tests/unit/test_str.c
tests_unit_test_str_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_map_SOURCES = tests/unit/test_map.c
tests_unit_test_map_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_units_SOURCES = tests/unit/test_units.c
tests_unit_test_units_LDADD = $(base_libs) $(CMOCKA_LIBS)
tests_unit_test_ip_SOURCES = tests/unit/test_ip.c
tests_unit_test_ip_LDADD = $(base_libs) $(CMOCKA_LIBS)
endif
