# What ./bootstrap check asks of the build.
EXTRA_DIST += tests/make_mail_log.py .ci/run tests/check.sh tests/check-includes.sh \
	tests/check-log.py \
	tests/count-names.py \
	tests/check-words.py \
	tests/check-builds.sh tests/check-release.sh tests/clang-flags \
	tests/cppcheck.suppress tests/libweir_user.c \
	tests/try.sh tests/outbreak.py .clang-format \
	tests/bench/bench_api.py \
	tests/bench/bench_auth.py tests/bench/bench_cluster.py \
	tests/bench/bench_commands.py \
	tests/bench/bench_cores.py tests/bench/bench_growth.py \
	tests/bench/bench_limits.py \
	tests/bench/bench_milter.py tests/bench/bench_netd.py \
	tests/bench/bench_relay.py tests/bench/bench_sizing.py \
	tests/bench/bench_tls.py

# Not by EXTRA_DIST, which would take what is built or cached there as well.
dist-hook:
	$(MKDIR_P) $(distdir)/tests/e2e/dialogues
	cp -p $(srcdir)/tests/e2e/*.py $(srcdir)/tests/e2e/*.c \
		$(distdir)/tests/e2e
	cp -p $(srcdir)/tests/e2e/dialogues/* $(distdir)/tests/e2e/dialogues

.PHONY: check-programs print-check-programs bench
check-programs: $(check_PROGRAMS)
print-check-programs:
	@echo $(check_PROGRAMS)

# Speed is measured here and never asserted in a test.
bench: all
	@for b in $(BENCHES); do \
		echo "== $$b"; ./$$b || exit 1; \
	done
	@echo "== relay"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_relay.py
	@echo "== a second core"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_cores.py
	@echo "== several relays"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_cluster.py
	@echo "== tls"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_tls.py
	@echo "== logins"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_auth.py
	@echo "== limits"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_limits.py
	@echo "== weir-netd"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_netd.py
if HAVE_MILTER
	@echo "== milter"; \
	WEIR_BUILD=$(abs_builddir) /usr/bin/python3 \
	    $(srcdir)/tests/bench/bench_milter.py

noinst_PROGRAMS += null-milter
null_milter_SOURCES = tests/bench/null_milter.c
null_milter_LDADD = $(MILTER_LIBS) -lpthread
endif
