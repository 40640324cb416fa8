# The search for inputs that break a fuzz target, called by `make fuzz` with
# SRCDIR, CC, SECONDS, TARGETS, CPPFLAGS, LIBS and MILTER_LIBS. Everything that
# a target may link is compiled again with clang, with coverage and sanitizers,
# into fuzz/.

SANITIZE = address,undefined
CFLAGS = -std=gnu17 -O1 -g -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
INCLUDES = -D_GNU_SOURCE -I. -I$(SRCDIR)/src -I$(SRCDIR)/include \
	-DWEIR_SYSCONFDIR='"/etc"' -DWEIR_RUNSTATEDIR='"/run"' \
	-DWEIR_LOCALSTATEDIR='"/var"'

# All layers, without the mains.
sources := $(filter-out %/main.c %/gen_conf.c, \
	$(wildcard $(SRCDIR)/src/*/*.c))
sources := $(filter-out $(SRCDIR)/src/ctl/% $(SRCDIR)/src/netd/% \
	$(SRCDIR)/src/nfq/%, $(sources))
# Without libmilter its stand-in is taken, as in the build itself.
sources := $(filter-out %/milter/$(if $(MILTER_LIBS),milter_none.c,milter.c), \
	$(sources))
objects := $(sources:$(SRCDIR)/src/%.c=fuzz/obj/%.o)

.PHONY: fuzz has-libfuzzer
.DELETE_ON_ERROR:
.SECONDARY:

# A finding leaves fuzz/<target>-crash-... (or -timeout-, -oom-) behind.
fuzz: has-libfuzzer $(TARGETS:%=fuzz/%)
	@failed=; for t in $(TARGETS); do \
		echo "== $$t, $(SECONDS) s"; \
		mkdir -p fuzz/corpus/$$t; rm -f fuzz/$$t-*-*; \
		fuzz/$$t -max_total_time=$(SECONDS) -max_len=4096 \
			-timeout=10 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=fuzz/$$t- \
			-dict=$(SRCDIR)/tests/fuzz/$$t.dict fuzz/corpus/$$t \
			$(SRCDIR)/tests/fuzz/corpus/$$t >fuzz/$$t.log 2>&1 || \
			{ failed="$$failed $$t"; tail -60 fuzz/$$t.log; }; \
	done; \
	for t in $(TARGETS); do \
		n=$$(sed -n 's/^stat::number_of_executed_units: *//p' \
			fuzz/$$t.log); \
		found=$$(find fuzz -maxdepth 1 -name "$$t-*-*" | wc -l); \
		printf '%-20s %11s executions, %s findings\n' \
			"$$t" "$${n:-?}" "$$found"; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

has-libfuzzer:
	@mkdir -p fuzz
	@echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n);' \
		'int LLVMFuzzerTestOneInput(const char *p, unsigned long n)' \
		'{ return p == 0 && n; }' >fuzz/probe.c
	@$(CC) -fsanitize=fuzzer,$(SANITIZE) -o fuzz/probe fuzz/probe.c \
		>fuzz/probe.log 2>&1 || { \
		echo "make fuzz needs clang with libFuzzer, and $(CC) has none" \
			"here; on Debian 12: apt-get install clang" \
			"libclang-rt-14-dev (log: fuzz/probe.log)" >&2; exit 1; }

fuzz/obj/%.o: $(SRCDIR)/src/%.c
	@mkdir -p $(@D)
	@$(CC) $(INCLUDES) $(CPPFLAGS) $(CFLAGS) -MMD -fsanitize=fuzzer-no-link,$(SANITIZE) \
		-c -o $@ $<

fuzz/libweir-all.a: $(objects)
	@rm -f $@; ar rcs $@ $^

fuzz/fuzz_%: $(SRCDIR)/tests/fuzz/fuzz_%.c fuzz/libweir-all.a
	@echo "building $@"
	@$(CC) $(INCLUDES) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer,$(SANITIZE) -o $@ $^ \
		$(LIBS) $(MILTER_LIBS)

-include $(objects:.o=.d)
