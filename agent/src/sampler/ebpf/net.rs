//! Bytes by container, counted where its sockets receive and send: two programs at the root of the v2 tree.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Ebpf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, ProgramError};
use aya::sys::SyscallError;
use headroom_records::cache;

use super::mapped::{MappedArray, TrafficCell};
use super::{Program, map_array, no_program, unavailable};
use crate::cgroup::{Hierarchies, Mode};
use crate::host::capabilities::{Capabilities, Capability};
use crate::sampler::{SamplerError, SlotId};

/// The programs, and what each is attached to.
const PROGRAMS: [(Program, CgroupSkbAttachType); 2] =
    [(Program::Received, CgroupSkbAttachType::Ingress), (Program::Sent, CgroupSkbAttachType::Egress)];

/// What the kernel side counts of the network.
pub(super) struct Net {
    traffic: MappedArray<TrafficCell>,
    /// From a socket's cgroup to its slot.
    sockets: MappedArray<AtomicU64>,
}

/// Has the kernel verify both programs, where they would count something; or says why they would not. To be done while the object still
/// has its maps.
pub(super) fn verify(ebpf: &mut Ebpf, mode: Mode) -> Result<(), String> {
    if mode != Mode::V2 {
        return Err("containers are followed in v1 hierarchies, and a socket has a cgroup in the v2 tree alone".to_owned());
    }
    PROGRAMS.into_iter().try_for_each(|(program, _)| load(ebpf, program)).map_err(|e| e.to_string())
}

/// Has the kernel verify one of them.
pub(super) fn load(ebpf: &mut Ebpf, program: Program) -> Result<(), SamplerError> {
    program_of(ebpf, program)?.load().map_err(|e| unavailable(format!("loading the program {}", program.name()), &e))
}

impl Net {
    /// Attaches both, beside whatever others have attached there; or says why that cannot be, and leaves none attached.
    pub(super) fn begin(ebpf: &mut Ebpf, max_containers: u32) -> Result<Self, String> {
        let begun = Self::attach(ebpf, max_containers);
        if begun.is_err() {
            for (program, _) in PROGRAMS {
                // Of the two one may not have been loaded.
                program_of(ebpf, program).and_then(|program| program.unload().map_err(|e| unavailable("unloading", &e))).ok();
            }
        }
        begun.map_err(|failed| match Capabilities::read() {
            Ok(has) if !has.has(Capability::NetAdmin) => "CAP_NET_ADMIN is missing".to_owned(),
            _ => failed.to_string(),
        })
    }

    fn attach(ebpf: &mut Ebpf, max_containers: u32) -> Result<Self, SamplerError> {
        let traffic = map_array(ebpf, "TRAFFIC", max_containers as usize)?;
        let sockets = map_array(ebpf, "SOCKETS", cache::ENTRIES as usize)?;
        let hierarchies = Hierarchies::probe()?;
        let root = hierarchies.unified_fd().ok_or_else(|| SamplerError::Ebpf { why: "there is no v2 tree".to_owned() })?;
        for (program, hook) in PROGRAMS {
            attach(ebpf, program, hook, root)?;
        }
        Ok(Self { traffic, sockets })
    }

    /// A slot is taken: it begins at nothing.
    pub(super) fn clear(&self, slot: u32) {
        if let Some(cell) = self.traffic.get(slot as usize) {
            cell.received_bytes.store(0, Ordering::Relaxed);
            cell.sent_bytes.store(0, Ordering::Relaxed);
        }
    }

    /// Which cgroup has which slot is to be looked up again.
    pub(super) fn forget(&self) {
        for entry in &*self.sockets {
            entry.store(0, Ordering::Relaxed);
        }
    }

    /// Received and sent.
    pub(super) fn bytes(&self, slot: SlotId) -> Option<[u64; 2]> {
        let cell = self.traffic.get(slot.0 as usize)?;
        Some([&cell.received_bytes, &cell.sent_bytes].map(|bytes| bytes.load(Ordering::Relaxed)))
    }
}

fn attach(ebpf: &mut Ebpf, program: Program, hook: CgroupSkbAttachType, root: BorrowedFd<'_>) -> Result<(), SamplerError> {
    // By a link, which lives as long as we do. The kernel takes no flags with one: a link leaves room for others in any case.
    let attached = program_of(ebpf, program)?.attach(root, hook, CgroupAttachMode::Single);
    attached.map(drop).map_err(|e| {
        let doing = format!("attaching {} to the root of the v2 tree", program.name());
        if !is_refused(&e) {
            return unavailable(doing, &e);
        }
        // `__cgroup_bpf_attach` in `kernel/bpf/cgroup.c`: one that was attached without BPF_F_ALLOW_MULTI stays alone.
        let why =
            format!("{doing}: a program is attached there that leaves no room for others (`bpftool cgroup show` tells which)");
        SamplerError::Ebpf { why }
    })
}

fn is_refused(e: &ProgramError) -> bool {
    matches!(e, ProgramError::SyscallError(SyscallError { io_error, .. }) if io_error.raw_os_error() == Some(nix::libc::EPERM))
}

fn program_of(ebpf: &mut Ebpf, program: Program) -> Result<&mut CgroupSkb, SamplerError> {
    let name = program.name();
    let found = ebpf.program_mut(name).ok_or_else(|| no_program(name))?;
    found.try_into().map_err(|e| unavailable(format!("the program {name}"), &e))
}
