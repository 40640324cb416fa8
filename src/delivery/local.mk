noinst_LIBRARIES += libdelivery.a
libdelivery_a_SOURCES = \
	src/delivery/attempt.c \
	src/delivery/attempt_fit.c \
	src/delivery/bounce.c src/delivery/bounce.h \
	src/delivery/hop_conn.c src/delivery/hop_conn.h \
	src/delivery/hop_conn_login.c \
	src/delivery/credentials.c src/delivery/credentials.h \
	src/delivery/delivery.c src/delivery/delivery.h \
	src/delivery/delivery_private.h \
	src/delivery/handed.c src/delivery/handed.h \
	src/delivery/hop.c src/delivery/hop_blame.c src/delivery/hop_dial.c \
	src/delivery/hop_uses.c \
	src/delivery/result_queue.c src/delivery/result_queue.h \
	src/delivery/let_go.c src/delivery/let_go.h \
	src/delivery/mta_hold.c src/delivery/mta_hold.h \
	src/delivery/mta_queue.c src/delivery/mta_queue.h \
	src/delivery/mta_run.c src/delivery/mta_run.h \
	src/delivery/nexthop.c src/delivery/nexthop.h \
	src/delivery/nexthop_private.h \
	src/delivery/notice.c \
	src/delivery/notice_limit.c src/delivery/notice_limit.h \
	src/delivery/report_limit.c src/delivery/report_limit.h \
	src/delivery/outcome.c \
	src/delivery/quarantine.c src/delivery/quarantine.h \
	src/delivery/quarantine_check.c \
	src/delivery/quarantine_private.h \
	src/delivery/route.c src/delivery/route.h \
	src/delivery/suspects.c src/delivery/suspects.h
delivery_libs = libdelivery.a $(spool_libs) $(smtp_libs) $(net_libs) \
	$(EVENT_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_bounce tests/unit/test_delivery \
	tests/unit/test_delivery_trouble tests/unit/test_result_queue \
	tests/unit/test_nexthop tests/unit/test_nexthop_failover
delivery_test_libs = $(delivery_libs) $(CMOCKA_LIBS)
delivery_test_hop = tests/unit/fake_hop.c tests/unit/fake_hop.h \
	tests/unit/pump.h
delivery_test_world = $(delivery_test_hop) \
	tests/unit/delivery_world.c tests/unit/delivery_world.h
nexthop_test_world = $(delivery_test_hop) \
	tests/unit/nexthop_world.c tests/unit/nexthop_world.h
check_PROGRAMS += tests/unit/test_notice_limit
tests_unit_test_notice_limit_SOURCES = tests/unit/test_notice_limit.c
tests_unit_test_notice_limit_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_mta_queue tests/unit/test_quarantine
tests_unit_test_quarantine_SOURCES = tests/unit/test_quarantine.c \
	tests/unit/pump.h
tests_unit_test_quarantine_LDADD = $(delivery_test_libs)
tests_unit_test_mta_queue_SOURCES = tests/unit/test_mta_queue.c
tests_unit_test_mta_queue_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_let_go tests/unit/test_mta_hold
tests_unit_test_let_go_SOURCES = tests/unit/test_let_go.c
tests_unit_test_let_go_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
tests_unit_test_mta_hold_SOURCES = tests/unit/test_mta_hold.c \
	tests/unit/pump.h
tests_unit_test_mta_hold_LDADD = $(delivery_test_libs) $(SQLITE_LIBS)
check_PROGRAMS += tests/unit/test_route
tests_unit_test_route_SOURCES = tests/unit/test_route.c
tests_unit_test_route_LDADD = $(delivery_test_libs)
check_PROGRAMS += tests/unit/test_credentials
tests_unit_test_credentials_SOURCES = tests/unit/test_credentials.c
tests_unit_test_credentials_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
tests_unit_test_bounce_SOURCES = tests/unit/test_bounce.c
tests_unit_test_bounce_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
tests_unit_test_delivery_SOURCES = tests/unit/test_delivery.c \
	$(delivery_test_world)
tests_unit_test_delivery_LDADD = $(delivery_test_libs)
tests_unit_test_delivery_trouble_SOURCES = \
	tests/unit/test_delivery_trouble.c $(delivery_test_world)
tests_unit_test_delivery_trouble_LDADD = $(delivery_test_libs)
check_PROGRAMS += tests/unit/test_delivery_clock
tests_unit_test_delivery_clock_SOURCES = \
	tests/unit/test_delivery_clock.c $(delivery_test_world)
tests_unit_test_delivery_clock_LDADD = $(delivery_test_libs)
check_PROGRAMS += tests/unit/test_delivery_blame
tests_unit_test_delivery_blame_SOURCES = \
	tests/unit/test_delivery_blame.c $(delivery_test_world)
tests_unit_test_delivery_blame_LDADD = $(delivery_test_libs)
# Without the spool: its spool is a stand-in of its own.
tests_unit_test_result_queue_SOURCES = tests/unit/test_result_queue.c tests/unit/pump.h
tests_unit_test_result_queue_LDADD = $(delivery_libs) $(CMOCKA_LIBS)
tests_unit_test_nexthop_SOURCES = tests/unit/test_nexthop.c \
	$(nexthop_test_world)
tests_unit_test_nexthop_LDADD = $(delivery_test_libs)
tests_unit_test_nexthop_failover_SOURCES = \
	tests/unit/test_nexthop_failover.c $(nexthop_test_world)
tests_unit_test_nexthop_failover_LDADD = $(delivery_test_libs)
endif

noinst_PROGRAMS += tests/bench/bench_delivery
BENCHES += tests/bench/bench_delivery
tests_bench_bench_delivery_SOURCES = tests/bench/bench_delivery.c
tests_bench_bench_delivery_LDADD = $(delivery_libs)
