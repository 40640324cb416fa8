noinst_LIBRARIES += libshare.a
libshare_a_SOURCES = \
	src/share/arbiter.c src/share/arbiter.h \
	src/share/freeze_record.c src/share/freeze_record.h \
	src/share/freezes.c src/share/freezes.h \
	src/share/learns.c src/share/learns.h \
	src/share/letter.c src/share/letter.h \
	src/share/question.h \
	src/share/redis_link.c src/share/redis_link.h \
	src/share/redis_map.c src/share/redis_map.h \
	src/share/redis_node.c src/share/redis_node.h \
	src/share/redis_slots.c src/share/redis_slots.h \
	src/share/redis_url.c src/share/redis_url.h \
	src/share/relays.c src/share/relays.h \
	src/share/resp.c src/share/resp.h \
	src/share/scopes.c src/share/scopes.h \
	src/share/seal.c src/share/seal.h \
	src/share/spends.c src/share/spends.h \
	src/share/stream.c src/share/stream.h \
	src/share/tokens.c src/share/tokens.h
nodist_libshare_a_SOURCES = src/share/arbiter_text.c src/share/scopes_text.c
EXTRA_DIST += src/share/arbiter.lua src/share/scopes.lua
CLEANFILES += $(nodist_libshare_a_SOURCES)
$(nodist_libshare_a_SOURCES): src/share/%_text.c: src/share/%.lua
	$(AM_V_GEN)$(MKDIR_P) src/share && { \
	echo 'extern const char $*_text[];' && \
	echo 'const char $*_text[] =' && \
	sed -e '/^ *--/d' -e 's/\\/&&/g' -e 's/"/\\"/g' -e 's/.*/    "&\\n"/' \
		$(srcdir)/src/share/$*.lua && echo '    ;'; } >$@.tmp && \
	mv -f $@.tmp $@
share_libs = libshare.a $(net_libs) $(HIREDIS_LIBS)

noinst_PROGRAMS += tests/bench/bench_arbiter
BENCHES += tests/bench/bench_arbiter
tests_bench_bench_arbiter_SOURCES = tests/bench/bench_arbiter.c
tests_bench_bench_arbiter_LDADD = $(share_libs) $(throttle_libs)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_resp tests/unit/test_redis_link \
	tests/unit/test_arbiter_oracle tests/unit/test_arbiter_read
tests_unit_test_arbiter_read_SOURCES = tests/unit/test_arbiter_read.c
tests_unit_test_arbiter_read_LDADD = $(share_libs) $(throttle_libs) \
	$(CMOCKA_LIBS)
tests_unit_test_arbiter_oracle_SOURCES = tests/unit/test_arbiter_oracle.c \
	tests/unit/oracle_rig.h tests/unit/pump.h \
	tests/unit/redis_rig.h tests/unit/throttle_random.h
tests_unit_test_arbiter_oracle_LDADD = $(share_libs) $(throttle_libs) \
	$(CMOCKA_LIBS)
tests_unit_test_resp_SOURCES = tests/unit/test_resp.c
tests_unit_test_resp_LDADD = $(share_libs) $(CMOCKA_LIBS)
share_test_redis = tests/unit/fake_redis.c tests/unit/fake_redis.h \
	tests/unit/pump.h
tests_unit_test_redis_link_SOURCES = tests/unit/test_redis_link.c \
	$(share_test_redis)
tests_unit_test_redis_link_LDADD = $(share_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_redis_cluster
tests_unit_test_redis_cluster_SOURCES = tests/unit/test_redis_cluster.c \
	$(share_test_redis)
tests_unit_test_redis_cluster_LDADD = $(share_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_learns tests/unit/test_spends
tests_unit_test_learns_SOURCES = tests/unit/test_learns.c $(share_test_redis)
tests_unit_test_learns_LDADD = $(share_libs) $(CMOCKA_LIBS)
tests_unit_test_spends_SOURCES = tests/unit/test_spends.c $(share_test_redis)
tests_unit_test_spends_LDADD = $(share_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_relays
tests_unit_test_relays_SOURCES = tests/unit/test_relays.c tests/unit/pump.h \
	tests/unit/redis_rig.h
tests_unit_test_relays_LDADD = $(share_libs) $(CMOCKA_LIBS)
endif
