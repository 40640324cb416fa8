# Sample configuration, systemd's files, completion, examples.
systemdsystemunitdir = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
completionsdir = $(datadir)/bash-completion/completions

EXTRA_DIST += etc/weir.conf etc/weir-maild.service.in \
	etc/weir.sysusers.conf etc/weir.tmpfiles.conf \
	contrib/weirctl.bash
CLEANFILES += etc/weir-maild.service etc/weir.conf.sample \
	contrib/weirctl contrib/weir-replay sysusers.d/weir.conf tmpfiles.d/weir.conf

nodist_systemdsystemunit_DATA = etc/weir-maild.service
nodist_sysusers_DATA = sysusers.d/weir.conf
nodist_tmpfiles_DATA = tmpfiles.d/weir.conf
nodist_completions_DATA = contrib/weirctl contrib/weir-replay
nodist_doc_DATA = etc/weir.conf.sample
dist_doc_DATA += contrib/freeze-mail.sh contrib/prometheus-rules.yml \
	contrib/grafana-weir-maild.json contrib/grafana-weir-netd.json \
	contrib/weir-decide.py contrib/weir-decide.sh \
	contrib/two-relays.sh

etc/weir-maild.service: etc/weir-maild.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && \
	sed -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/etc/weir-maild.service.in > $@

sysusers.d/weir.conf: etc/weir.sysusers.conf
	$(AM_V_GEN)$(MKDIR_P) sysusers.d && \
	cp $(srcdir)/etc/weir.sysusers.conf $@

tmpfiles.d/weir.conf: etc/weir.tmpfiles.conf
	$(AM_V_GEN)$(MKDIR_P) tmpfiles.d && \
	cp $(srcdir)/etc/weir.tmpfiles.conf $@

contrib/weirctl contrib/weir-replay: contrib/weirctl.bash
	$(AM_V_GEN)$(MKDIR_P) contrib && cp $(srcdir)/contrib/weirctl.bash $@

# As it fits where this build is installed.
etc/weir.conf.sample: weir-conf-doc$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) etc && \
	./weir-conf-doc$(EXEEXT) --sample > $@.tmp && mv -f $@.tmp $@

# Writes the sample in the source, with the usual directories, after the table
# of options was changed; test_config compares.
.PHONY: update-sample
update-sample: weir-conf-doc$(EXEEXT)
	./weir-conf-doc$(EXEEXT) --sample | \
	sed -e 's|"$(runstatedir)/|"/run/|' -e 's|"$(localstatedir)/|"/var/|' \
		-e 's|"$(sysconfdir)/|"/etc/|' > $(srcdir)/etc/weir.conf

# A configuration that is there is never touched.
install-data-local: etc/weir.conf.sample
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)/weir'
	test -e '$(DESTDIR)$(sysconfdir)/weir/weir.conf' || \
	$(INSTALL_DATA) etc/weir.conf.sample \
		'$(DESTDIR)$(sysconfdir)/weir/weir.conf'

# One that nobody has changed goes.
uninstall-local: etc/weir.conf.sample
	if cmp -s etc/weir.conf.sample \
	    '$(DESTDIR)$(sysconfdir)/weir/weir.conf'; then \
		rm -f '$(DESTDIR)$(sysconfdir)/weir/weir.conf'; \
	fi

EXTRA_DIST += etc/weir-netd.service.in etc/weir-netd.conf
dist_doc_DATA += contrib/weir-netd-workstation.conf \
	contrib/weir-netd-server.conf contrib/weir-netd-gateway.conf \
	contrib/weir-netd-containers.conf
if BUILD_NETD
CLEANFILES += etc/weir-netd.service etc/weir-netd.conf.sample
nodist_systemdsystemunit_DATA += etc/weir-netd.service
nodist_doc_DATA += etc/weir-netd.conf.sample
CLEANFILES += contrib/weir-netd
nodist_completions_DATA += contrib/weir-netd

contrib/weir-netd: contrib/weirctl.bash
	$(AM_V_GEN)$(MKDIR_P) contrib && cp $(srcdir)/contrib/weirctl.bash $@

etc/weir-netd.service: etc/weir-netd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc && \
	sed -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/etc/weir-netd.service.in > $@

etc/weir-netd.conf.sample: netd-conf-doc$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) etc && \
	./netd-conf-doc$(EXEEXT) --sample > $@.tmp && mv -f $@.tmp $@

# As update-sample.
update-netd-sample: netd-conf-doc$(EXEEXT)
	./netd-conf-doc$(EXEEXT) --sample | \
	sed -e 's|"$(runstatedir)/|"/run/|' -e 's|"$(localstatedir)/|"/var/|' \
		-e 's|"$(sysconfdir)/|"/etc/|' > $(srcdir)/etc/weir-netd.conf
endif
