# The packaged unit under a real systemd: run as root in a guest that systemd booted. Arguments: the agent, the unit, the page on engines, a
# busybox.
# Two services of systemd are the containers: one that burns CPU and one that idles.
agent=$1 unit=$2 page=$3 busybox=$4
config=/etc/headroom/agent.toml
slice=/sys/fs/cgroup/system.slice
busy=$slice/headroom-test-busy.service/cpu.max
idle=$slice/headroom-test-idle.service/cpu.max
passed=0 failed=0

# --- Tools ---
say() { echo "    $*"; }

# until_true SECONDS COMMAND..: whether it comes true in time. The clock is the kernel's, since forking is slow here.
until_true() {
    end=$(($(uptime_s) + $1)); shift
    while ! "$@"; do
        [ "$(uptime_s)" -lt "$end" ] || { say "not within its time: $*"; return 1; }
        sleep 0.1
    done
}
uptime_s() { read -r up _ </proc/uptime; echo "${up%%.*}"; }

# The quota in a cpu.max as a percentage of a core; 0: none.
quota() { read -r quota period <"$1"; [ "$quota" = max ] && quota=0; echo $((quota * 100 / period)); }
above() { [ "$(quota "$1")" -gt "$2" ]; }
below() { [ "$(quota "$1")" -lt "$2" ] && [ "$(quota "$1")" -gt 0 ]; }
is() { [ "$(quota "$1")" -eq "$2" ]; }

property() { systemctl show --value --property="$1" headroom-agent; }
active() { [ "$(property ActiveState)" = active ]; }
restarted() { active && [ "$(property MainPID)" != "$1" ]; }
# How many lines of the unit's log have this text.
logged() { journalctl --sync 2>/dev/null; journalctl --unit=headroom-agent --output=cat --no-pager | grep -c -- "$1"; }

settings() {
    cat >$config <<END
[agent]
$1
[guardian]
profile = "responsive"
[discovery]
engines = ["systemd"]
[[container]]
name = "headroom-test-*.service"
guard = true
[container.cpu]
min = 10
max = ${2:-150}
boundary = 20
END
}

# --- Tests, in this order ---
it_starts_and_says_that_it_is_ready() {
    systemctl start headroom-agent && active && [ "$(property NRestarts)" = 0 ]
}

its_privileges_do_for_ebpf_and_real_time() {
    until_true 10 counts_by_ebpf && headroom-agent status --json | grep -q '"net_reason":null' || { say "sockets are not counted"; return 1; }
    # Field 41 of a thread's stat is its policy (1: SCHED_FIFO), field 40 its priority; its name has no blanks.
    for stat in /proc/"$(property MainPID)"/task/*/stat; do cut -d ' ' -f 2,40,41 "$stat"; done >/run/policies
    grep -q ' 10 1$' /run/policies || { say "no thread has SCHED_FIFO 10: $(cat /run/policies)"; return 1; }
}

counts_by_ebpf() { headroom-agent status --json | grep -q '"source":"ebpf"'; }

# AF_NETLINK is allowed, and no other namespace has to be entered.
its_privileges_do_for_limits_of_the_network() {
    ip link add uplink0 type veth peer name eth0 netns "$(systemctl show --value --property=MainPID headroom-test-idle)" &&
        tc qdisc add dev uplink0 root tbf rate 50mbit burst 64kb latency 25ms && until_true 40 network_limited
}
network_limited() { headroom-agent status --json | grep -q '"in_container":"eth0","in_host":"uplink0","receive_limit":{"at":50.0}'; }

limits_move_both_ways() { until_true 30 above $busy 100 && until_true 30 below $idle 55; }

a_reload_counts_and_a_bad_one_changes_nothing() {
    pid=$(property MainPID)
    settings '' 110
    systemctl reload headroom-agent && until_true 30 below $busy 111 || return 1
    echo 'nonsense' >>$config
    systemctl reload headroom-agent
    until_true 10 has_logged 'not reloaded' && active && [ "$(property MainPID)" = "$pid" ] && below $busy 111 || return 1
    settings '' 150
    systemctl reload headroom-agent && until_true 30 above $busy 120
}
has_logged() { [ "$(logged "$1")" -gt "${2:-0}" ]; }

what_daemon_reload_reverts_is_put_back() {
    # The manager writes each unit's own CPUQuota= again, here 30%.
    systemctl set-property --runtime headroom-test-busy.service CPUQuota=30% && systemctl daemon-reload
    until_true 30 above $busy 100
}

# The manager writes what set-property says at once, and each unit's own quota again at a reload.
what_systemd_writes_is_put_back() {
    until_true 60 is $idle 50 || return 1
    told=$(logged 'action="Reassert"')
    systemctl set-property --runtime headroom-test-idle.service CPUQuota=80%
    until_true 60 has_logged 'action="Reassert"' "$told" && until_true 60 is $idle 50 || return 1
    told=$(logged 'action="Reassert"')
    systemctl daemon-reload
    until_true 60 has_logged 'action="Reassert"' "$told" && until_true 60 is $idle 50 && until_true 10 counted
}
counted() { "$busybox" wget -qO- http://127.0.0.1:8000/metrics | grep -q '^headroom_foreign_changes_total{container="headroom-test-idle.service"} [1-9]'; }

what_systemd_writes_is_adopted_when_asked_to() {
    settings '[scaler]
on_foreign_change = "adopt"'
    systemctl reload headroom-agent && is_adopted
    code=$?
    settings ''
    systemctl reload headroom-agent && return $code
}
is_adopted() {
    # Not less than it has: the kernel refuses a quota under the burst that the agent has given it.
    systemctl set-property --runtime headroom-test-idle.service CPUQuota=90%
    until_true 60 has_logged 'action="Adopt" from=50 to=90' && until_true 60 has_logged 'action="CpuRescaleDown" from=90' || return 1
    until_true 10 is $idle 50
    systemctl daemon-reload
    until_true 60 has_logged 'action="Adopt" from=50 to=90' 1 && until_true 60 is $idle 50
}

what_hangs_is_killed_and_started_again() {
    until_true 30 below $idle 55 || return 1
    pid=$(property MainPID); lifted=$(logged 'lifted to 150')
    kill -STOP "$pid"
    # The log may be behind what it tells of.
    until_true 40 restarted "$pid" && until_true 10 has_logged 'lifted to 150' "$lifted" && until_true 10 has_logged 'Watchdog timeout'
}

what_is_killed_leaves_no_container_throttled() {
    systemctl reset-failed headroom-agent
    until_true 30 below $idle 55 || return 1
    pid=$(property MainPID)
    kill -KILL "$pid"
    until_true 10 is $idle 150 && until_true 30 restarted "$pid" && until_true 30 below $idle 55
}

what_is_stopped_leaves_no_container_throttled() {
    systemctl stop headroom-agent && [ "$(property ActiveState) $(property Result)" = 'inactive success' ] && is $idle 150
}

on_death_hold_leaves_limits() {
    settings 'on_death = "hold"'
    systemctl start headroom-agent && until_true 30 below $idle 55 && systemctl stop headroom-agent && below $idle 55
}

restore_on_exit_puts_back_what_was_found() {
    settings 'restore_on_exit = true'
    systemctl start headroom-agent && until_true 30 above $busy 100 && systemctl stop headroom-agent || return 1
    # What was adopted last is what counts as found.
    is $busy 30 && is $idle 90
}

it_needs_no_call_that_the_filter_denies() {
    # The same service with the filter only watching: what it would have denied is in the kernel's log.
    mkdir -p /run/systemd/system/headroom-agent.service.d
    printf '[Service]\nSystemCallFilter=\nSystemCallLog=~@system-service bpf\n' >/run/systemd/system/headroom-agent.service.d/log.conf
    systemctl daemon-reload
    systemctl start headroom-agent && until_true 30 above $busy 100 && systemctl stop headroom-agent || return 1
    dmesg | grep 'type=1326' | grep headroom-agent | sed 's/.*\(comm=[^ ]*\).*\(syscall=[0-9]*\).*/\1 \2/' | sort | uniq -c >/run/denied
    [ ! -s /run/denied ] || { say "calls outside of the filter:"; cat /run/denied; return 1; }
}

# blocks LANGUAGE: those of the page's section on systemd.
blocks() {
    awk -v fence="^\`\`\`$1$" '/^## / { section = $2 } section != "systemd" { next } /^```$/ { inside = 0 } inside { print } $0 ~ fence { inside = 1 }' "$page"
}

# A service that has no quota, guarded as the page says.
the_page_guards_a_service() {
    nginx=$slice/nginx.service/cpu.max
    systemctl start nginx && blocks toml >$config && blocks sh >/run/commands || return 1
    [ "$(wc -l </run/commands)" = 2 ] || { say "other commands than these tests know: $(cat /run/commands)"; return 1; }
    sh -euc "$(sed -n 1p /run/commands)" && headroom-agent check --config $config && systemctl start headroom-agent || return 1
    # An idle one has min + 2 x boundary.
    until_true 60 above $nginx 19 && until_true 60 below $nginx 80 || return 1
    idles=$(quota $nginx) told=$(logged 'action="Reassert" from=80')
    sh -euc "$(sed -n 2p /run/commands)" && until_true 60 has_logged 'action="Reassert" from=80' "$told" && until_true 60 is $nginx "$idles" || return 1
    systemctl stop headroom-agent nginx
    settings ''
}

# --- Run ---
cp "$agent" /usr/bin/headroom-agent
cp "$unit" /etc/systemd/system/headroom-agent.service
mkdir -p /etc/headroom
settings ''
container() { # NAME QUOTA COMMAND
    printf '[Service]\nCPUQuota=%s\nExecStart=/bin/sh -c "%s"\n' "$2" "$3" >"/run/systemd/system/headroom-test-$1.service"
}
container busy 30% 'while :; do :; done'
container idle 100% 'sleep infinity'
echo PrivateNetwork=yes >>/run/systemd/system/headroom-test-idle.service
printf '[Service]\nExecStart=/bin/sleep infinity\n' >/run/systemd/system/nginx.service
systemctl daemon-reload
systemctl start headroom-test-busy headroom-test-idle || exit 1

for test in it_starts_and_says_that_it_is_ready its_privileges_do_for_ebpf_and_real_time \
    its_privileges_do_for_limits_of_the_network limits_move_both_ways \
    a_reload_counts_and_a_bad_one_changes_nothing what_daemon_reload_reverts_is_put_back \
    what_systemd_writes_is_put_back what_systemd_writes_is_adopted_when_asked_to what_hangs_is_killed_and_started_again \
    what_is_killed_leaves_no_container_throttled what_is_stopped_leaves_no_container_throttled on_death_hold_leaves_limits \
    restore_on_exit_puts_back_what_was_found the_page_guards_a_service it_needs_no_call_that_the_filter_denies; do
    begin=$(uptime_s)
    if $test; then passed=$((passed + 1)) word=ok; else failed=$((failed + 1)) word=FAILED; fi
    echo "test $test ... $word ($(($(uptime_s) - begin)) s)"
done
if [ $failed -gt 0 ]; then
    echo "busy: $(cat $busy)  idle: $(cat $idle)"
    journalctl --no-pager --output=short-monotonic --unit=headroom-agent | grep -v 'control::journal' | tail -n 60
    headroom-agent status
fi
[ $failed = 0 ] && word=ok || word=FAILED
echo "test result: $word. $passed passed; $failed failed; 0 ignored"
[ $failed = 0 ]
