noinst_LTLIBRARIES += libgate.la
libgate_la_SOURCES = \
	src/gate/gate.c src/gate/gate.h src/gate/gate_internal.h \
	src/gate/gate_admin.c \
	src/gate/gate_freeze.c \
	src/gate/gate_info.c \
	src/gate/gate_load.c \
	src/gate/gate_news.c \
	src/gate/gate_release.c \
	src/gate/gate_source.c \
	src/gate/gate_txn.c \
	src/gate/gate_words.c \
	src/gate/match.c src/gate/match.h \
	src/gate/policy.c src/gate/policy.h \
	src/gate/policy_key.c \
	src/gate/policy_options.c
libgate_la_LIBADD = libthrottle.la libspool.la libos.la libbase.la

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_policy
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c
tests_unit_test_policy_LDADD = libgate.la $(CMOCKA_LIBS)
endif
