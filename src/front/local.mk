# The ways in, in one library: src/relay, src/milter and src/policyd add theirs.
noinst_LIBRARIES += libfront.a
libfront_a_SOURCES = \
	src/front/foreign_path.c src/front/foreign_path.h \
	src/front/log_recipients.c src/front/log_recipients.h \
	src/front/room.c src/front/room.h \
	src/front/settle.c src/front/settle.h
front_libs = libfront.a $(delivery_libs) $(gate_libs) $(MILTER_LIBS)
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_settle_date
tests_unit_test_settle_date_SOURCES = tests/unit/test_settle_date.c
tests_unit_test_settle_date_LDADD = $(front_libs) $(CMOCKA_LIBS)
endif
