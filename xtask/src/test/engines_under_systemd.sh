#!/bin/sh
# Runs a command where real engines are, in a guest that systemd booted: they ask it for their containers' cgroups, as they do where people run
# them. Their packages are laid over the guest's /usr and /etc, and what they store is on tmpfs; the guest ends with the command.
#   engines_under_systemd.sh PACKAGES COMMAND..
set -eu
packages=$1
shift
mount -t tmpfs tmpfs /mnt
mkdir /mnt/etc /mnt/work
mount -t overlay overlay -o "lowerdir=$packages/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$packages/etc:/etc,upperdir=/mnt/etc,workdir=/mnt/work" /etc
for place in /var/lib/docker /var/lib/containerd /var/lib/containers; do
    mkdir -p "$place"
    mount -t tmpfs tmpfs "$place"
done
exec "$@"
