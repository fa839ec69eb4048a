//! What is read from kernel files at a slower pace than the control loop's, on a thread of its own: the kernel's CPU
//! accounting (for the bill and the audit), throttling, memory, disk, network, cpusets.
//!
//! Discovery's news comes through here: a container reaches the control loop with its cgroup opened and read once.
//! Reading a container whole takes some 100 µs, so those whose numbers drive no decision take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use headroom_model::limit::Limit;
use headroom_model::resource::{Resource, ResourceSet};
use tokio::sync::oneshot;

use crate::cgroup::{
    Cgroup, CpuClock, CpuLimit, CpuList, CpuSets, CpuTime, Device, DiskReading, Hierarchies, LimitsAbove, MemoryReading,
    NetReading, ThrottleClock, Throttling,
};
use crate::clock;
use crate::containers::{Container, Discovered, Engine};
use crate::sampler::uplinks::{self, Uplinks};

/// How many ticks it takes until everyone has been read whole.
const TURNS: u64 = 10;

/// Of those that have not run since they were read whole twice, how many turns go between two more such readings.
const REST: u64 = 6;

/// How long the limits of a container that came while we look on have to stand until it counts as set up: an engine makes the cgroup, and
/// writes into it what it was asked for some ms later (`Apply` and `Set` of runc, `libcontainer/process_linux.go`).
const SETTLES: Duration = Duration::from_secs(1);

/// One reading of one container. What is `None` was not read this time, or cannot be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Whose.
    pub cgroup_id: u64,
    /// When the reading began, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Whether everything was read that can be.
    pub whole: bool,
    /// The kernel's accounting of CPU time.
    pub cpu_time: Option<CpuTime>,
    /// Throttling counters.
    pub throttling: Option<Throttling>,
    /// Memory used and its limits.
    pub memory: Option<MemoryReading>,
    /// Its own CPU limit, as far as it has one: on v2 its parent may have the controller taken from it.
    pub cpu_limit: Option<CpuLimit>,
    /// The CPU limit that counts: its own, or a tighter one above, or its CPUs.
    pub effective_cpu: Option<Limit>,
    /// The limits above it, of a pod's container: nobody else's are asked for.
    pub above: Option<LimitsAbove>,
    /// cpuset, configured and effective.
    pub cpusets: Option<CpuSets>,
    /// Bytes read and written, and limits, by device.
    pub disks: Option<Vec<DiskReading>>,
    /// Bytes in and out.
    pub net: Option<NetReading>,
}

/// What the meter tells the control loop.
#[derive(Debug)]
pub enum News {
    /// A container is there: opened and read once.
    Appeared {
        /// Who.
        container: Arc<Container>,
        /// Its handle.
        cgroup: Arc<Cgroup>,
        /// Its first, whole reading.
        first: Box<Reading>,
        /// Whether it was there before us: its engine is through with its limits. Of any other [`News::Settled`] tells.
        is_set_up: bool,
    },
    /// The limits that its engine has given it stand: a whole reading.
    Settled(Box<Reading>),
    /// It is called or labelled otherwise now.
    Changed(Arc<Container>),
    /// It is gone.
    Gone {
        /// Its cgroup's id.
        cgroup_id: u64,
    },
    /// One tick's readings.
    Read(Vec<Reading>),
    /// By what containers are linked to the host's network, or how fast that may be, has changed.
    Uplinks(uplinks::Changed),
}

/// What the control loop asks of the meter.
#[derive(Debug)]
pub enum Ask {
    /// Say so once everything is passed on that discovery has told up to now.
    CatchUp(oneshot::Sender<()>),
    /// Read of this container at every tick what these resources are judged by: of CPU its throttling and accounting.
    Follow {
        /// Whose.
        cgroup_id: u64,
        /// Which.
        what: ResourceSet,
    },
    /// A new pace.
    Tick(Duration),
}

/// The thread's handle.
#[derive(Debug)]
pub struct Meter {
    asks: Option<Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Meter {
    /// Starts it, and the thread that reads uplinks, all of them once in `links`. `found` is where discovery sends; `tell` must not block.
    pub fn spawn(
        hierarchies: Arc<Hierarchies>,
        found: Receiver<Discovered>,
        tick: Duration,
        links: Duration,
        tell: impl Fn(News) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (asks, asked) = unbounded();
        let also = tell.clone();
        let uplinks = Uplinks::spawn(links, move |changed| also(News::Uplinks(changed)))?;
        let mut state = State {
            hierarchies,
            targets: HashMap::new(),
            has_caught_up: false,
            settling: VecDeque::new(),
            turn: 0,
            uplinks,
            tell: Box::new(tell),
        };
        let thread = std::thread::Builder::new()
            .name("meter".into())
            .stack_size(256 * 1024)
            .spawn(move || state.run(&found, &asked, tick))?;
        Ok(Self { asks: Some(asks), thread: Some(thread) })
    }

    /// Passes a wish on; never waits.
    pub fn ask(&self, ask: Ask) {
        if let Some(asks) = &self.asks
            && asks.send(ask).is_err()
        {
            tracing::error!("the meter thread has ended");
        }
    }

    /// Ends the thread.
    pub fn finish(mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the meter thread panicked");
        }
    }
}

struct Target {
    cgroup: Arc<Cgroup>,
    cpu_clock: Option<CpuClock>,
    throttle_clock: Option<ThrottleClock>,
    is_of_pod: bool,
    follows: ResourceSet,
    /// Its CPU time as last read.
    total_ns: Option<u64>,
    /// It has run since its last turn.
    has_run: bool,
    /// Turns since it has run.
    rested: u64,
}

/// One whose engine may still be writing its limits.
struct Settling {
    cgroup_id: u64,
    /// They are looked at again then.
    until: Instant,
    limits: Limits,
}

/// What an engine sets up of a container.
#[derive(PartialEq)]
struct Limits {
    cpu: Option<CpuLimit>,
    cpus: Option<CpuList>,
    memory: Option<[Limit; 2]>,
    disks: Vec<(Device, [Limit; 2])>,
}

impl Limits {
    fn of(reading: &Reading) -> Self {
        let limits = |disk: &DiskReading| [Resource::DiskRead, Resource::DiskWrite].map(|resource| disk.limit(resource));
        let disks = reading.disks.iter().flatten().map(|disk| (disk.device, limits(disk)));
        Self {
            cpu: reading.cpu_limit,
            cpus: reading.cpusets.as_ref().map(|sets| sets.configured.clone()),
            memory: reading.memory.map(|memory| [memory.high, memory.max]),
            // A disk that it has begun to use is no limit.
            disks: disks.filter(|(_, limits)| *limits != [Limit::Unlimited; 2]).collect(),
        }
    }
}

struct State {
    hierarchies: Arc<Hierarchies>,
    targets: HashMap<u64, Target>,
    /// Whoever comes from now on comes while we look on.
    has_caught_up: bool,
    /// By when they are looked at again.
    settling: VecDeque<Settling>,
    turn: u64,
    uplinks: Uplinks,
    tell: Box<dyn Fn(News) + Send>,
}

impl State {
    fn run(&mut self, found: &Receiver<Discovered>, asked: &Receiver<Ask>, mut tick: Duration) {
        let mut next = Instant::now() + tick;
        loop {
            let wake = self.settling.front().map_or(next, |first| first.until.min(next));
            select! {
                recv(found) -> news => match news {
                    Ok(news) => self.pass_on(news),
                    Err(_) => return,
                },
                recv(asked) -> ask => match ask {
                    Ok(Ask::CatchUp(done)) => {
                        found.try_iter().for_each(|news| self.pass_on(news));
                        self.has_caught_up = true;
                        // Who asked may have given up.
                        done.send(()).ok();
                    }
                    Ok(Ask::Follow { cgroup_id, what }) => {
                        if let Some(target) = self.targets.get_mut(&cgroup_id) {
                            target.follows = what;
                        }
                    }
                    Ok(Ask::Tick(new)) => { tick = new; next = Instant::now() + tick; }
                    Err(_) => return,
                },
                default(wake.saturating_duration_since(Instant::now())) => {
                    let now = Instant::now();
                    self.settle(now);
                    if now >= next {
                        self.read_all();
                        next += tick;
                        // A machine that slept does not catch up on ticks.
                        next = next.max(Instant::now());
                    }
                }
            }
        }
    }

    fn pass_on(&mut self, news: Discovered) {
        match news {
            Discovered::Changed(container) if self.targets.contains_key(&container.cgroup_id) => {
                (self.tell)(News::Changed(container));
            }
            // Of one that could not be opened it is not known: perhaps it can be now.
            Discovered::Appeared(container) | Discovered::Changed(container) => self.appeared(container),
            Discovered::Gone { cgroup_id } => self.gone(cgroup_id),
        }
    }

    fn appeared(&mut self, container: Arc<Container>) {
        let cgroup = match self.hierarchies.open(&container.path) {
            Ok(cgroup) if cgroup.id() == container.cgroup_id => Arc::new(cgroup),
            // Made anew: discovery tells of that too.
            Ok(_) => return,
            Err(e) if e.is_gone() => return,
            Err(e) => {
                tracing::warn!(container = container.name, "cannot be opened: {e}");
                return;
            }
        };
        let mut target = Target {
            cgroup: Arc::clone(&cgroup),
            cpu_clock: None,
            throttle_clock: None,
            is_of_pod: container.engine == Engine::Kubernetes,
            follows: ResourceSet::NONE,
            total_ns: None,
            has_run: true,
            rested: 0,
        };
        let cgroup_id = container.cgroup_id;
        let first = Box::new(read(cgroup_id, &mut target, true, ResourceSet::ALL));
        self.targets.insert(cgroup_id, target);
        self.uplinks.appeared(cgroup_id, Arc::clone(&cgroup));
        let is_set_up = !self.has_caught_up;
        if !is_set_up {
            self.settling.push_back(Settling { cgroup_id, until: Instant::now() + SETTLES, limits: Limits::of(&first) });
        }
        (self.tell)(News::Appeared { container, cgroup, first, is_set_up });
    }

    /// Looks again at those whose time it is.
    fn settle(&mut self, now: Instant) {
        while let Some(one) = self.settling.pop_front_if(|one| one.until <= now) {
            let Some(target) = self.targets.get_mut(&one.cgroup_id) else { continue };
            let reading = read(one.cgroup_id, target, true, ResourceSet::ALL);
            let limits = Limits::of(&reading);
            if limits == one.limits {
                (self.tell)(News::Settled(Box::new(reading)));
            } else {
                self.settling.push_back(Settling { until: now + SETTLES, limits, ..one });
            }
        }
    }

    fn gone(&mut self, cgroup_id: u64) {
        if self.targets.remove(&cgroup_id).is_some() {
            self.uplinks.gone(cgroup_id);
            (self.tell)(News::Gone { cgroup_id });
        }
    }

    fn read_all(&mut self) {
        self.turn += 1;
        let turn = self.turn % TURNS;
        let readings: Vec<_> = self
            .targets
            .iter_mut()
            .filter_map(|(&id, target)| {
                let (whole, has_run) = target.look(id % TURNS == turn);
                let mut what = if whole { ResourceSet::ALL } else { target.follows };
                if !whole && !has_run {
                    what.remove(Resource::Cpu);
                }
                (!what.is_empty()).then(|| read(id, target, whole, what))
            })
            .collect();
        if !readings.is_empty() {
            (self.tell)(News::Read(readings));
        }
    }
}

impl Target {
    /// Whether it is to be read whole, and whether it has run since the last look. Who has not run has used nothing, and most
    /// containers are idle: one short read tells.
    fn look(&mut self, is_its_turn: bool) -> (bool, bool) {
        if !is_its_turn && !self.follows.contains(Resource::Cpu) {
            return (false, false);
        }
        let total_ns = self.cpu_clock.as_ref().and_then(|clock| clock.total_ns().ok());
        let has_run = total_ns.is_none() || total_ns != self.total_ns;
        self.total_ns = total_ns;
        self.has_run |= has_run;
        if !is_its_turn {
            return (false, has_run);
        }
        self.rested = if std::mem::take(&mut self.has_run) { 0 } else { self.rested + 1 };
        // The first one after it has run shows what it did last, the second that it does nothing.
        (self.rested <= 1 || self.rested.is_multiple_of(REST), has_run)
    }
}

/// Where it has no cpuset of its own, it can run on those CPUs that it is given above.
pub(crate) fn cpusets(cgroup: &Cgroup) -> Option<CpuSets> {
    let inherited = || Some(CpuSets { configured: CpuList::default(), effective: cgroup.effective_cpus().ok()? });
    cgroup.cpuset().ok().or_else(inherited)
}

/// Reads everything, or what these resources are judged by. A file that is not there, or a container that goes meanwhile, is no reading.
fn read(cgroup_id: u64, target: &mut Target, whole: bool, what: ResourceSet) -> Reading {
    let cgroup = &target.cgroup;
    let (cpu, disks) = (what.contains(Resource::Cpu), what.contains(Resource::DiskRead) || what.contains(Resource::DiskWrite));
    // An engine makes a container's cgroups one hierarchy after the other: what is not there yet is tried again.
    if whole {
        target.cpu_clock = target.cpu_clock.take().or_else(|| cgroup.cpu_clock().ok());
        target.throttle_clock = target.throttle_clock.take().or_else(|| cgroup.throttle_clock().ok());
    }
    Reading {
        cgroup_id,
        at_ns: clock::monotonic_ns(),
        whole,
        cpu_time: target.cpu_clock.as_ref().filter(|_| cpu).and_then(|clock| clock.read().ok()),
        throttling: target.throttle_clock.as_ref().filter(|_| cpu).and_then(|clock| clock.read().ok()),
        memory: what.contains(Resource::Mem).then(|| cgroup.memory().ok()).flatten(),
        cpu_limit: whole.then(|| cgroup.cpu_limit().ok()).flatten(),
        effective_cpu: whole.then(|| cgroup.effective_cpu_limit().ok()).flatten(),
        above: (whole && target.is_of_pod).then(|| cgroup.limits_above().ok()).flatten(),
        cpusets: whole.then(|| cpusets(cgroup)).flatten(),
        disks: disks.then(|| cgroup.disk().ok()).flatten(),
        net: whole.then(|| cgroup.net().ok()).flatten().flatten(),
    }
}
