noinst_LTLIBRARIES += libfront.la
libfront_la_SOURCES = \
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
	src/front/relay.c src/front/relay.h \
	src/front/relay_end.c \
	src/front/relay_identity.c \
	src/front/relay_internal.h \
	src/front/relay_leg.c \
	src/front/relay_login.c \
	src/front/relay_own.c \
	src/front/relay_lmtp.c \
	src/front/relay_session.c \
	src/front/relay_tls.c \
	src/front/relay_txn.c \
	src/front/relay_words.c
libfront_la_LIBADD = libdelivery.la libgate.la libspool.la libsmtp.la \
	libcontrol.la libnet.la libos.la libbase.la $(JANSSON_LIBS)

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
endif
