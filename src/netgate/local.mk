# The decision about packets.
noinst_LIBRARIES += libnetgate.a
libnetgate_a_SOURCES = \
	src/netgate/admin.c \
	src/netgate/attempt.c \
	src/netgate/credit.c src/netgate/credit.h \
	src/netgate/freeze.c \
	src/netgate/held.c \
	src/netgate/host.c \
	src/netgate/internal.h \
	src/netgate/known.c src/netgate/known.h \
	src/netgate/named.c src/netgate/named.h \
	src/netgate/netgate.c src/netgate/netgate.h \
	src/netgate/netpolicy.c src/netgate/netpolicy.h \
	src/netgate/netpolicy_options.c \
	src/netgate/netprofile.c src/netgate/netprofile.h \
	src/netgate/watch.c
netgate_libs = libnetgate.a $(throttle_libs) $(packet_libs) $(os_libs)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_netgate tests/unit/test_netgate_hosts \
	tests/unit/test_netgate_proof tests/unit/test_netpolicy
tests_unit_test_netgate_proof_SOURCES = tests/unit/test_netgate_proof.c \
	tests/unit/netgate_rig.h
tests_unit_test_netgate_proof_LDADD = $(netgate_libs) $(CMOCKA_LIBS)
tests_unit_test_netgate_SOURCES = tests/unit/test_netgate.c \
	tests/unit/netgate_rig.h
tests_unit_test_netgate_LDADD = $(netgate_libs) $(CMOCKA_LIBS)
tests_unit_test_netgate_hosts_SOURCES = tests/unit/test_netgate_hosts.c \
	tests/unit/netgate_rig.h
tests_unit_test_netgate_hosts_LDADD = $(netgate_libs) $(CMOCKA_LIBS)
tests_unit_test_netpolicy_SOURCES = tests/unit/test_netpolicy.c
tests_unit_test_netpolicy_LDADD = $(netgate_libs) $(CMOCKA_LIBS)
endif
