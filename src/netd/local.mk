# Its configuration alone, which weir-replay reads on any system.
noinst_LIBRARIES += libnetdconf.a
libnetdconf_a_SOURCES = \
	src/netd/netd_config.c src/netd/netd_config.h \
	src/netd/netd_options.c \
	src/nfq/nfset_name.c src/nfq/nfset_name.h
netdconf_libs = libnetdconf.a $(netgate_libs) $(control_libs)

# weir-netd: the throttle for TCP and UDP.
if BUILD_NETD
noinst_LIBRARIES += libnetd.a
libnetd_a_SOURCES = \
	src/netd/rules.c src/netd/rules.h \
	src/netd/rules_internal.h \
	src/netd/rules_iptables.c \
	src/netd/rules_nft.c \
	src/netd/state.c src/netd/state.h
netd_libs = libnetd.a $(netdconf_libs) $(nfq_libs) -lpthread

# Prints weir-netd.conf(5)'s options and the sample.
noinst_PROGRAMS += netd-conf-doc
netd_conf_doc_SOURCES = src/netd/gen_conf.c
netd_conf_doc_LDADD = $(netd_libs)

sbin_PROGRAMS += weir-netd
weir_netd_SOURCES = \
	src/netd/apply.c src/netd/apply.h \
	src/netd/commands.c \
	src/netd/http.c \
	src/netd/internal.h \
	src/netd/keeper.c src/netd/keeper.h \
	src/netd/main.c \
	src/netd/netd.c src/netd/netd.h \
	src/netd/offline.c \
	src/netd/rules_lock.c src/netd/rules_lock.h \
	src/netd/run.c \
	src/netd/sandbox.c src/netd/sandbox.h
weir_netd_LDADD = $(netd_libs) $(control_libs) $(JANSSON_LIBS) \
	$(SECCOMP_LIBS) -lpthread

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_netd_state tests/unit/test_netd_rules
tests_unit_test_netd_state_SOURCES = tests/unit/test_netd_state.c
tests_unit_test_netd_state_LDADD = $(netd_libs) $(CMOCKA_LIBS)
tests_unit_test_netd_rules_SOURCES = tests/unit/test_netd_rules.c
tests_unit_test_netd_rules_LDADD = $(netd_libs) $(CMOCKA_LIBS)
endif

noinst_PROGRAMS += tests/bench/netload
tests_bench_netload_SOURCES = tests/bench/netload.c
tests_bench_netload_LDADD = $(base_libs) $(NFQUEUE_LIBS) $(MNL_LIBS)
endif
