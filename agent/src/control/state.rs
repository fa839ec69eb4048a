//! All control state, and how it follows what comes in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use headroom_model::limit::Limit;
use headroom_model::policy::cores::{CoreMap, Distribution, Topology};
use headroom_model::policy::guardian::{Guardian, Judgement};
use headroom_model::policy::request::Request;
use headroom_model::policy::scaler::ledger::Ledger;
use headroom_model::policy::scaler::plan::{Grant, Plan};
use headroom_model::resource::{PerResource, Resource};

use super::Command;
use super::apply::Pending;
use super::asked::Outside;
use super::claim::Waiting;
use super::entry::{Entry, Phase};
use super::journal::Journal;
use super::latency::Latencies;
use super::pace::Pace;
use super::publish::Publisher;
use super::settings::{Own, Settings};
use super::window::Window;
use crate::cgroup::{CgroupPath, Mode, Version};
use crate::clock;
use crate::config::Config;
use crate::containers::select::Selector;
use crate::sampler::audit::Audited;
use crate::sampler::meter::{Ask, Meter, News, Reading};
use crate::sampler::{Passed, UsageSource};
use crate::scaler::originals::Record;
use crate::scaler::writer::{Report, Writer};
use crate::status::{Counters, Snapshot};

/// What the loop is made of.
pub struct Parts {
    /// Configuration and rules.
    pub settings: Settings,
    /// What the machine is.
    pub host: HostFacts,
    /// Who counts CPU time.
    pub source: Box<dyn UsageSource>,
    /// Why it is not eBPF, where that was wanted.
    pub source_reason: Option<Arc<str>>,
    /// What was found before the first touch, by runs of this boot before.
    pub originals: Vec<Record>,
    /// Slow writes.
    pub writer: Writer,
    /// Slow readings.
    pub meter: Meter,
    /// Where decisions go.
    pub journal: Journal,
}

/// What the machine is, as far as decisions need it.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// This boot.
    pub boot_id: String,
    /// cgroup interfaces.
    pub mode: Mode,
    /// Of the memory controller; `None` where there is none.
    pub memory_version: Option<Version>,
    /// The machine's memory.
    pub memory_mib: f64,
    /// The online CPUs by where they sit.
    pub topology: Arc<Topology>,
}

impl HostFacts {
    pub(crate) fn online(&self) -> Vec<u32> {
        let mut cpus: Vec<u32> = self.topology.values().flat_map(BTreeMap::values).flatten().copied().collect();
        cpus.sort_unstable();
        cpus
    }
}

/// The control loop's state.
pub(super) struct State {
    pub(super) config: Config,
    pub(super) selector: Arc<Selector>,
    pub(super) own: Option<Arc<Own>>,
    pub(super) guardian: Guardian,
    pub(super) host: HostFacts,
    pub(super) source: Box<dyn UsageSource>,
    pub(super) source_reason: Option<Arc<str>>,
    pub(super) net_reason: Option<Arc<str>>,
    pub(super) writer: Writer,
    pub(super) meter: Meter,
    pub(super) journal: Journal,
    pub(super) known: HashMap<u64, Record>,
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) by_name: HashMap<Arc<str>, u64>,
    /// What lies in a container comes after it.
    pub(super) by_path: BTreeMap<CgroupPath, u64>,
    pub(super) by_slot: HashMap<crate::sampler::SlotId, u64>,
    /// What really is given out.
    pub(super) ledger: Ledger,
    /// What advice would have given out.
    pub(super) shadow: Ledger,
    /// Where pinning is on.
    pub(super) cores: Option<CoreMap>,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) next_ticket: u64,
    pub(super) waiting: Waiting,
    /// Requests that are not the Guardian's.
    pub(super) outside: Outside,
    /// Whose quotas are read back next, and whose count is audited.
    pub(super) turn: u64,
    pub(super) audit_turn: u64,
    pub(super) audited: Audited,
    pub(super) window: Window,
    pub(super) counters: Counters,
    pub(super) latencies: Latencies,
    /// What makes seconds since the epoch of seconds on the monotonic clock, for recordings.
    pub(super) epoch: f64,
    pub(super) publisher: Publisher,
    // Kept from step to step so that a step allocates nothing.
    pub(super) judgement: Judgement,
    pub(super) requests: Vec<Request>,
    pub(super) advised: Vec<Request>,
    pub(super) plan: Plan,
    /// Raises that stand on paper, and are written when the windows have been judged to their end.
    pub(super) staged: Vec<(u64, Grant)>,
    /// Whose limit the last carrying out raised at once.
    pub(super) raised: Vec<u64>,
    pub(super) passed: Vec<Passed>,
    pub(super) due: Vec<u64>,
}

impl State {
    pub(super) fn new(parts: Parts, published: Arc<ArcSwap<Snapshot>>) -> Self {
        let Parts {
            settings: Settings { config, rules, selector, own },
            host,
            source,
            source_reason,
            originals,
            writer,
            meter,
            journal,
        } = parts;
        let mut state = Self {
            net_reason: source.net_reason().map(Into::into),
            selector,
            own,
            guardian: Guardian::new(rules, 0.0, config.guardian.rejudge).with_cooldown(config.cooldown().as_secs_f64()),
            window: Window::new(config.guardian.window[Resource::Cpu]),
            known: originals.into_iter().map(|record| (record.cgroup_id, record)).collect(),
            entries: BTreeMap::new(),
            by_name: HashMap::new(),
            by_path: BTreeMap::new(),
            by_slot: HashMap::new(),
            ledger: Ledger::default(),
            shadow: Ledger::default(),
            cores: None,
            pending: HashMap::new(),
            next_ticket: 0,
            waiting: Waiting::default(),
            outside: Outside::default(),
            turn: 0,
            audit_turn: 0,
            audited: Audited::default(),
            counters: Counters::default(),
            latencies: Latencies::new(),
            epoch: clock::wall() - Self::now(),
            publisher: Publisher::new(published),
            judgement: Judgement::default(),
            requests: Vec::new(),
            advised: Vec::new(),
            plan: Plan::default(),
            staged: Vec::new(),
            raised: Vec::new(),
            passed: Vec::new(),
            due: Vec::new(),
            config,
            host,
            source,
            source_reason,
            writer,
            meter,
            journal,
        };
        state.set_host_max();
        state.set_cores();
        state.meter.ask(Ask::Tick(state.pace().tick()));
        state.publish();
        state
    }

    pub(super) fn cpu_window(&self) -> Duration {
        self.config.guardian.window[Resource::Cpu]
    }

    pub(super) fn pace(&self) -> Pace<'_> {
        Pace::new(&self.config.guardian.window)
    }

    /// What the host may give out: as configured, else what the machine has.
    fn set_host_max(&mut self) {
        let max = PerResource::from_fn(|resource| {
            self.config.host.max[resource].or(match resource {
                Resource::Cpu => Some(100.0 * self.host.online().len() as f64),
                Resource::Mem => Some(self.host.memory_mib),
                _ => None,
            })
        });
        for (resource, max) in max.iter() {
            self.ledger.set_host_max(resource, *max);
            self.shadow.set_host_max(resource, *max);
        }
        self.ledger.set_reserve_unguarded(self.config.host.reserve_unguarded);
    }

    fn set_cores(&mut self) {
        let distribution = self.config.scaler.core_distribution.parse::<Distribution>().unwrap_or_default();
        match (&mut self.cores, self.config.scaler.pin_cores) {
            (cores, false) => *cores = None,
            (cores @ None, true) => *cores = Some(CoreMap::new(&self.host.topology, distribution)),
            (Some(cores), true) => {
                for (name, short) in cores.set_topology(&self.host.topology, distribution) {
                    tracing::warn!(container = %name, short, "the cores left have no room for all its shares");
                }
            }
        }
    }

    /// Follows one command.
    pub(super) fn obey(&mut self, command: Command) {
        // Readings are shown at the next of the steady pace, unless they make a decision.
        if !matches!(command, Command::News(News::Read(_)) | Command::Ping(_) | Command::Look { .. }) {
            self.publisher.touch();
        }
        match command {
            Command::News(News::Appeared { container, cgroup, first, is_set_up }) => {
                let mut entry = Entry::new(container, cgroup, first);
                entry.is_set_up = is_set_up;
                self.appeared(entry);
            }
            Command::News(News::Settled(reading)) => self.settled(*reading),
            Command::News(News::Changed(container)) => self.changed(container),
            Command::News(News::Gone { cgroup_id }) => self.gone(cgroup_id),
            Command::News(News::Read(readings)) => self.read(readings),
            Command::News(News::Uplinks(changed)) => self.linked(changed),
            Command::Report(Report::Saved { cgroup_id, result }) => self.claimed(cgroup_id, result),
            Command::Report(Report::Applied { ticket, result, finished_ns, took_ns }) => {
                self.applied(ticket, result, finished_ns, took_ns);
            }
            Command::Write(write) => self.write(write),
            Command::Requests(wanted) => self.asked(wanted),
            Command::Look { name, done } => {
                self.look(&name);
                self.publish_if_due();
                // Who asked may have given up.
                done.send(()).ok();
            }
            Command::CpusOnline(topology) => self.cpus_changed(topology),
            Command::Reload(settings) => self.reload(*settings),
            Command::Ping(answer) => {
                // Who asked may have given up.
                answer.try_send(()).ok();
            }
            Command::Stop => {}
        }
    }

    fn appeared(&mut self, mut entry: Entry) {
        let id = entry.container.cgroup_id;
        match self.source.track(&entry.cgroup) {
            Ok(slot) => {
                entry.slot = Some(slot);
                entry.opened = self.source.used_ns(slot).map(|used_ns| self.window.opening(used_ns));
                if let Some(bytes) = self.source.net_bytes(slot) {
                    (entry.net_bytes, entry.net_at_ns) = (Some(bytes), clock::monotonic_ns());
                }
                self.by_slot.insert(slot, id);
            }
            Err(e) => {
                tracing::warn!(container = %entry.name, "its CPU usage is not counted: {e}");
                entry.note(format!("CPU usage is not counted: {e}"));
            }
        }
        entry.record = self.known.remove(&id);
        self.by_name.insert(entry.name.clone(), id);
        self.by_path.insert(entry.cgroup.path().clone(), id);
        self.entries.insert(id, entry);
        self.decide_guard(id);
    }

    /// Its engine is through with its limits.
    fn settled(&mut self, reading: Reading) {
        let id = reading.cgroup_id;
        self.read(vec![reading]);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_set_up = true;
            self.decide_guard(id);
        }
    }

    /// Its engine has renamed or labelled it: its limit and what was found before the first touch stay, and its rule is looked for anew.
    fn changed(&mut self, container: Arc<crate::containers::Container>) {
        let id = container.cgroup_id;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let old = entry.name.clone();
        entry.container = container;
        if entry.container.name != *old {
            entry.rename();
            let new = entry.name.clone();
            self.forget_name(id, &old);
            self.by_name.insert(new, id);
        }
        self.decide_guard(id);
        self.decide_inner(id);
    }

    /// Nothing is kept any more under a name that `id` had.
    fn forget_name(&mut self, id: u64, name: &str) {
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
            self.journal.gone(name);
            self.ledger.remove(name);
            self.shadow.remove(name);
            if let Some(cores) = &mut self.cores {
                cores.remove(name);
            }
        }
    }

    fn gone(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(slot) = entry.slot {
            self.source.untrack(slot);
            self.by_slot.remove(&slot);
        }
        self.forget_name(id, &entry.name);
        if self.by_path.get(entry.cgroup.path()) == Some(&id) {
            self.by_path.remove(entry.cgroup.path());
        }
        self.waiting.remove(id);
        if entry.record.is_some() {
            self.writer.submit(crate::scaler::writer::Job::Forget { cgroup_id: id });
        }
    }

    fn cpus_changed(&mut self, topology: Arc<Topology>) {
        self.host.topology = topology;
        tracing::info!(online = ?self.host.online(), "the online CPUs changed");
        self.set_host_max();
        self.set_cores();
    }

    /// Takes over a new configuration. What a container holds stays as it is, unless the new settings say otherwise.
    fn reload(&mut self, Settings { config, rules, selector, own }: Settings) {
        self.guardian.set_rules(rules);
        self.guardian.rejudge = config.guardian.rejudge;
        self.guardian.cooldown = config.cooldown().as_secs_f64();
        (self.selector, self.own) = (selector, own);
        self.config = config;
        self.window.set_length(self.config.guardian.window[Resource::Cpu]);
        self.set_host_max();
        self.set_cores();
        self.meter.ask(Ask::Tick(self.pace().tick()));
        let outer_first: Vec<u64> = self.by_path.values().copied().collect();
        for id in outer_first {
            self.decide_guard(id);
        }
    }

    /// Ends: puts back what was found, if so configured, and lets the helpers finish.
    pub(super) fn stop(mut self, reports: &crossbeam_channel::Receiver<Command>) {
        if self.config.agent.restore_on_exit {
            self.restore_all(reports);
        }
        self.meter.finish();
        self.writer.finish();
        self.journal.finish();
    }

    /// What is known of a container called so.
    pub(super) fn id_of(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The ledger that counts for a container, by whether it is only advised.
    pub(super) fn ledger_of(&mut self, id: u64) -> &mut Ledger {
        let advised = self.entries.get(&id).is_some_and(|e| e.phase == Phase::Guarded && !e.is_written());
        if advised { &mut self.shadow } else { &mut self.ledger }
    }

    /// Takes over a limit that stands now, for the policy and the account.
    pub(super) fn set_limit(&mut self, id: u64, resource: Resource, limit: Limit) -> bool {
        let rejudge = self.config.guardian.rejudge;
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let name = entry.name.clone();
        let raised = match limit {
            Limit::At(amount) => entry.subject.set_limit(resource, amount, rejudge),
            // What is above max counts as max; so is what has no limit, which stays so only while the Scaler is inactive.
            Limit::Unlimited => match entry.subject.resources[resource].as_ref().map(|guarded| guarded.bounds.max) {
                Some(max) => entry.subject.set_limit(resource, max, rejudge),
                None => false,
            },
        };
        self.ledger_of(id).set_limit(&name, resource, limit);
        raised
    }

    /// Seconds on the monotonic clock: the policy's time.
    pub(super) fn now() -> f64 {
        clock::monotonic_ns() as f64 / 1e9
    }
}
