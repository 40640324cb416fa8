noinst_LTLIBRARIES += libnet.la
libnet_la_SOURCES = \
	src/net/addr.c src/net/addr.h \
	src/net/conn.c src/net/conn.h \
	src/net/conn_flow.c src/net/conn_private.h \
	src/net/hook.c src/net/hook.h \
	src/net/listener.c src/net/listener.h \
	src/net/loop.c src/net/loop.h
libnet_la_LIBADD = libos.la libbase.la $(EVENT_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_addr tests/unit/test_conn \
	tests/unit/test_conn_life tests/unit/test_listener tests/unit/test_loop
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c
tests_unit_test_addr_LDADD = libnet.la libos.la libbase.la $(CMOCKA_LIBS)
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c \
	tests/unit/conn_rig.h tests/unit/pump.h
tests_unit_test_conn_LDADD = libnet.la libos.la libbase.la $(CMOCKA_LIBS)
tests_unit_test_conn_life_SOURCES = tests/unit/test_conn_life.c \
	tests/unit/conn_rig.h tests/unit/pump.h
tests_unit_test_conn_life_LDADD = libnet.la libos.la libbase.la $(CMOCKA_LIBS)
tests_unit_test_listener_SOURCES = tests/unit/test_listener.c \
	tests/unit/pump.h
tests_unit_test_listener_LDADD = libnet.la libos.la libbase.la $(CMOCKA_LIBS)
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c tests/unit/pump.h
tests_unit_test_loop_LDADD = libnet.la libos.la libbase.la $(CMOCKA_LIBS)
endif
