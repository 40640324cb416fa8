libfront_a_SOURCES += \
	src/milter/milter.h \
	src/milter/milter_ask.c src/milter/milter_ask.h \
	src/milter/milter_desk.c \
	src/milter/milter_filter.h \
	src/milter/milter_message.c src/milter/milter_message.h \
	src/milter/milter_loop.c \
	src/milter/milter_store.c \
	src/milter/milter_txn.c src/milter/milter_txn.h \
	src/milter/milter_txn_private.h
if HAVE_MILTER
libfront_a_SOURCES += src/milter/milter.c src/milter/milter_filter.c
else
libfront_a_SOURCES += src/milter/milter_none.c
endif
EXTRA_DIST += src/milter/milter.c src/milter/milter_filter.c \
	src/milter/milter_none.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_milter
tests_unit_test_milter_SOURCES = tests/unit/test_milter.c
tests_unit_test_milter_LDADD = $(front_libs) $(CMOCKA_LIBS)
endif
