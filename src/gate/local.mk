noinst_LIBRARIES += libgate.a
libgate_a_SOURCES = \
	src/gate/gate.c src/gate/gate.h src/gate/gate_internal.h \
	src/gate/acquaintance_learn.c \
	src/gate/acquaintance_set.c src/gate/acquaintance_set.h \
	src/gate/acquaintance_store.c \
	src/gate/acquaintances.c src/gate/acquaintances.h \
	src/gate/acquaintances_internal.h \
	src/gate/gate_admin.c \
	src/gate/answers.c src/gate/answers.h \
	src/gate/gate_explain.c \
	src/gate/gate_freeze.c src/gate/gate_hand.c \
	src/gate/gate_history.c src/gate/gate_history.h \
	src/gate/history.c src/gate/history.h \
	src/gate/gate_habit.c src/gate/habit.c src/gate/habit.h \
	src/gate/gate_info.c \
	src/gate/gate_observation.c \
	src/gate/gate_known.c \
	src/gate/gate_load.c src/gate/gate_load.h \
	src/gate/gate_news.c \
	src/gate/gate_path.c src/gate/gate_path.h \
	src/gate/gate_path_shared.c src/gate/gate_path_shared.h \
	src/gate/gate_reached.c \
	src/gate/gate_recipient.c src/gate/gate_question.h \
	src/gate/gate_answer.c src/gate/gate_shared_recipient.c \
	src/gate/gate_commit.c src/gate/gate_commit.h \
	src/gate/gate_commit_news.c \
	src/gate/gate_decoy.c src/gate/gate_decoy.h \
	src/gate/gate_record.c src/gate/gate_record.h \
	src/gate/gate_refill.c \
	src/gate/gate_release.c \
	src/gate/gate_secure.c \
	src/gate/gate_source.c \
	src/gate/gate_spent.c \
	src/gate/gate_shared.c src/gate/gate_shared.h \
	src/gate/gate_shared_ahead.c src/gate/gate_shared_ask.c src/gate/gate_shared_tell.c \
	src/gate/gate_shared_source.h src/gate/gate_shared_touch.c \
	src/gate/gate_signals.c src/gate/gate_signals_shared.c \
	src/gate/credit.c src/gate/credit.h \
	src/gate/networks.c src/gate/networks.h \
	src/gate/envid.c src/gate/envid.h src/gate/gate_bounce.c \
	src/gate/named.c src/gate/named.h src/gate/gate_named.c \
	src/gate/dated.c src/gate/dated.h \
	src/gate/sent.c src/gate/sent.h \
	src/gate/signals.c src/gate/signals.h \
	src/gate/gate_strangers.c src/gate/gate_strangers.h \
	src/gate/strangers.c src/gate/strangers.h \
	src/gate/gate_tier.c src/gate/gate_tier.h \
	src/gate/gate_familiar.c src/gate/gate_familiar.h \
	src/gate/gate_recall.c src/gate/gate_recall.h \
	src/gate/gate_import.c \
	src/gate/gate_txn.c src/gate/gate_txn.h \
	src/gate/gate_warn.c \
	src/gate/gate_words.c \
	src/gate/warn.c src/gate/warn.h \
	src/gate/inbound_row.c src/gate/inbound_row.h src/gate/gate_take_over.c \
	src/gate/locals.c src/gate/locals.h \
	src/gate/login.c src/gate/login.h \
	src/gate/match.c src/gate/match.h \
	src/gate/owners.c src/gate/owners.h \
	src/gate/policy.c src/gate/policy.h \
	src/gate/spellings.c src/gate/spellings.h \
	src/gate/policy_key.c \
	src/gate/scope.c src/gate/scope.h src/gate/scope_book.h \
	src/gate/scope_state.c \
	src/gate/window.c src/gate/window.h \
	src/gate/scope_rules.c src/gate/scope_rules.h \
	src/gate/gate_scope.c \
	src/gate/gate_scope_shared.c src/gate/gate_scope_shared.h \
	src/gate/policy_options.c
gate_libs = libgate.a $(throttle_libs) $(spool_libs) $(OPENSSL_LIBS)

noinst_PROGRAMS += tests/bench/bench_acquaintances
BENCHES += tests/bench/bench_acquaintances
tests_bench_bench_acquaintances_SOURCES = tests/bench/bench_acquaintances.c
tests_bench_bench_acquaintances_LDADD = $(gate_libs)

if HAVE_CMOCKA
gate_rig = tests/unit/gate_rig.c tests/unit/gate_rig.h tests/unit/policy_rig.h \
	tests/unit/gate_rig_send.c
check_PROGRAMS += tests/unit/test_gate_inbound tests/unit/test_gate_observation
tests_unit_test_gate_inbound_SOURCES = tests/unit/test_gate_inbound.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_inbound_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_observation_SOURCES = tests/unit/test_gate_observation.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_observation_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_take_over
tests_unit_test_gate_take_over_SOURCES = tests/unit/test_gate_take_over.c \
	tests/unit/inbound_rig.h $(gate_rig) $(SPOOL_KIT)
tests_unit_test_gate_take_over_LDADD = $(gate_libs) $(SQLITE_LIBS) \
	$(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_acquaintance_set tests/unit/test_acquaintances
tests_unit_test_acquaintance_set_SOURCES = \
	tests/unit/test_acquaintance_set.c tests/unit/throttle_random.h
tests_unit_test_acquaintance_set_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_acquaintances_SOURCES = tests/unit/test_acquaintances.c \
	tests/unit/fault_vfs.c tests/unit/fault_vfs.h $(SPOOL_KIT)
tests_unit_test_acquaintances_LDADD = $(gate_libs) $(SQLITE_LIBS) \
	$(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_history
tests_unit_test_history_SOURCES = tests/unit/test_history.c $(gate_rig)
tests_unit_test_history_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_path
tests_unit_test_gate_path_SOURCES = tests/unit/test_gate_path.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_path_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_incoming
tests_unit_test_gate_incoming_SOURCES = tests/unit/test_gate_incoming.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_incoming_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_tiers
tests_unit_test_gate_tiers_SOURCES = tests/unit/test_gate_tiers.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_tiers_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_familiar
tests_unit_test_gate_familiar_SOURCES = tests/unit/test_gate_familiar.c \
	$(gate_rig)
tests_unit_test_gate_familiar_LDADD = $(gate_libs) $(SQLITE_LIBS) \
	$(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_scope
tests_unit_test_gate_scope_SOURCES = tests/unit/test_gate_scope.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_scope_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_null
tests_unit_test_gate_null_SOURCES = tests/unit/test_gate_null.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_null_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_decoys
tests_unit_test_gate_decoys_SOURCES = tests/unit/test_gate_decoys.c \
	tests/unit/inbound_rig.h $(gate_rig)
tests_unit_test_gate_decoys_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_credit tests/unit/test_gate_credit \
	tests/unit/test_networks tests/unit/test_gate_networks
tests_unit_test_networks_SOURCES = tests/unit/test_networks.c
tests_unit_test_networks_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_networks_SOURCES = tests/unit/test_gate_networks.c \
	$(gate_rig)
tests_unit_test_gate_networks_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_credit_SOURCES = tests/unit/test_credit.c
tests_unit_test_credit_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_credit_SOURCES = tests/unit/test_gate_credit.c \
	$(gate_rig)
tests_unit_test_gate_credit_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_bounce
tests_unit_test_gate_bounce_SOURCES = tests/unit/test_gate_bounce.c \
	$(gate_rig)
tests_unit_test_gate_bounce_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_signals
tests_unit_test_gate_signals_SOURCES = tests/unit/test_gate_signals.c \
	$(gate_rig)
tests_unit_test_gate_signals_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_strangers
tests_unit_test_gate_strangers_SOURCES = tests/unit/test_gate_strangers.c \
	$(gate_rig)
tests_unit_test_gate_strangers_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_spellings
tests_unit_test_spellings_SOURCES = tests/unit/test_spellings.c
tests_unit_test_spellings_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_login
tests_unit_test_login_SOURCES = tests/unit/test_login.c
tests_unit_test_login_LDADD = $(smtp_libs) $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_policy tests/unit/test_policy_key \
	tests/unit/test_gate \
	tests/unit/test_gate_admin tests/unit/test_gate_observe \
	tests/unit/test_gate_hand \
	tests/unit/test_gate_policy tests/unit/test_gate_restart
tests_unit_test_policy_SOURCES = tests/unit/test_policy.c \
	tests/unit/policy_rig.h
tests_unit_test_policy_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_policy_key_SOURCES = tests/unit/test_policy_key.c \
	tests/unit/policy_rig.h
tests_unit_test_policy_key_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_SOURCES = tests/unit/test_gate.c $(gate_rig)
tests_unit_test_gate_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_reached
tests_unit_test_gate_reached_SOURCES = tests/unit/test_gate_reached.c \
	$(gate_rig)
tests_unit_test_gate_reached_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_hand_SOURCES = tests/unit/test_gate_hand.c $(gate_rig)
tests_unit_test_gate_hand_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_admin_SOURCES = tests/unit/test_gate_admin.c $(gate_rig)
tests_unit_test_gate_admin_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_observe_SOURCES = tests/unit/test_gate_observe.c $(gate_rig)
tests_unit_test_gate_observe_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_policy_SOURCES = tests/unit/test_gate_policy.c $(gate_rig)
tests_unit_test_gate_policy_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_restart_SOURCES = tests/unit/test_gate_restart.c $(gate_rig)
tests_unit_test_gate_restart_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_full tests/unit/test_gate_secure
check_PROGRAMS += tests/unit/test_gate_load
tests_unit_test_gate_load_SOURCES = tests/unit/test_gate_load.c $(gate_rig)
tests_unit_test_gate_load_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_shared
tests_unit_test_gate_shared_SOURCES = tests/unit/test_gate_shared.c \
	$(gate_rig)
tests_unit_test_gate_shared_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_gate_spent
tests_unit_test_gate_spent_SOURCES = tests/unit/test_gate_spent.c $(gate_rig)
tests_unit_test_gate_spent_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_full_SOURCES = tests/unit/test_gate_full.c $(gate_rig)
tests_unit_test_gate_full_LDADD = $(gate_libs) $(CMOCKA_LIBS)
tests_unit_test_gate_secure_SOURCES = tests/unit/test_gate_secure.c \
	tests/unit/fault_vfs.c tests/unit/fault_vfs.h $(gate_rig)
tests_unit_test_gate_secure_LDADD = $(gate_libs) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_scopes_oracle
tests_unit_test_scopes_oracle_SOURCES = tests/unit/test_scopes_oracle.c \
	tests/unit/oracle_rig.h tests/unit/pump.h \
	tests/unit/redis_rig.h tests/unit/throttle_random.h
tests_unit_test_scopes_oracle_LDADD = $(gate_libs) $(share_libs) \
	$(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/test_signals_oracle
tests_unit_test_signals_oracle_SOURCES = tests/unit/test_signals_oracle.c \
	tests/unit/oracle_rig.h tests/unit/pump.h \
	tests/unit/redis_rig.h tests/unit/throttle_random.h
tests_unit_test_signals_oracle_LDADD = $(gate_libs) $(share_libs) \
	$(CMOCKA_LIBS)
endif
