noinst_LIBRARIES += libnet.a
libnet_a_SOURCES = \
	src/net/addr.c src/net/addr.h \
	src/net/conn.c src/net/conn.h \
	src/net/conn_flow.c src/net/conn_private.h \
	src/net/hook.c src/net/hook.h \
	src/net/command.c src/net/command.h \
	src/net/conn_tls.c \
	src/net/listener.c src/net/listener.h \
	src/net/loop.c src/net/loop.h \
	src/net/peer.c src/net/peer.h \
	src/net/places.c src/net/places.h \
	src/net/proxy.c src/net/proxy.h \
	src/net/resolver.c src/net/resolver.h \
	src/net/tls.c src/net/tls.h src/net/tls_private.h \
	src/net/tls_cert.c \
	src/net/tls_client.c \
	src/net/tls_server.c \
	src/net/worker.c src/net/worker.h
net_libs = libnet.a $(os_libs) $(EVENT_LIBS) $(OPENSSL_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_addr tests/unit/test_conn \
	tests/unit/test_conn_life tests/unit/test_conn_half \
	tests/unit/test_listener \
	tests/unit/test_loop tests/unit/test_proxy
check_PROGRAMS += tests/unit/test_peer tests/unit/test_places
tests_unit_test_places_SOURCES = tests/unit/test_places.c
tests_unit_test_places_LDADD = $(net_libs) $(CMOCKA_LIBS) -lpthread
tests_unit_test_peer_SOURCES = tests/unit/test_peer.c
tests_unit_test_peer_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_proxy_SOURCES = tests/unit/test_proxy.c
tests_unit_test_proxy_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_addr_SOURCES = tests/unit/test_addr.c
tests_unit_test_addr_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c \
	tests/unit/conn_rig.h tests/unit/pump.h
tests_unit_test_conn_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_conn_life_SOURCES = tests/unit/test_conn_life.c \
	tests/unit/conn_rig.h tests/unit/pump.h
tests_unit_test_conn_life_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_conn_half_SOURCES = tests/unit/test_conn_half.c \
	tests/unit/conn_rig.h tests/unit/pump.h
tests_unit_test_conn_half_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_listener_SOURCES = tests/unit/test_listener.c \
	tests/unit/pump.h
tests_unit_test_listener_LDADD = $(net_libs) $(CMOCKA_LIBS)
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c tests/unit/pump.h
tests_unit_test_loop_LDADD = $(net_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_worker
tests_unit_test_worker_SOURCES = tests/unit/test_worker.c tests/unit/pump.h
tests_unit_test_worker_LDADD = $(net_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_command
tests_unit_test_command_SOURCES = tests/unit/test_command.c tests/unit/pump.h
tests_unit_test_command_LDADD = $(net_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_tls
tests_unit_test_tls_SOURCES = tests/unit/test_tls.c \
	tests/unit/pump.h tests/unit/tls_kit.h tests/unit/tls_rig.h
tests_unit_test_tls_LDADD = $(net_libs) $(OPENSSL_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_tls_certs
tests_unit_test_tls_certs_SOURCES = tests/unit/test_tls_certs.c \
	tests/unit/pump.h tests/unit/tls_kit.h tests/unit/tls_rig.h
tests_unit_test_tls_certs_LDADD = $(tests_unit_test_tls_LDADD)
endif

# The loads of tests/bench/bench_tls.py, bench_cluster.py and bench_auth.py, and
# a next hop.
noinst_PROGRAMS += tests/bench/tls_source
tests_bench_tls_source_SOURCES = tests/bench/tls_source.c
tests_bench_tls_source_LDADD = $(os_libs) $(OPENSSL_LIBS) -lpthread
noinst_PROGRAMS += tests/bench/pipe_source
tests_bench_pipe_source_SOURCES = tests/bench/pipe_source.c
tests_bench_pipe_source_LDADD = $(os_libs) -lpthread
noinst_PROGRAMS += tests/bench/quick_sink
tests_bench_quick_sink_SOURCES = tests/bench/quick_sink.c
noinst_PROGRAMS += tests/bench/auth_load
tests_bench_auth_load_SOURCES = tests/bench/auth_load.c
tests_bench_auth_load_LDADD = $(os_libs) -lpthread

# The many clients of tests/e2e/test_limits.py and tests/bench/bench_limits.py.
noinst_PROGRAMS += tests/e2e/many_clients
tests_e2e_many_clients_SOURCES = tests/e2e/many_clients.c
tests_e2e_many_clients_LDADD = $(os_libs)
