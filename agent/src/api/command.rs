//! What the API asks of the control loop, which owns all limits.

use headroom_model::limit::Limit;
use headroom_model::policy::request::Request;
use headroom_model::resource::Resource;
use headroom_model::wire::RequestDone;
use tokio::sync::oneshot;

/// One thing that a PUT changes. Amounts are in the resource's unit, and checked against the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The CPU quota, in shares.
    CpuLimit(Limit),
    /// The CPUs it may run on: ascending, online, at least one.
    Cpuset(Vec<u32>),
    /// The memory limit, in MiB.
    Memory(Limit),
    /// Bandwidth of disk reads, in MiB/s.
    DiskRead(Limit),
    /// Bandwidth of disk writes, in MiB/s.
    DiskWrite(Limit),
    /// Bandwidth of the network, in Mbit/s.
    Net(Limit),
}

impl Change {
    /// What the API calls it, for errors.
    pub fn part(&self) -> &'static str {
        match self {
            Self::CpuLimit(_) => "cpu.cpu_allowance_limit",
            Self::Cpuset(_) => "cpu.cpu_num",
            Self::Memory(_) => "mem.mem_limit",
            Self::DiskRead(_) => "disk_read.disk_read_limit",
            Self::DiskWrite(_) => "disk_write.disk_write_limit",
            Self::Net(_) => "net.net_limit",
        }
    }

    /// The resource whose limit it takes off, if it does that.
    pub(super) fn lifts(&self) -> Option<Resource> {
        match self {
            Self::CpuLimit(Limit::Unlimited) => Some(Resource::Cpu),
            Self::Memory(Limit::Unlimited) => Some(Resource::Mem),
            Self::DiskRead(Limit::Unlimited) => Some(Resource::DiskRead),
            Self::DiskWrite(Limit::Unlimited) => Some(Resource::DiskWrite),
            Self::Net(Limit::Unlimited) => Some(Resource::Net),
            _ => None,
        }
    }
}

/// A PUT on its way to the control loop, which carries it out whole or not at all, publishes a snapshot, and then replies.
#[derive(Debug)]
pub struct ContainerWrite {
    /// The container's name.
    pub name: String,
    /// What to change, each part at most once.
    pub changes: Vec<Change>,
    /// Where the outcome goes. Nobody may be waiting any more.
    pub reply: oneshot::Sender<Result<(), WriteError>>,
}

/// Why a write did not happen. Everything is as it was, but for [`WriteError::HalfDone`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The container is no longer there.
    #[error("it is gone")]
    Gone,
    /// The value cannot be had here: answered as the client's mistake.
    #[error("{part}: {why}")]
    Refused {
        /// [`Change::part`].
        part: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The value is sound, but as things stand now it cannot be had.
    #[error("{part}: {why}; nothing was changed")]
    Conflict {
        /// [`Change::part`].
        part: &'static str,
        /// What is in the way, and what can be done about it.
        why: String,
    },
    /// The kernel did not do it, nor put back what had been changed before.
    #[error("{part}: {why}")]
    HalfDone {
        /// [`Change::part`].
        part: &'static str,
        /// What the kernel said to both.
        why: String,
    },
    /// The kernel did not do it.
    #[error("{part}: {why}; nothing was changed")]
    Failed {
        /// [`Change::part`].
        part: &'static str,
        /// What the kernel said.
        why: String,
    },
}

/// A request from outside the host on its way to the control loop, whose Scaler carries it out under all of its rules.
#[derive(Debug)]
pub struct Wanted {
    /// What is wanted.
    pub request: Request,
    /// Where what became of it goes. Nobody may be waiting any more.
    pub reply: oneshot::Sender<RequestDone>,
}

/// The control loop takes no commands now: its queue is full, or it is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is busy or ending; nothing was changed, try again")]
pub struct Busy;

/// The way into the control loop.
pub trait ControlHandle: Send + Sync {
    /// Hands over a write. Never waits.
    fn submit(&self, write: ContainerWrite) -> Result<(), Busy>;

    /// Hands over requests that are to be planned together. Never waits.
    fn request(&self, wanted: Vec<Wanted>) -> Result<(), Busy>;

    /// Asks for one container to be read again, so that the snapshot has what stands now. What comes back is ready when that is
    /// done, or fails when the loop has ended; it may be waited for, or not.
    fn look(&self, name: &str) -> oneshot::Receiver<()>;
}
