#!/bin/sh
# Runs a command where real engines are: their packages laid over this machine's /usr and /etc, all that they write on a tmpfs, their
# processes, network and cgroups in namespaces of their own. Nothing is left, whatever becomes of it: the first process takes the others with
# it, with the last of them go the mounts, and then the cgroups are removed.
#   engines.sh PACKAGES COMMAND..
set -eu

# type, place and options of each cgroup hierarchy
hierarchies() {
    awk '{ at = 7; while ($at != "-") at++ } $(at + 1) ~ /^cgroup2?$/ { print $(at + 1), $5, $(at + 3) }' /proc/self/mountinfo
}

# Lets the groups below this one of the v2 tree have every controller that it has; where v1 has them all, there are none.
enable() {
    for controller in $(cat "$1/cgroup.controllers"); do echo "+$controller" > "$1/cgroup.subtree_control" || return 1; done
}

if [ "$1" = --inside ]; then
    packages=$2
    shift 2
    mount --make-rprivate /
    mount -t proc proc /proc
    # What is mounted anew in a cgroup namespace shows what is below us alone.
    hierarchies | while read -r kind place options; do
        umount "$place"
        mount -t "$kind" -o "${options#rw,}" "$kind" "$place"
    done
    # Of v2's groups only those without processes of their own have others below; who started us is told by `init.scope` to go, too. It is
    # systemd's name, since LXC makes its groups beside it, and below any other that PID 1 is in.
    unified=$(hierarchies | awk '$1 == "cgroup2" { print $2 }')
    if [ -n "$unified" ]; then
        mkdir "$unified/init.scope"
        echo $$ > "$unified/init.scope/cgroup.procs"
        until enable "$unified" 2> /dev/null; do sleep 0.05; done
    fi
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/etc /mnt/work /mnt/sys
    # Of /sys what tells of the network: this one's, not the machine's.
    mount -t sysfs sysfs /mnt/sys
    for place in class/net devices/virtual/net; do mount --bind "/mnt/sys/$place" "/sys/$place"; done
    mount -t overlay overlay -o "lowerdir=$packages/usr:/usr" /usr
    mount -t overlay overlay -o "lowerdir=$packages/etc:/etc,upperdir=/mnt/etc,workdir=/mnt/work" /etc
    for place in /var/lib /var/log /run; do mount -t tmpfs tmpfs "$place"; done
    ip link set lo up
    exec "$@"
fi

group=headroom-test-engines-$$
remove() {
    hierarchies | while read -r _ place _; do
        # What was killed just now may take a moment to be gone.
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -d "$place/$group" ] || break
            find "$place/$group" -depth -type d -exec rmdir {} \; || sleep 0.2
        done
    done
}
child=
trap remove EXIT
trap '[ -z "$child" ] || kill -KILL "$child"' INT TERM HUP
hierarchies | while read -r kind place _; do
    [ "$kind" = cgroup ] || enable "$place"
    mkdir "$place/$group"
    # A load in here is to be what it is meant to be, whatever else this machine does.
    for weight in cpu.shares=262144 cpu.weight=10000; do
        [ ! -e "$place/$group/${weight%=*}" ] || echo "${weight#*=}" > "$place/$group/${weight%=*}"
    done
    for file in cpuset.cpus cpuset.mems; do
        [ "$kind" = cgroup2 ] || [ ! -e "$place/$file" ] || cat "$place/$file" > "$place/$group/$file"
    done
done
# In a shell of its own: the one that is left has to be outside to remove the groups.
sh -euc '
    group=$1 self=$2
    shift 2
    while read -r _ place _; do echo $$ > "$place/$group/cgroup.procs"; done
    exec unshare --mount --pid --fork --kill-child --cgroup --net --uts --ipc "$self" --inside "$@" < /dev/null
' sh "$group" "$0" "$@" <<MOUNTS &
$(hierarchies)
MOUNTS
child=$!
unified=$(hierarchies | awk '$1 == "cgroup2" { print $2 }')
if [ -n "$unified" ]; then
    until [ -d "$unified/$group/init.scope" ] || ! kill -0 "$child" 2> /dev/null; do sleep 0.05; done
    echo "$child" > "$unified/cgroup.procs" || true
fi
code=0
wait "$child" || code=$?
# A signal ends the first wait alone.
wait "$child" 2> /dev/null || true
exit "$code"
