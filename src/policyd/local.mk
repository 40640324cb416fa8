libfront_la_SOURCES += \
	src/policyd/policy_request.c src/policyd/policy_request.h \
	src/policyd/policyd.c src/policyd/policyd.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_policy_request
tests_unit_test_policy_request_SOURCES = tests/unit/test_policy_request.c
tests_unit_test_policy_request_LDADD = libfront.la $(CMOCKA_LIBS)
endif
