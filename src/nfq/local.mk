# The kernel's side of weir-netd: netfilter queues and nftables sets.
if BUILD_NETD
noinst_LTLIBRARIES += libnfq.la
libnfq_la_SOURCES = \
	src/nfq/nfqueue.c src/nfq/nfqueue.h \
	src/nfq/nfset.c src/nfq/nfset.h
libnfq_la_LIBADD = libnet.la libos.la libbase.la $(NFQUEUE_LIBS) $(MNL_LIBS)
endif
