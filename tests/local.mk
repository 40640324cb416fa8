# What ./bootstrap check asks of the build.
EXTRA_DIST += tests/check.sh tests/try.sh tests/check-includes.sh

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
	WEIR_BUILD=$(abs_builddir) $(srcdir)/tests/bench/bench_relay.py
	@echo "== tls"; \
	WEIR_BUILD=$(abs_builddir) $(srcdir)/tests/bench/bench_tls.py
