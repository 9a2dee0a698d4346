#!/bin/sh
# boot.sh ROOT WORK MODE: systemd as the first process of a pid namespace, in
# the root file system that is made at ROOT, of the machine's own programs. WORK
# is visible there under its own path. MODE is "legacy", all v1 hierarchies
# of the machine and systemd's own, or "unified". user@1000.service is the
# systemd of an ordinary user, which somebody has to start.
#
# The caller has made namespaces of all kinds but users and networks.
set -e
root=$1 work=$2 mode=$3

mount --make-rprivate /
mount -t tmpfs none "$root"
for dir in usr bin sbin lib lib64; do
	if [ -L /$dir ]; then
		ln -s "$(readlink /$dir)" "$root/$dir"
	elif [ -d /$dir ]; then
		mkdir "$root/$dir"
		mount --rbind /$dir "$root/$dir"
	fi
done
mkdir -p "$root/etc/systemd/system" "$root/etc/systemd/user" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/var" "$root/root" "$root$work"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"
for of in system user; do
	printf '[Unit]\nDescription=nothing but systemd\nDefaultDependencies=no\n' >"$root/etc/systemd/$of/bare.target"
done
# The distribution's, but for PAM and what depends on it.
cat >"$root/etc/systemd/system/user@1000.service" <<END
[Unit]
DefaultDependencies=no
[Service]
User=1000
Type=notify
ExecStart=/lib/systemd/systemd --user --unit=bare.target
Environment=XDG_RUNTIME_DIR=/run/user/1000
Slice=user-1000.slice
KillMode=mixed
Delegate=pids memory cpu
END
mount -t proc proc "$root/proc"
mount -t tmpfs none "$root/run"
mkdir -p "$root/run/user/1000"
chown 1000:1000 "$root/run/user/1000"
mount -t tmpfs none "$root/sys"
mount --rbind /dev "$root/dev"
mount --bind "$work" "$root$work"

cgroups=$root/sys/fs/cgroup
mkdir -p "$cgroups"
if [ "$mode" = unified ]; then
	mount -t cgroup2 cgroup2 "$cgroups"
else
	mount -t tmpfs none "$cgroups"
	cut -d: -f2 /proc/self/cgroup | while read -r controllers; do
		case $controllers in
		"" | name=*) continue ;;
		esac
		mkdir "$cgroups/$controllers"
		mount -t cgroup -o "$controllers" cgroup "$cgroups/$controllers"
	done
	mkdir "$cgroups/systemd"
	mount -t cgroup -o none,name=systemd cgroup "$cgroups/systemd"
fi
# Not chroot: who enters the mount namespace comes to its root.
cd "$root"
pivot_root . .
umount -l .
exec env -i container=test PATH="$PATH" /lib/systemd/systemd --system --unit=bare.target --log-target=console --show-status=no
