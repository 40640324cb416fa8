bin_PROGRAMS += weirctl
weirctl_SOURCES = \
	src/ctl/access.c \
	src/ctl/alert.c \
	src/ctl/change.c \
	src/ctl/client.c \
	src/ctl/ctl.h \
	src/ctl/learn.c \
	src/ctl/look.c src/ctl/look.h \
	src/ctl/mail.c \
	src/ctl/main.c \
	src/ctl/problems.c \
	src/ctl/reach.c src/ctl/reach.h \
	src/ctl/table.c src/ctl/table.h \
	src/ctl/text.c src/ctl/text.h \
	src/ctl/trial.c \
	src/ctl/watch.c
weirctl_LDADD = $(os_libs) $(JANSSON_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/test_ctl_reach tests/unit/test_ctl_text
tests_unit_test_ctl_reach_SOURCES = tests/unit/test_ctl_reach.c \
	src/ctl/reach.c
tests_unit_test_ctl_reach_LDADD = $(os_libs) $(CMOCKA_LIBS)
tests_unit_test_ctl_text_SOURCES = tests/unit/test_ctl_text.c \
	src/ctl/table.c src/ctl/text.c
tests_unit_test_ctl_text_LDADD = $(os_libs) $(CMOCKA_LIBS)
endif
