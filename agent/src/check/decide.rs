//! What the facts mean. Pure.

mod places;

use std::path::PathBuf;

use super::places::Places;
use crate::cgroup::{Controller, Mode, Version};
use crate::host::capabilities::Capability;
use crate::host::probe::{Cgroups, Facts};
use crate::host::realtime::Realtime;
use crate::sampler::SourceKind;

/// The oldest kernel that everything is tested on.
const FLOOR: (u32, u32) = (6, 1);

/// What it takes to keep the control thread's memory where it is, in bytes, generously.
const LOCKED: u64 = 64 << 20;

/// As many directories as a host with thousands of containers has: what kernels granted before they went by memory.
const WATCHES: u64 = 8192;

/// What was tried beside the probing.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The configuration, where one was named: what it says, or what is wrong.
    pub config: Option<(PathBuf, Result<Configured, String>)>,
    /// Loading and attaching the kernel side: why it does not count bytes of sockets, where that is so; or what is missing.
    pub ebpf: Result<Option<String>, String>,
}

/// What a configuration says that matters here.
#[derive(Clone, Debug)]
pub struct Configured {
    /// `sampler.source`, where it forces one.
    pub source: Option<SourceKind>,
    /// What was found at the places that it names.
    pub places: Places,
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, with less.
    Less,
    /// Does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What.
    pub subject: &'static str,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What that means.
    pub means: String,
    /// What to do; `None` where nothing needs to be done.
    pub todo: Option<String>,
}

/// Whether `run` would work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Yes, counting CPU time by eBPF.
    Ebpf,
    /// Yes, reading CPU time from cgroupfs.
    Cgroupfs,
    /// No.
    No,
}

impl Outcome {
    /// Of the command.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Ebpf => 0,
            Self::No => 1,
            Self::Cgroupfs => 2,
        }
    }
}

/// Everything that is told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Whether `run` would work.
    pub outcome: Outcome,
    /// Each thing that was looked at.
    pub findings: Vec<Finding>,
}

impl Finding {
    fn new(subject: &'static str, level: Level, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { subject, level, found: found.into(), means: means.into(), todo: None }
    }

    fn todo(self, todo: impl Into<String>) -> Self {
        Self { todo: Some(todo.into()), ..self }
    }
}

/// Judges the facts.
pub fn decide(facts: &Facts, tried: &Tried) -> Report {
    let configured = tried.config.as_ref().and_then(|(_, read)| read.as_ref().ok());
    let forced = configured.and_then(|configured| configured.source);
    let mut findings = Vec::new();
    findings.extend(config(tried));
    findings.extend(configured.into_iter().flat_map(|configured| places::findings(&configured.places)));
    findings.push(kernel(facts));
    match &facts.cgroups {
        Ok(cgroups) => findings.extend([controllers(cgroups), writing(cgroups)]),
        Err(why) => findings.push(
            Finding::new("cgroups", Level::Bad, why.clone(), "there are no limits to be moved")
                .todo("mount cgroup2 (systemd does), or the v1 cpu controller, in the namespace that the agent runs in"),
        ),
    }
    findings.extend([namespace(facts), cpus(facts), btf(facts), bpf_privileges(facts), ebpf(facts, tried, forced)]);
    findings.extend([realtime(facts), memlock(facts), delegated(facts), network(facts, tried, forced), watches(facts)]);

    let works = findings.iter().all(|finding| finding.level != Level::Bad);
    let outcome = match (works, forced, &tried.ebpf) {
        (false, _, _) => Outcome::No,
        (true, Some(SourceKind::Cgroupfs), _) | (true, _, Err(_)) => Outcome::Cgroupfs,
        (true, _, Ok(_)) => Outcome::Ebpf,
    };
    Report { outcome, findings }
}

fn config(tried: &Tried) -> Option<Finding> {
    let (path, read) = tried.config.as_ref()?;
    Some(match read {
        Ok(_) => Finding::new("config", Level::Ok, path.display().to_string(), "every key is known and makes sense"),
        Err(why) => {
            Finding::new("config", Level::Bad, why.clone(), "the agent would not start with it").todo("put it right as said")
        }
    })
}

fn kernel(facts: &Facts) -> Finding {
    let finding = |level, means: &str| Finding::new("kernel", level, facts.release.clone(), means);
    match facts.version() {
        Some(version) if version >= FLOOR => finding(Level::Ok, "one of those that Headroom is tested on, or newer"),
        Some(_) => finding(Level::Less, "older than any that Headroom is tested on; what is missing is found out by trying")
            .todo(format!("Linux {}.{} or newer", FLOOR.0, FLOOR.1)),
        None => finding(Level::Less, "not a release that says how new the kernel is; what is missing is found out by trying"),
    }
}

fn controllers(cgroups: &Cgroups) -> Finding {
    let list: Vec<_> = cgroups.controllers.iter().map(|(controller, version)| controller.key(*version)).collect();
    let interface = match cgroups.mode {
        Mode::V1 => "v1",
        Mode::V2 => "v2",
        Mode::Hybrid => "v1 beside an empty v2 tree (hybrid)",
    };
    let found = format!("{interface}: {}", if list.is_empty() { "no controller".to_owned() } else { list.join(", ") });
    let finding = |level, means: &str| Finding::new("cgroups", level, found.clone(), means);
    let missing = |controller| cgroups.version(controller).is_none();
    let root = cgroups.cpu_root.display();
    if missing(Controller::Cpu) {
        return finding(Level::Bad, "without the cpu controller there is no CPU limit to be moved")
            .todo(format!("see what {root}/cgroup.controllers says, and that no v1 hierarchy or cgroup_disable= has taken it"));
    }
    if missing(Controller::Memory) {
        return finding(Level::Less, "memory can be neither guarded nor reported")
            .todo("remove cgroup_disable=memory from the kernel's command line, or mount the controller");
    }
    if missing(Controller::Io) {
        return finding(Level::Less, "disks can be neither guarded nor reported; CPU and memory can")
            .todo("mount the io controller (v1: blkio), or enable it where the tree's top does not have it");
    }
    if cgroups.version(Controller::Memory) == Some(Version::V1) {
        return finding(
            Level::Ok,
            "CPU, memory and disks can be guarded; on v1 memory is not lowered unless scaler.lower_memory_v1 asks for it, since a \
             limit there kills, and of disks only what goes past the page cache is seen",
        );
    }
    finding(Level::Ok, "CPU, memory and disks can be guarded")
}

fn writing(cgroups: &Cgroups) -> Finding {
    let root = cgroups.cpu_root.display();
    match &cgroups.read_only {
        None => Finding::new("writing", Level::Ok, format!("{root} is writable"), "limits can be set"),
        Some(why) => Finding::new("writing", Level::Bad, format!("{root}: {why}"), "no limit can be set").todo(
            "run as root, with cgroupfs mounted read-write (in a systemd unit no ProtectControlGroups=; in a container the \
             host's cgroup mount)",
        ),
    }
}

fn namespace(facts: &Facts) -> Finding {
    let finding = |level, found: &str, means: &str| Finding::new("cgroup tree", level, found, means);
    match facts.whole_cgroup_tree {
        Some(true) => finding(Level::Ok, "the host's cgroup namespace", "all containers of the host can be seen"),
        Some(false) => finding(Level::Less, "a cgroup namespace of its own", "only what lies in this container is seen")
            .todo("run the agent on the host, or its container with the host's namespace (--cgroupns=host)"),
        None => {
            finding(Level::Less, "the kernel has no cgroup namespaces, or /proc is not mounted", "what is seen may be a part")
        }
    }
}

fn cpus(facts: &Facts) -> Finding {
    match &facts.online {
        Ok(online) => Finding::new(
            "CPUs",
            Level::Ok,
            format!("{} online: {online}", online.len()),
            format!("{} shares can be given out unless host.max says otherwise", online.len() * 100),
        ),
        Err(why) => Finding::new("CPUs", Level::Bad, why.clone(), "what the host can give is not known")
            .todo("mount sysfs on /sys in the namespace that the agent runs in"),
    }
}

fn btf(facts: &Facts) -> Finding {
    let finding = |level, found: &str, means: &str| Finding::new("BTF", level, found, means);
    let newer = format!("Linux {}.{} or newer, with CONFIG_DEBUG_INFO_BTF=y (Debian, Ubuntu, Fedora have it)", FLOOR.0, FLOOR.1);
    match facts.btf {
        None => finding(Level::Less, "no /sys/kernel/btf/vmlinux", "no eBPF: offsets in the kernel are not known").todo(newer),
        Some(btf) if !btf.sched_stat_runtime => {
            finding(Level::Less, "without the tracepoint sched_stat_runtime", "no eBPF: nothing tells where CPU time is charged")
                .todo("a kernel with CONFIG_TRACEPOINTS=y (Debian, Ubuntu, Fedora have it)")
        }
        Some(btf) if !btf.ring_buffer => {
            finding(Level::Less, "without ring buffers", "no eBPF: they carry its events").todo(newer)
        }
        Some(_) => {
            finding(Level::Ok, "with the scheduler's tracepoints (tp_btf) and ring buffers", "the kernel has what eBPF needs")
        }
    }
}

fn bpf_privileges(facts: &Facts) -> Finding {
    let has = |capability| facts.capabilities.has(capability);
    let missing: Vec<_> = [Capability::Bpf, Capability::Perfmon].into_iter().filter(|&capability| !has(capability)).collect();
    let finding = |level, found: String, means: &str| Finding::new("privileges", level, found, means);
    if missing.is_empty() {
        return finding(Level::Ok, "CAP_BPF and CAP_PERFMON".to_owned(), "programs may be loaded and may watch the scheduler");
    }
    if has(Capability::SysAdmin) {
        return finding(Level::Ok, "CAP_SYS_ADMIN".to_owned(), "all that eBPF needs, and more");
    }
    let missing = missing.into_iter().map(Capability::name).collect::<Vec<_>>().join(" and ");
    finding(Level::Less, format!("no {missing}"), "no eBPF")
        .todo(format!("run as root, or with {missing} (AmbientCapabilities= or CapabilityBoundingSet= of the unit)"))
}

fn ebpf(facts: &Facts, tried: &Tried, forced: Option<SourceKind>) -> Finding {
    match (&tried.ebpf, forced) {
        (Err(_), _) | (_, Some(SourceKind::Cgroupfs)) if !accounted(facts) => Finding::new(
            "eBPF",
            Level::Bad,
            tried.ebpf.clone().err().unwrap_or_else(|| "not wanted: sampler.source = \"cgroupfs\"".to_owned()),
            "and without the v1 controller cpuacct nothing else counts CPU time",
        )
        .todo("mount cpuacct, or let eBPF count"),
        (_, Some(SourceKind::Cgroupfs)) => Finding::new(
            "eBPF",
            Level::Ok,
            "not wanted: sampler.source = \"cgroupfs\"",
            "CPU time is read from cgroupfs, one read a container and window",
        ),
        (Ok(_), _) => Finding::new(
            "eBPF",
            Level::Ok,
            "loaded, attached and let go of again",
            "CPU time is counted in the kernel, and decisions can be made inside a window",
        ),
        (Err(why), Some(SourceKind::Ebpf)) => {
            Finding::new("eBPF", Level::Bad, why.clone(), "sampler.source = \"ebpf\" insists on it: the agent would not start")
                .todo("mend what is said here, or leave sampler.source out")
        }
        (Err(why), None) => Finding::new(
            "eBPF",
            Level::Less,
            why.clone(),
            "CPU time is read from cgroupfs, one read a container and window; nothing is decided inside a window",
        )
        .todo("mend what is said here; limits are moved without it, only later"),
    }
}

/// Whether the kernel counts CPU time by the cgroups whose limits are moved: v1 does so in a controller of its own.
fn accounted(facts: &Facts) -> bool {
    let version = |controller| facts.cgroups.as_ref().ok().and_then(|cgroups| cgroups.version(controller));
    version(Controller::Cpu) != Some(Version::V1) || version(Controller::CpuAcct).is_some()
}

fn realtime(facts: &Facts) -> Finding {
    let later = "the control thread gets nice -20 instead: on a busy host it decides later";
    let finding = |level, found: String, means: &str| Finding::new("real time", level, found, means);
    let verdict = facts.realtime.as_ref().map_or(Err("no cgroups".to_owned()), Realtime::verdict);
    match verdict {
        _ if !facts.capabilities.has(Capability::SysNice) => finding(
            Level::Less,
            "no CAP_SYS_NICE".to_owned(),
            "the control thread waits its turn: on a busy host it decides later",
        )
        .todo("run as root, or with CAP_SYS_NICE"),
        Ok(()) => finding(Level::Ok, "allowed".to_owned(), "the control thread decides on time on a busy host too"),
        Err(why) => finding(Level::Less, why, later)
            .todo("nothing has to be done; real time needs the root cpu cgroup, or a kernel without CONFIG_RT_GROUP_SCHED"),
    }
}

fn memlock(facts: &Facts) -> Finding {
    let finding = |level, found: String, means: &str| Finding::new("locked memory", level, found, means);
    let fine = "the control thread's memory stays in memory";
    match facts.memlock {
        None => finding(Level::Ok, "any amount".to_owned(), fine),
        Some(_) if facts.capabilities.has(Capability::IpcLock) => {
            finding(Level::Ok, "any amount (CAP_IPC_LOCK)".to_owned(), fine)
        }
        Some(bytes) if bytes >= LOCKED => finding(Level::Ok, format!("{} MiB", bytes >> 20), fine),
        Some(bytes) => {
            finding(Level::Less, format!("{} KiB", bytes >> 10), "on a host that swaps, decisions may wait for the disk")
                .todo("LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited")
        }
    }
}

fn delegated(facts: &Facts) -> Finding {
    let finding = |level, found: &str, means: &str| Finding::new("delegation", level, found, means);
    if facts.capabilities.has(Capability::DacOverride) {
        return finding(Level::Ok, "CAP_DAC_OVERRIDE", "cgroups that belong to other users can be guarded too");
    }
    finding(Level::Less, "no CAP_DAC_OVERRIDE", "limits of cgroups that belong to other users (rootless engines) cannot be set")
        .todo("run as root, or with CAP_DAC_OVERRIDE, where there are such")
}

fn network(facts: &Facts, tried: &Tried, forced: Option<SourceKind>) -> Finding {
    let finding = |level, found: String, means: &str| Finding::new("network", level, found, means);
    let why: &str = match (&tried.ebpf, forced) {
        (_, Some(SourceKind::Cgroupfs)) | (Err(_), _) => "that takes eBPF",
        (Ok(Some(why)), _) => why,
        (Ok(None), _) => {
            let means = "network usage is reported, also of containers in the host's network";
            return finding(Level::Ok, "counted at sockets".to_owned(), means);
        }
    };
    let by_interfaces = format!("read from interfaces, not counted at sockets: {why}");
    let has = |capability| facts.capabilities.has(capability);
    if !has(Capability::SysPtrace) {
        return finding(
            Level::Less,
            by_interfaces,
            "and without CAP_SYS_PTRACE whose they are cannot be seen: no usage is reported",
        )
        .todo("run as root, or with CAP_SYS_PTRACE");
    }
    let means = "network usage is reported of containers that have a network of their own";
    if tried.ebpf.is_ok() && !has(Capability::NetAdmin) && facts.cgroups.as_ref().is_ok_and(|cgroups| cgroups.mode == Mode::V2) {
        return finding(Level::Less, by_interfaces, means).todo("run as root, or with CAP_NET_ADMIN");
    }
    finding(Level::Ok, by_interfaces, means)
}

fn watches(facts: &Facts) -> Finding {
    let finding = |level, found: String, means: &str| Finding::new("inotify", level, found, means);
    match (facts.inotify_watches, facts.inotify_instances) {
        (None, _) | (_, None | Some(0)) => {
            finding(Level::Less, "not there".to_owned(), "new containers are found by polling, which costs more")
                .todo("a kernel with CONFIG_INOTIFY_USER=y, and fs.inotify.max_user_instances above 0")
        }
        (Some(watches), _) if watches < WATCHES => finding(
            Level::Less,
            format!("{watches} watches a user"),
            "with thousands of cgroups some are polled for new containers, which costs more",
        )
        .todo("sysctl fs.inotify.max_user_watches=65536"),
        (Some(watches), Some(instances)) => {
            finding(Level::Ok, format!("{watches} watches, {instances} instances a user"), "new containers are known at once")
        }
    }
}

#[cfg(test)]
mod tests;
