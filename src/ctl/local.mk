bin_PROGRAMS += weirctl
weirctl_SOURCES = \
	src/ctl/change.c \
	src/ctl/client.c \
	src/ctl/ctl.h \
	src/ctl/look.c src/ctl/look.h \
	src/ctl/mail.c \
	src/ctl/main.c \
	src/ctl/table.c src/ctl/table.h \
	src/ctl/text.c src/ctl/text.h \
	src/ctl/watch.c
weirctl_LDADD = libos.la libbase.la $(JANSSON_LIBS)
