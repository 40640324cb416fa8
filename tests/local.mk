# What ./bootstrap check asks of the build.
EXTRA_DIST += tests/check.sh tests/try.sh tests/check-includes.sh

.PHONY: check-programs print-check-programs bench
check-programs: $(check_PROGRAMS)
print-check-programs:
	@echo $(check_PROGRAMS)
