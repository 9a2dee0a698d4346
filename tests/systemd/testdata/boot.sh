#!/bin/sh
# boot.sh ROOT WORK MODE: systemd as the first process of a pid namespace, in
# the root file system that is made at ROOT, of the machine's own programs. WORK
# is visible there under its own path. MODE is "legacy", all v1 hierarchies
# of the machine and systemd's own, or "unified".
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
mkdir -p "$root/etc/systemd/system" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/var" "$root/root" "$root$work"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"
printf '[Unit]\nDescription=nothing but systemd\nDefaultDependencies=no\n' >"$root/etc/systemd/system/bare.target"
mount -t proc proc "$root/proc"
mount -t tmpfs none "$root/run"
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
