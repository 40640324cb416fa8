libfront_a_SOURCES += \
	src/policyd/policy_request.c src/policyd/policy_request.h \
	src/policyd/policyd.c src/policyd/policyd.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_policy_request
tests_unit_test_policy_request_SOURCES = tests/unit/test_policy_request.c
tests_unit_test_policy_request_LDADD = $(front_libs) $(CMOCKA_LIBS)
endif
