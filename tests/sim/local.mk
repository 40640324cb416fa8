# Deterministic simulation of weir-maild: see tests/sim/sim.h.
SIM_WRAP = -Wl,--wrap=clock_gettime -Wl,--wrap=getrandom -Wl,--wrap=malloc_trim \
	-Wl,--wrap=pthread_create -Wl,--wrap=pthread_join \
	-Wl,--wrap=pthread_mutex_lock -Wl,--wrap=pthread_mutex_unlock \
	-Wl,--wrap=pthread_cond_wait -Wl,--wrap=pthread_cond_timedwait \
	-Wl,--wrap=pthread_cond_signal -Wl,--wrap=socket -Wl,--wrap=bind \
	-Wl,--wrap=listen -Wl,--wrap=accept4 -Wl,--wrap=connect \
	-Wl,--wrap=recv -Wl,--wrap=send -Wl,--wrap=shutdown \
	-Wl,--wrap=getsockopt -Wl,--wrap=setsockopt -Wl,--wrap=getsockname \
	-Wl,--wrap=getpeername -Wl,--wrap=eventfd -Wl,--wrap=read \
	-Wl,--wrap=write -Wl,--wrap=close -Wl,--wrap=poll -Wl,--wrap=fcntl64 \
	-Wl,--wrap=open64 -Wl,--wrap=fsync -Wl,--wrap=flock \
	-Wl,--wrap=fstat64 -Wl,--wrap=stat64 -Wl,--wrap=lstat64 \
	-Wl,--wrap=statvfs64 -Wl,--wrap=ftruncate64 -Wl,--wrap=pread64 \
	-Wl,--wrap=pwrite64 -Wl,--wrap=unlink -Wl,--wrap=unlinkat \
	-Wl,--wrap=rename -Wl,--wrap=mkdir -Wl,--wrap=access -Wl,--wrap=chmod \
	-Wl,--wrap=lchown -Wl,--wrap=opendir -Wl,--wrap=readdir64 \
	-Wl,--wrap=closedir -Wl,--wrap=dirfd \
	-Wl,--wrap=gate_load_wait -Wl,--wrap=spool_load_held \
	-Wl,--wrap=spool_open -Wl,--wrap=spool_close \
	-Wl,--wrap=gate_run -Wl,--wrap=throttle_reserve

EXTRA_PROGRAMS = tests/sim/sim
tests_sim_sim_SOURCES = \
	tests/sim/main.c tests/sim/sim.h \
	tests/sim/core.c tests/sim/disk.c tests/sim/event.c \
	tests/sim/files.c tests/sim/load.c \
	tests/sim/net.c tests/sim/oracle.c tests/sim/vfs.c \
	tests/sim/world.c tests/sim/world.h \
	$(maild_run_sources)
tests_sim_sim_LDADD = $(maild_libs) $(CURL_LIBS)
tests_sim_sim_LDFLAGS = $(AM_LDFLAGS) $(SIM_WRAP)

EXTRA_DIST += tests/sim/run.sh tests/sim/seeds
CLEANFILES += tests/sim/sim

# One seed exactly as before, with SEED= and STEPS= (virtual hours), and with
# V=1 all that happens; or fresh seeds for SIM_SECONDS.
.PHONY: sim
SIM_SECONDS = 60
STEPS = 240
sim: tests/sim/sim
	@if [ -n "$(SEED)" ]; then \
		tests/sim/sim "$(SEED)" "$(STEPS)" $(V:1=-v); \
	else \
		$(srcdir)/tests/sim/run.sh tests/sim/sim \
		    "$(SIM_SECONDS)" "$(STEPS)"; \
	fi
