//! A capable host, from which each test takes one thing away.

use super::super::places::Listening;
use super::*;
use crate::host::capabilities::Capabilities;
use crate::host::probe::Btf;
use crate::host::realtime::Realtime;

fn capable() -> (Facts, Tried) {
    let controllers = Controller::ALL.into_iter().map(|controller| (controller, Version::V2)).collect();
    let facts = Facts {
        release: "6.12.1".into(),
        btf: Some(Btf { sched_stat_runtime: true, ring_buffer: true }),
        cgroups: Ok(Cgroups { mode: Mode::V2, cpu_root: "/sys/fs/cgroup".into(), controllers, read_only: None }),
        whole_cgroup_tree: Some(true),
        capabilities: Capabilities::ALL,
        realtime: Some(Realtime { version: Version::V2, groups: Some(false), cgroup: "/".into(), runtime_us: None }),
        online: Ok((0..4).collect()),
        memlock: None,
        inotify_watches: Some(100_000),
        inotify_instances: Some(128),
    };
    (facts, Tried { config: None, ebpf: Ok(None) })
}

/// What is not as it should be, and the outcome, once `take` has taken something away.
fn lacking(take: impl FnOnce(&mut Facts, &mut Tried)) -> (Vec<(&'static str, Level)>, Outcome) {
    let (mut facts, mut tried) = capable();
    take(&mut facts, &mut tried);
    let report = decide(&facts, &tried);
    for finding in &report.findings {
        assert!(!finding.found.is_empty() && !finding.means.is_empty(), "{finding:?}");
        assert!(finding.level == Level::Ok || finding.todo.is_some(), "says nothing to do: {finding:?}");
    }
    let lacking = report.findings.iter().filter(|finding| finding.level != Level::Ok);
    (lacking.map(|finding| (finding.subject, finding.level)).collect(), report.outcome)
}

/// The same where the kernel side does not load for it.
fn lacking_ebpf(take: impl FnOnce(&mut Facts)) -> (Vec<(&'static str, Level)>, Outcome) {
    lacking(|facts, tried| {
        take(facts);
        tried.ebpf = Err("the kernel refused it".into());
    })
}

fn cgroups(facts: &mut Facts) -> &mut Cgroups {
    facts.cgroups.as_mut().unwrap()
}

fn without(capability: Capability) -> impl Fn(&mut Facts) {
    move |facts| facts.capabilities = facts.capabilities.without(capability)
}

#[test]
fn a_capable_host_lacks_nothing() {
    assert_eq!(lacking(|_, _| {}), (vec![], Outcome::Ebpf));
    assert_eq!([Outcome::Ebpf, Outcome::Cgroupfs, Outcome::No].map(Outcome::exit_status), [0, 2, 1]);
}

#[test]
fn without_limits_to_move_it_would_not_work() {
    let bad = |subject| (vec![(subject, Level::Bad)], Outcome::No);
    assert_eq!(lacking(|facts, _| facts.cgroups = Err("nothing is mounted".into())), bad("cgroups"));
    let no_cpu = |facts: &mut Facts| cgroups(facts).controllers.retain(|(controller, _)| *controller != Controller::Cpu);
    assert_eq!(lacking(|facts, _| no_cpu(facts)), bad("cgroups"));
    assert_eq!(lacking(|facts, _| cgroups(facts).read_only = Some("Read-only file system".into())), bad("writing"));
    assert_eq!(lacking(|facts, _| facts.online = Err("no /sys".into())), bad("CPUs"));
}

#[test]
fn without_ebpf_it_works_from_cgroupfs() {
    let with = |subject| (vec![(subject, Level::Less), ("eBPF", Level::Less)], Outcome::Cgroupfs);
    assert_eq!(lacking_ebpf(|facts| facts.btf = None), with("BTF"));
    let btf = |sched_stat_runtime, ring_buffer| Some(Btf { sched_stat_runtime, ring_buffer });
    assert_eq!(lacking_ebpf(|facts| facts.btf = btf(false, true)), with("BTF"));
    assert_eq!(lacking_ebpf(|facts| facts.btf = btf(true, false)), with("BTF"));
    assert_eq!(lacking_ebpf(|facts| facts.release = "5.4.0".into()), with("kernel"));
    for capability in [Capability::Bpf, Capability::Perfmon] {
        let take = |facts: &mut Facts| {
            without(capability)(facts);
            without(Capability::SysAdmin)(facts);
        };
        assert_eq!(lacking_ebpf(take), with("privileges"));
    }
    assert_eq!(lacking_ebpf(|_| {}), (vec![("eBPF", Level::Less)], Outcome::Cgroupfs));
}

#[test]
fn on_v1_something_must_count() {
    let v1 = |facts: &mut Facts| {
        cgroups(facts).mode = Mode::V1;
        cgroups(facts).controllers = [Controller::Cpu, Controller::Memory, Controller::Io].map(|of| (of, Version::V1)).to_vec();
    };
    assert_eq!(lacking(|facts, _| v1(facts)), (vec![], Outcome::Ebpf));
    assert_eq!(lacking_ebpf(v1), (vec![("eBPF", Level::Bad)], Outcome::No));
    let counted = |facts: &mut Facts| {
        v1(facts);
        cgroups(facts).controllers.push((Controller::CpuAcct, Version::V1));
    };
    assert_eq!(lacking_ebpf(counted), (vec![("eBPF", Level::Less)], Outcome::Cgroupfs));
}

#[test]
fn one_privilege_may_stand_for_others() {
    assert_eq!(lacking(|facts, _| without(Capability::SysAdmin)(facts)), (vec![], Outcome::Ebpf));
    assert_eq!(lacking(|facts, _| without(Capability::Bpf)(facts)), (vec![], Outcome::Ebpf));
    assert_eq!(lacking(|facts, _| without(Capability::SysResource)(facts)), (vec![], Outcome::Ebpf));
    assert_eq!(lacking(|facts, _| without(Capability::IpcLock)(facts)), (vec![], Outcome::Ebpf));
    assert_eq!(lacking(|facts, _| facts.memlock = Some(8 << 20)), (vec![], Outcome::Ebpf));
}

#[test]
fn what_makes_it_less_good_does_not_stop_it() {
    let less = |subject| (vec![(subject, Level::Less)], Outcome::Ebpf);
    assert_eq!(lacking(|facts, _| without(Capability::SysNice)(facts)), less("real time"));
    assert_eq!(lacking(|facts, _| without(Capability::DacOverride)(facts)), less("delegation"));
    let outside_the_root = |facts: &mut Facts| {
        let cgroup = "/system.slice/headroom-agent.service".into();
        facts.realtime = Some(Realtime { version: Version::V2, groups: Some(true), cgroup, runtime_us: None });
    };
    assert_eq!(lacking(|facts, _| outside_the_root(facts)), less("real time"));
    let no_locking = |facts: &mut Facts| {
        without(Capability::IpcLock)(facts);
        facts.memlock = Some(8 << 20);
    };
    assert_eq!(lacking(|facts, _| no_locking(facts)), less("locked memory"));
    assert_eq!(lacking(|facts, _| facts.whole_cgroup_tree = Some(false)), less("cgroup tree"));
    assert_eq!(lacking(|facts, _| facts.inotify_watches = Some(128)), less("inotify"));
    assert_eq!(lacking(|facts, _| facts.inotify_watches = None), less("inotify"));
    assert_eq!(lacking(|facts, _| facts.inotify_instances = Some(0)), less("inotify"));
    let no_memory = |facts: &mut Facts| cgroups(facts).controllers.retain(|(controller, _)| *controller != Controller::Memory);
    assert_eq!(lacking(|facts, _| no_memory(facts)), less("cgroups"));
    let no_disks = |facts: &mut Facts| cgroups(facts).controllers.retain(|(controller, _)| *controller != Controller::Io);
    assert_eq!(lacking(|facts, _| no_disks(facts)), less("cgroups"));
}

#[test]
fn the_network_is_counted_at_sockets_or_read_from_interfaces() {
    let uncounted = |take: fn(&mut Facts)| {
        let (mut facts, tried) = (capable().0, Tried { config: None, ebpf: Ok(Some("CAP_NET_ADMIN is missing".into())) });
        take(&mut facts);
        let report = decide(&facts, &tried);
        assert_eq!(report.outcome, Outcome::Ebpf, "limits are moved all the same");
        report.findings.into_iter().find(|finding| finding.subject == "network").unwrap()
    };
    let found = uncounted(|facts| without(Capability::NetAdmin)(facts));
    assert_eq!(found.found, "read from interfaces, not counted at sockets: CAP_NET_ADMIN is missing");
    assert_eq!((found.level, found.todo.as_deref()), (Level::Less, Some("run as root, or with CAP_NET_ADMIN")));
    // Nothing to do about v1, or about a kernel that refuses for a reason of its own.
    assert_eq!(uncounted(|facts| cgroups(facts).mode = Mode::Hybrid).level, Level::Ok);
    assert_eq!(uncounted(|_| {}).level, Level::Ok);
    assert_eq!(uncounted(|facts| without(Capability::SysPtrace)(facts)).level, Level::Less);
    // Sockets are counted whatever a process may see.
    assert_eq!(lacking(|facts, _| without(Capability::SysPtrace)(facts)), (vec![], Outcome::Ebpf));
}

fn configured(source: Option<SourceKind>, change: impl FnOnce(&mut Places)) -> (PathBuf, Result<Configured, String>) {
    let mut places = Places {
        state_dir: ("/var/lib/headroom".into(), Ok(())),
        token: Some(("/etc/headroom/token".into(), Ok(()))),
        listen: Some(("127.0.0.1:8000".parse().unwrap(), Listening::Free)),
        socket: Some(("/run/headroom/agent.sock".into(), Listening::Free)),
    };
    change(&mut places);
    ("agent.toml".into(), Ok(Configured { source, places }))
}

#[test]
fn the_configuration_is_checked_and_may_force_a_source() {
    let config = |source| Some(configured(source, |_| {}));
    let bad = |subject| (vec![(subject, Level::Bad)], Outcome::No);
    assert_eq!(lacking(|_, tried| tried.config = config(None)), (vec![], Outcome::Ebpf));
    let wrong = Some(("agent.toml".into(), Err("line 3: unknown key".into())));
    assert_eq!(lacking(|_, tried| tried.config = wrong), bad("config"));
    assert_eq!(lacking(|_, tried| tried.config = config(Some(SourceKind::Cgroupfs))), (vec![], Outcome::Cgroupfs));
    assert_eq!(lacking(|_, tried| tried.config = config(Some(SourceKind::Ebpf))), (vec![], Outcome::Ebpf));
    let forced_in_vain = |_: &mut Facts, tried: &mut Tried| {
        tried.config = config(Some(SourceKind::Ebpf));
        tried.ebpf = Err("no BTF".into());
    };
    assert_eq!(lacking(forced_in_vain), bad("eBPF"));
}

#[test]
fn the_places_of_the_configuration_have_to_do() {
    let places = |change: fn(&mut Places)| lacking(|_, tried| tried.config = Some(configured(None, change)));
    let bad = |subject| (vec![(subject, Level::Bad)], Outcome::No);
    let taken = || Listening::Not("something else listens there".into());
    assert_eq!(places(|places| places.state_dir.1 = Err("/var: is no directory".into())), bad("state dir"));
    assert_eq!(places(|places| places.token = Some(("/t".into(), Err("too short".into())))), bad("token"));
    assert_eq!(
        lacking(|_, tried| tried.config = Some(configured(None, |p| p.listen.as_mut().unwrap().1 = taken()))),
        bad("API port")
    );
    assert_eq!(
        lacking(|_, tried| tried.config = Some(configured(None, |p| p.socket.as_mut().unwrap().1 = taken()))),
        bad("API socket")
    );
    let runs_already = |places: &mut Places| {
        places.listen.as_mut().unwrap().1 = Listening::Agent;
        (places.socket, places.token) = (None, None);
    };
    assert_eq!(places(runs_already), (vec![], Outcome::Ebpf));
}
