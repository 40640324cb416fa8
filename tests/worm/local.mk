# The test worm, for the experiments in network namespaces. Never installed.
noinst_PROGRAMS += tests/worm/worm
tests_worm_worm_SOURCES = tests/worm/worm.c
tests_worm_worm_LDADD = $(base_libs)
