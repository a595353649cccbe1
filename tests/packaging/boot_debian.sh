#!/bin/bash
# Boot the systemd of a Debian root ($1) as process 1 of new namespaces. Run it with `unshare`.
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
ip link set lo up
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" 2>/dev/null || {
	mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
}
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do cp -a "/dev/$name" "$root/dev/"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
cd "$root"
mkdir -p former
# After a chroot instead, systemd could not create user namespaces for PrivateUsers=.
pivot_root . former
umount -l /former
exec env -i container=other PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 /lib/systemd/systemd < /dev/null
