#!/bin/sh
# Runs a command where real engines are: their packages over this machine's /usr and /etc, all that they write on a tmpfs, their processes
# and cgroups in namespaces of their own. Whatever becomes of it, nothing is left: the first process takes the others with it, and with the
# last of them go the mounts; then the cgroups are removed.
#   engines.sh PACKAGES COMMAND..
set -eu

group=headroom-test-engines-$$
hierarchies=$(awk '$(NF-2) ~ /^cgroup2?$/ || $9 ~ /^cgroup2?$/ { print $5 }' /proc/self/mountinfo)

if [ "${1:-}" = --inside ]; then
    shift
    packages=$1
    shift
    mount --make-rprivate /
    mount -t proc proc /proc
    # In a cgroup namespace a new mount shows what is ours alone.
    awk '{ for (at = 7; $at != "-"; at++); if ($(at + 1) ~ /^cgroup2?$/) print $(at + 1), $5, $(at + 3) }' /proc/self/mountinfo |
    while read -r kind place options; do
        umount "$place"
        case $kind in
            cgroup2) mount -t cgroup2 cgroup2 "$place" ;;
            cgroup) mount -t cgroup -o "$(echo "$options" | sed 's/^rw,//')" cgroup "$place" ;;
        esac
    done
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/etc /mnt/work
    mount -t overlay overlay -o "lowerdir=$packages/usr:/usr" /usr
    mount -t overlay overlay -o "lowerdir=$packages/etc:/etc,upperdir=/mnt/etc,workdir=/mnt/work" /etc
    for place in /var/lib /var/log /run; do mount -t tmpfs tmpfs "$place"; done
    ip link set lo up
    exec "$@"
fi

rest() {
    for root in $hierarchies; do
        [ ! -d "$root/$group" ] || find "$root/$group" -depth -type d -exec rmdir {} \; || true
    done
}
trap rest EXIT
for root in $hierarchies; do
    mkdir "$root/$group"
    [ ! -e "$root/$group/cpuset.mems" ] || { cat "$root/cpuset.mems" > "$root/$group/cpuset.mems"; cat "$root/cpuset.cpus" > "$root/$group/cpuset.cpus"; }
done
(
    # A subshell, so that the shell that is left can remove the groups.
    for root in $hierarchies; do sh -c 'echo $PPID' > "$root/$group/cgroup.procs"; done
    exec unshare --mount --pid --fork --kill-child --cgroup --net --uts --ipc "$0" --inside "$@"
)
