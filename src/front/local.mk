noinst_LTLIBRARIES += libfront.la
libfront_la_SOURCES = \
	src/front/ask_guard.c src/front/ask_guard.h \
	src/front/auth_guard.c src/front/auth_guard.h \
	src/front/auth_link.c src/front/auth_link.h \
	src/front/control.c src/front/control.h \
	src/front/control_change.c \
	src/front/control_events.c \
	src/front/control_private.h \
	src/front/control_queue.c \
	src/front/control_request.h \
	src/front/control_senders.c \
	src/front/control_status.c \
	src/front/control_table.c \
	src/front/foreign_path.c src/front/foreign_path.h \
	src/front/late.c src/front/late.h \
	src/front/milter.h \
	src/front/milter_ask.c src/front/milter_ask.h \
	src/front/milter_desk.c \
	src/front/milter_filter.h \
	src/front/milter_message.c src/front/milter_message.h \
	src/front/milter_store.c \
	src/front/milter_txn.c src/front/milter_txn.h \
	src/front/milter_txn_private.h \
	src/front/policy_request.c src/front/policy_request.h \
	src/front/policyd.c src/front/policyd.h \
	src/front/relay.c src/front/relay.h \
	src/front/relay_end.c \
	src/front/relay_identity.c \
	src/front/relay_internal.h \
	src/front/relay_leg.c \
	src/front/relay_login.c \
	src/front/relay_own.c \
	src/front/relay_lmtp.c \
	src/front/relay_hello.c \
	src/front/relay_session.c \
	src/front/relay_shed.c \
	src/front/relay_stress.c \
	src/front/relay_tls.c \
	src/front/relay_txn.c \
	src/front/relay_words.c \
	src/front/room.c src/front/room.h \
	src/front/settle.c src/front/settle.h
if HAVE_MILTER
libfront_la_SOURCES += src/front/milter.c src/front/milter_filter.c
else
libfront_la_SOURCES += src/front/milter_none.c
endif
EXTRA_DIST += src/front/milter.c src/front/milter_filter.c \
	src/front/milter_none.c
libfront_la_LIBADD = libdelivery.la libgate.la libspool.la libsmtp.la \
	libcontrol.la libnet.la libos.la libbase.la $(JANSSON_LIBS) \
	$(MILTER_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_auth_guard
tests_unit_test_auth_guard_SOURCES = tests/unit/test_auth_guard.c
tests_unit_test_auth_guard_LDADD = libfront.la libbase.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_control
tests_unit_test_control_SOURCES = tests/unit/test_control.c \
	tests/unit/control_world.c tests/unit/control_world.h
tests_unit_test_control_LDADD = libfront.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_control_conn
tests_unit_test_control_conn_SOURCES = tests/unit/test_control_conn.c \
	tests/unit/control_world.c tests/unit/control_world.h
tests_unit_test_control_conn_LDADD = libfront.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_ask_guard
tests_unit_test_ask_guard_SOURCES = tests/unit/test_ask_guard.c
tests_unit_test_ask_guard_LDADD = libfront.la libbase.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_late
tests_unit_test_late_SOURCES = tests/unit/test_late.c
tests_unit_test_late_LDADD = libfront.la libbase.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_relay_ends
tests_unit_test_relay_ends_SOURCES = tests/unit/test_relay_ends.c \
	tests/unit/fake_hop.c tests/unit/fake_hop.h tests/unit/pump.h \
	tests/unit/policy_rig.h tests/unit/tls_kit.h
tests_unit_test_relay_ends_LDADD = libfront.la $(OPENSSL_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_policy_request
tests_unit_test_policy_request_SOURCES = tests/unit/test_policy_request.c
tests_unit_test_policy_request_LDADD = libfront.la $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_milter
tests_unit_test_milter_SOURCES = tests/unit/test_milter.c
tests_unit_test_milter_LDADD = libfront.la $(CMOCKA_LIBS)
endif
