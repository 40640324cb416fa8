# Manual pages. That of weir.conf is made from the table of options.
dist_man_MANS += doc/weirctl.1 doc/weir-maild.8 doc/weir-replay.1
nodist_man_MANS += doc/weir.conf.5
EXTRA_DIST += doc/dashboard-light.png doc/dashboard-dark.png
EXTRA_DIST += doc/weir.conf.5.in doc/testing.md doc/architecture.md \
	doc/epidemic.md
CLEANFILES += doc/weir.conf.5

doc/weir.conf.5: doc/weir.conf.5.in weir-conf-doc$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc && \
	./weir-conf-doc$(EXEEXT) --mdoc > $@.options && \
	./weir-conf-doc$(EXEEXT) --limits > $@.limits && \
	sed -e '/^@OPTIONS@$$/{r $@.options' -e 'd;}' \
		-e '/^@LIMITS@$$/{r $@.limits' -e 'd;}' \
		$(srcdir)/doc/weir.conf.5.in > $@.tmp && \
	rm -f $@.options $@.limits && mv -f $@.tmp $@

# That of the log is made from the table of its events.
EXTRA_DIST += doc/weir-log.5.in
nodist_man_MANS += doc/weir-log.5
CLEANFILES += doc/weir-log.5

doc/weir-log.5: doc/weir-log.5.in weir-log-doc$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc && \
	./weir-log-doc$(EXEEXT) --events > $@.events && \
	./weir-log-doc$(EXEEXT) --keys > $@.keys && \
	sed -e '/^@EVENTS@$$/{r $@.events' -e 'd;}' \
		-e '/^@KEYS@$$/{r $@.keys' -e 'd;}' \
		$(srcdir)/doc/weir-log.5.in > $@.tmp && \
	rm -f $@.events $@.keys && mv -f $@.tmp $@

EXTRA_DIST += doc/weir-netd.conf.5.in doc/netd-trial.md
if BUILD_NETD
dist_man_MANS += doc/weir-netd.8
nodist_man_MANS += doc/weir-netd.conf.5
CLEANFILES += doc/weir-netd.conf.5

doc/weir-netd.conf.5: doc/weir-netd.conf.5.in netd-conf-doc$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc && \
	./netd-conf-doc$(EXEEXT) --mdoc > $@.options && \
	sed -e '/^@OPTIONS@$$/{r $@.options' -e 'd;}' \
		$(srcdir)/doc/weir-netd.conf.5.in > $@.tmp && \
	rm -f $@.options && mv -f $@.tmp $@
endif
dist_doc_DATA += doc/api.md doc/replay.md doc/replay-example.html doc/install.md doc/policies.md doc/cluster.md doc/postfix.md doc/sendmail.md doc/exim.md \
	doc/exchange.md \
	doc/dashboard.md doc/metrics.md doc/providers.md doc/alerts.md doc/interop.md doc/defences.md \
	contrib/postfix-main.cf contrib/postfix-master.cf \
	contrib/postfix-master-copies.cf \
	contrib/sendmail.mc contrib/exim.conf \
	contrib/weir-hold contrib/weir-hold.socket contrib/weir-hold@.service \
	contrib/Containerfile contrib/weir-container.conf
