libfront_a_SOURCES += \
	src/relay/ask_guard.c src/relay/ask_guard.h \
	src/relay/auth_guard.c src/relay/auth_guard.h \
	src/relay/auth_link.c src/relay/auth_link.h \
	src/relay/late.c src/relay/late.h \
	src/relay/relay.c src/relay/relay.h \
	src/relay/relay_end.c \
	src/relay/relay_hello.c \
	src/relay/relay_identity.c \
	src/relay/relay_internal.h \
	src/relay/relay_hop_txn.c \
	src/relay/relay_lmtp.c \
	src/relay/relay_login.c \
	src/relay/relay_private_conn.c \
	src/relay/relay_session.c \
	src/relay/relay_shed.c \
	src/relay/relay_state.c \
	src/relay/relay_stress.c \
	src/relay/relay_tarpit.c \
	src/relay/relay_tls.c \
	src/relay/relay_txn.c \
	src/relay/relay_words.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_ask_guard
tests_unit_test_ask_guard_SOURCES = tests/unit/test_ask_guard.c
tests_unit_test_ask_guard_LDADD = $(front_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_auth_guard
tests_unit_test_auth_guard_SOURCES = tests/unit/test_auth_guard.c
tests_unit_test_auth_guard_LDADD = $(front_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_late
tests_unit_test_late_SOURCES = tests/unit/test_late.c
tests_unit_test_late_LDADD = $(front_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_relay_ends
tests_unit_test_relay_ends_SOURCES = tests/unit/test_relay_ends.c \
	tests/unit/fake_hop.c tests/unit/fake_hop.h tests/unit/pump.h \
	tests/unit/policy_rig.h tests/unit/tls_kit.h
tests_unit_test_relay_ends_LDADD = $(front_libs) $(OPENSSL_LIBS) \
	$(CMOCKA_LIBS)
endif
