//! Which source counts: what the config wants and the kernel offers. Probe, decide, tell.

use std::fmt;
use std::fs;
use std::path::Path;

use super::btf::{Btf, VMLINUX};
use super::cgroupfs::CgroupfsSource;
use super::ebpf::{EbpfSource, Program, TRACEPOINT, resolves};
use super::{SamplerError, SourceKind, UsageSource};
use crate::cgroup::Mode;

/// A source, and why it is not the one that would be best.
pub struct Selected {
    /// Ready to track.
    pub source: Box<dyn UsageSource>,
    /// Why it is not eBPF, where the config did not ask for cgroupfs.
    pub reason: Option<String>,
}

/// Makes the wanted source; `None` wants eBPF where it works, else cgroupfs. Says once, in the log, where it fell back.
/// With eBPF forced, its absence is an error.
pub fn select(wanted: Option<SourceKind>, mode: Mode, max_containers: u32) -> Result<Selected, SamplerError> {
    let cgroupfs = || Box::new(CgroupfsSource::new(max_containers));
    if wanted == Some(SourceKind::Cgroupfs) {
        return Ok(Selected { source: cgroupfs(), reason: None });
    }
    let failed = match EbpfSource::load(mode, max_containers) {
        Ok(source) => {
            if let Some(why) = source.net_reason() {
                tracing::info!("network usage is read from interfaces, not counted at sockets: {why}");
            }
            return Ok(Selected { source: Box::new(source), reason: None });
        }
        Err(failed) => failed,
    };
    // The kernel's answer is often no more than "not permitted": look for what lies under it.
    let why = Facts::probe(mode).missing().map_or_else(|| failed.to_string(), ToString::to_string);
    if wanted == Some(SourceKind::Ebpf) {
        return Err(SamplerError::Ebpf { why: format!("{why} (sampler.source forces it)") });
    }
    tracing::warn!("CPU time is read from cgroupfs, not counted by eBPF: {why}");
    Ok(Selected { source: cgroupfs(), reason: Some(why) })
}

/// Loads and attaches the kernel side, and lets go of it again. Gives why it does not count bytes of sockets, where that is so. `Err`: what
/// is missing.
pub fn try_ebpf() -> Result<Option<String>, String> {
    let mode = crate::cgroup::Hierarchies::probe().map_err(|e| e.to_string())?.mode();
    EbpfSource::load(mode, 1)
        .map(|source| source.net_reason().map(str::to_owned))
        .map_err(|failed| Facts::probe(mode).missing().map_or_else(|| failed.to_string(), ToString::to_string))
}

/// What eBPF needs of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The kernel's types.
    Btf,
    /// The hook at which CPU time is charged.
    Tracepoint,
    /// The way from a task to its cgroup.
    Layout,
    /// The way events take to us.
    RingBuffer,
    /// `CAP_BPF`.
    CapBpf,
    /// `CAP_PERFMON`.
    CapPerfmon,
    /// The verifier, and whatever else may stand in the way (lockdown, a security module, memlock).
    Loads,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Btf => "kernel types (BTF)",
            Self::Tracepoint => "tracepoint (tp_btf) sched_stat_runtime",
            Self::Layout => "way from task to cgroup",
            Self::RingBuffer => "BPF ring buffer",
            Self::CapBpf => "CAP_BPF",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::Loads => "program verified by the kernel",
        })
    }
}

/// One need, as it was found: what there is, or what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which.
    pub need: Need,
    /// What was found.
    pub found: Result<String, String>,
}

impl Fact {
    /// What helps where it is missing.
    pub fn advice(&self) -> &'static str {
        match self.need {
            Need::Btf => "use a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian 12 and Ubuntu 22.04 have it)",
            Need::Tracepoint => "use a kernel from 5.8 on, with CONFIG_TRACEPOINTS=y (tested from 6.1)",
            Need::Layout => "this kernel's structures are not known; report it",
            Need::RingBuffer => "use a kernel from 5.8 on (tested from 6.1)",
            Need::CapBpf | Need::CapPerfmon => "run as root, or give the unit CAP_BPF and CAP_PERFMON (AmbientCapabilities=)",
            Need::Loads => {
                "see the kernel's answer; tested from 6.1; lockdown=confidentiality and a low RLIMIT_MEMLOCK are other causes"
            }
        }
    }
}

/// Where one is missing: what, and what to do.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Ok(found) => write!(f, "{}: {found}", self.need),
            Err(missing) => write!(f, "{}: {missing}; {}", self.need, self.advice()),
        }
    }
}

/// All that eBPF needs, in the order in which one lack explains the next.
#[derive(Clone, Debug)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Looks at this machine. Attaches nothing; takes some 50 ms and, for that time, as many MB as the kernel's types have.
    pub fn probe(mode: Mode) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let btf = Btf::read(Path::new(VMLINUX)).map_err(|e| e.to_string());
        let of_btf = |ask: &dyn Fn(&Btf) -> Result<String, String>| match &btf {
            Ok(btf) => ask(btf),
            Err(_) => Err("not known without BTF".to_owned()),
        };
        let facts = [
            (Need::Btf, btf.as_ref().map(|_| VMLINUX.to_owned()).map_err(Clone::clone)),
            (
                Need::Tracepoint,
                of_btf(&|btf| if btf.has_tracepoint(TRACEPOINT) { Ok("present".into()) } else { Err("absent".into()) }),
            ),
            (Need::Layout, of_btf(&|btf| resolves(btf, mode).map(|()| "resolved".into()).map_err(|e| e.to_string()))),
            (
                Need::RingBuffer,
                of_btf(&|btf| match btf.enumerator("bpf_map_type", "BPF_MAP_TYPE_RINGBUF") {
                    Ok(_) => Ok("present".into()),
                    Err(e) => Err(e.to_string()),
                }),
            ),
            (Need::CapBpf, capability(&status, CAP_BPF)),
            (Need::CapPerfmon, capability(&status, CAP_PERFMON)),
            (Need::Loads, EbpfSource::verified(mode, 64, Program::Charge).map(|_| "yes".into()).map_err(|e| e.to_string())),
        ];
        Self(facts.into_iter().map(|(need, found)| Fact { need, found }).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }

    /// The first lack; `None` where eBPF works.
    pub fn missing(&self) -> Option<&Fact> {
        self.0.iter().find(|fact| fact.found.is_err())
    }
}

/// Numbers of include/uapi/linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Whether `/proc/self/status` shows a capability in force; `CAP_SYS_ADMIN` includes those for BPF.
fn capability(status: &str, number: u32) -> Result<String, String> {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(mask) = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) else {
        return Err("/proc/self/status shows no CapEff".into());
    };
    let has = |number: u32| (mask >> number) & 1 == 1;
    match (has(number), has(CAP_SYS_ADMIN)) {
        (true, _) => Ok("present".into()),
        (false, true) => Ok("by CAP_SYS_ADMIN".into()),
        (false, false) => Err("missing".into()),
    }
}

#[cfg(test)]
mod tests;
