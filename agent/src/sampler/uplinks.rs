//! By what containers with a network of their own are linked to the host's, and how fast those links may be: limits that others have set
//! (`limits.ingress` of LXD, the bandwidth plugin of CNI, `tc`). They are read and shown; nothing is ever set.
//!
//! Read is the host's end, where engines set limits: what leaves there is what the container receives. On a thread of its own, since the
//! kernel answers under a lock that it may hold for long while networks are made and removed.

mod netlink;
mod network;
mod shaping;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use headroom_model::limit::Limit;

use crate::cgroup::Cgroup;
use network::Network;

/// How long after a container appeared its engine has linked it.
const SETTLED: Duration = Duration::from_secs(1);

/// A pair of virtual network cards, of which the container has one and the host the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Uplink {
    /// The container's end, by its name there; empty where it may not be asked for.
    pub in_container: String,
    /// The host's end.
    pub in_host: String,
    /// What the container may receive, in Mbit/s.
    pub receive_limit: Limit,
    /// What it may send, in Mbit/s.
    pub send_limit: Limit,
}

impl Uplink {
    /// The tighter of both directions.
    pub fn limit(&self) -> Limit {
        self.receive_limit.min(self.send_limit)
    }
}

/// Those that are other ones than were told before, by their containers' cgroup ids; `None` for a container without one.
pub type Changed = Vec<(u64, Option<Uplink>)>;

/// The thread's handle. It ends some time after this is dropped: nobody waits for the kernel's lock.
#[derive(Debug)]
pub struct Uplinks {
    told: Sender<Told>,
}

/// Who is to be looked at.
#[derive(Debug)]
enum Told {
    Appeared(u64, Arc<Cgroup>),
    Gone(u64),
}

impl Uplinks {
    /// Starts it. All are read once in `pace`: that takes some 0.1 ms each. `tell` must not block.
    pub fn spawn(pace: Duration, tell: impl Fn(Changed) + Send + 'static) -> io::Result<Self> {
        let (told, news) = unbounded();
        let mut state = State { targets: HashMap::new(), pace, has_failed: false, tell: Box::new(tell) };
        std::thread::Builder::new().name("uplinks".into()).stack_size(256 * 1024).spawn(move || state.run(&news))?;
        Ok(Self { told })
    }

    /// A container is there.
    pub fn appeared(&self, cgroup_id: u64, cgroup: Arc<Cgroup>) {
        self.pass_on(Told::Appeared(cgroup_id, cgroup));
    }

    /// It is gone.
    pub fn gone(&self, cgroup_id: u64) {
        self.pass_on(Told::Gone(cgroup_id));
    }

    fn pass_on(&self, told: Told) {
        if self.told.send(told).is_err() {
            tracing::error!("the thread that reads limits of the network has ended");
        }
    }
}

struct Target {
    cgroup: Arc<Cgroup>,
    is_new: bool,
    uplink: Option<Uplink>,
}

struct State {
    targets: HashMap<u64, Target>,
    pace: Duration,
    /// The last reading failed, and that was said.
    has_failed: bool,
    tell: Box<dyn Fn(Changed) + Send>,
}

impl State {
    fn run(&mut self, news: &Receiver<Told>) {
        let mut all_at = Instant::now() + self.pace;
        let mut next = all_at;
        loop {
            match news.recv_deadline(next) {
                Ok(Told::Appeared(id, cgroup)) => {
                    self.targets.insert(id, Target { cgroup, is_new: true, uplink: None });
                    next = next.min(Instant::now() + SETTLED);
                }
                Ok(Told::Gone(id)) => {
                    self.targets.remove(&id);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let all = Instant::now() >= all_at;
                    self.read(all);
                    if all {
                        all_at = Instant::now() + self.pace;
                    }
                    next = all_at;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads those of all, or of who is new. What cannot be read stays as it was.
    fn read(&mut self, all: bool) {
        let mut changed = Changed::new();
        let failed = self.try_read(all, &mut changed).err();
        if !changed.is_empty() {
            (self.tell)(changed);
        }
        let failed = failed.filter(|e| e.kind() != io::ErrorKind::Interrupted);
        if let Some(e) = failed.as_ref().filter(|_| !self.has_failed) {
            tracing::warn!("limits of the network cannot be read, and may be others than are shown: {e}");
        }
        self.has_failed = failed.is_some();
    }

    fn try_read(&mut self, all: bool, changed: &mut Changed) -> io::Result<()> {
        if self.targets.is_empty() {
            return Ok(());
        }
        let mut network = Network::read()?;
        for (id, target) in self.targets.iter_mut().filter(|(_, target)| all || target.is_new) {
            let uplink = if network.has_uplinks() {
                // Where nothing runs, no link is used.
                match network.number_of(&target.cgroup)? {
                    Some(number) => network.uplink_of(number)?,
                    None => continue,
                }
            } else {
                None
            };
            target.is_new = false;
            if uplink != target.uplink {
                target.uplink.clone_from(&uplink);
                changed.push((*id, uplink));
            }
        }
        Ok(())
    }
}
