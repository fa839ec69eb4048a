# A container of LXC's, called {name}, whose first process is systemd: the programs are this machine's own, all else is bare. It may have
# containers of its own. Nothing is started in it but what is asked for: its own default.target stands in the way of a whole system's.
root=/var/lib/lxc/{name}/rootfs
mkdir -p "$root/etc/systemd/system"
for dir in dev proc root run sys tmp usr var; do mkdir "$root/$dir"; done
for dir in bin lib lib64 sbin; do ln -s "usr/$dir" "$root/$dir"; done
echo root:x:0:0::/root:/bin/sh > "$root/etc/passwd"
echo root:x:0: > "$root/etc/group"
tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
printf '[Unit]\nDefaultDependencies=no\n' > "$root/etc/systemd/system/default.target"
# `force`: on v1 systemd leaves out a controller that is not mounted as it expects.
cat > /var/lib/lxc/{name}/config <<END
lxc.uts.name = {name}
lxc.rootfs.path = dir:$root
lxc.include = /usr/share/lxc/config/nesting.conf
lxc.apparmor.profile = unconfined
lxc.net.0.type = empty
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.mount.entry = /usr usr none bind,ro 0 0
lxc.init.cmd = /lib/systemd/systemd
END
lxc-start -n {name}
timeout 120 sh -c 'until lxc-attach -n {name} -- systemctl is-active default.target; do sleep 0.1; done'
