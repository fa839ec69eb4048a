//! `headroom-agent run`: builds the parts, runs them, and ends them in order.

mod rules;
mod signals;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use headroom_model::resource::{PerResource, Resource};
use nix::fcntl::Flock;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::api::command::ControlHandle as _;
use crate::api::{ApiState, DecisionLog, Doors, Listeners};
use crate::cgroup::Hierarchies;
use crate::config::Config;
use crate::containers::watch;
use crate::control::{self, Command, Handle, HostFacts, Inbox, Journal, Parts, Settings};
use crate::host;
use crate::link::{self, Line, Link};
use crate::sampler::UsageSource;
use crate::sampler::meter::{Ask, Meter};
use crate::sampler::select::{Selected, select};
use crate::scaler::originals::{Originals, Record};
use crate::scaler::writer::Writer;
use crate::status::{Counters, HostStatus, Snapshot};

/// Decisions that are kept for people.
const DECISIONS: usize = 1000;

/// Limits of the network are read with every so many rescans: they seldom change, and reading them takes a lock of the kernel's.
const RESCANS_TO_LINKS: u32 = 3;

/// The agent is said to be up when it has seen the containers that are there, or when that takes longer than this.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Runs the agent until it is told to end. Usage is recorded in the directory `record`, if one is given.
pub fn run(config_path: &Path, record: Option<&Path>) -> Result<()> {
    let own = rules::load(config_path)?;
    raise_descriptor_limit(own.config.sampler.max_containers);
    // One thread for everything that only looks: the agent is to stay small.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start tokio")?;
    let config = own.config.clone();
    let listeners = runtime.block_on(Listeners::bind(&config.api))?;
    let decisions = Arc::new(DecisionLog::new(DECISIONS));
    let (handle, inbox) = control::queue()?;
    let line = Line::new(&config);
    let (settings, problems) = line.received().lay_over(&own);
    let mut agent = Agent::start(settings, inbox, &handle, Arc::clone(&decisions), record)?;
    let (address, socket, looked) = (listeners.tcp_address(), config.api.socket.clone(), agent.looked.take());
    let parts = link::Parts {
        snapshot: Arc::clone(&agent.published),
        control: Arc::new(handle.clone()),
        decisions: Arc::clone(&decisions),
        boot_id: agent.boot_id.clone(),
        api: address,
    };
    let state = ApiState { snapshot: Arc::clone(&agent.published), control: Arc::new(handle.clone()), decisions };
    let (received, teller) = (line.received(), line.teller());
    teller.in_force(&own, problems);
    let link = Link::new(&config, parts, line)?;
    let (tell_shown, shown) = oneshot::channel();
    let up = async {
        if timeout(LONGEST_LOOK, shown).await.is_err() {
            tracing::warn!("the first look at the containers takes longer than {LONGEST_LOOK:?}; it goes on");
        }
        tracing::info!(?address, ?socket, "headroom-agent is up");
    };
    let laid = received.documents();
    let reloads = signals::Reloads { config_path, own, doors: listeners.doors(), received, teller, laid };
    let linked = async {
        first_look(looked, &handle).await;
        tell_shown.send(()).ok();
        // A report without the containers that are there would have been news of their end.
        match link {
            Some(link) => link.run().await,
            None => std::future::pending().await,
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = listeners.serve(state, signals::until_told(up, reloads, &handle, agent.hotplug.as_ref())) => {}
            () = linked => {}
        }
    });
    agent.stop(&handle)?;
    runtime.shutdown_background();
    Ok(())
}

/// The threads that do the work.
struct Agent {
    published: Arc<ArcSwap<Snapshot>>,
    control: std::thread::JoinHandle<Result<()>>,
    watcher: watch::Watcher,
    hotplug: Option<host::cpus::Hotplug>,
    boot_id: String,
    /// The control loop has been told of every container that was there.
    looked: Option<oneshot::Receiver<()>>,
    /// Nobody else works on the state directory meanwhile.
    _alone: Flock<std::fs::File>,
}

impl Agent {
    fn start(
        settings: Settings,
        inbox: Inbox,
        handle: &Handle,
        decisions: Arc<DecisionLog>,
        record: Option<&Path>,
    ) -> Result<Self> {
        let config = &settings.config;
        let hierarchies = Hierarchies::probe().context("no usable cgroups")?;
        let facts = host::facts::HostFacts::read()?;
        let hotplug = host::cpus::Hotplug::open()?;
        let topology = host::topology::Topology::read(&hotplug.online()?)?;
        let host = HostFacts {
            boot_id: facts.boot_id,
            mode: hierarchies.mode(),
            memory_version: hierarchies.memory_version(),
            memory_mib: facts.memory_mib.floor(),
            topology: Arc::new(topology.into_map()),
        };

        let originals = Originals::open(&config.agent.state_dir)?;
        let Some(alone) = originals.lock()? else {
            anyhow::bail!(
                "another agent runs on agent.state_dir = {}; give each one of its own",
                config.agent.state_dir.display()
            );
        };
        let (mut records, bad) = originals.load(&host.boot_id)?;
        forget_the_gone(&originals, &hierarchies, &mut records)?;
        for path in bad {
            tracing::warn!("{}: not understood, moved aside", path.display());
        }
        let Selected { source, reason } = select(config.sampler.source, host.mode, config.sampler.max_containers)?;
        tracing::info!(source = ?source.kind(), cgroups = ?host.mode, taken_up = records.len(), "host {:?}", config.host.name);

        let tell = handle.clone();
        let writer = Writer::spawn(&originals, move |report| tell.tell(Command::Report(report)))?;
        let (found, news) = crossbeam_channel::unbounded();
        let tell = handle.clone();
        let tick = config.guardian.window[Resource::Mem];
        let links = config.discovery.rescan * RESCANS_TO_LINKS;
        let meter = Meter::spawn(Arc::new(hierarchies.clone()), news, tick, links, move |news| tell.tell(Command::News(news)))?;
        let search = watch::Settings {
            engines: config.discovery.engines.clone(),
            patterns: config.discovery.patterns.clone(),
            roots: config.discovery.roots.clone(),
            rescan: config.discovery.rescan,
        };
        let watcher =
            watch::spawn(hierarchies.cpu_root(), search, found, Box::new(|| {})).context("cannot look for containers")?;
        let (done, looked) = oneshot::channel();
        meter.ask(Ask::CatchUp(done));
        let journal = Journal::spawn(decisions, record).context("cannot record usage")?;

        let boot_id = host.boot_id.clone();
        let source_reason: Option<Arc<str>> = reason.map(Into::into);
        let published = Arc::new(ArcSwap::from_pointee(nothing_yet(&settings, &host, &*source, source_reason.clone())));
        let parts = Parts { settings, host, source, source_reason, originals: records, writer, meter, journal };
        // The kernel's types, megabytes while they are read, are gone by now.
        if let Err(why) = host::memory::keep_touched() {
            tracing::info!("the agent's memory may be paged out: {why}");
        }
        let control = control::spawn(parts, inbox, Arc::clone(&published))?;
        Ok(Self { published, control, watcher, hotplug: Some(hotplug), boot_id, looked: Some(looked), _alone: alone })
    }

    fn stop(self, handle: &Handle) -> Result<()> {
        // Where the loop has ended by itself, what it says below is the reason.
        handle.send(Command::Stop);
        let ended = self.control.join();
        self.watcher.stop();
        match ended {
            Ok(result) => result.context("the control loop failed"),
            Err(_) => anyhow::bail!("the control loop panicked; guarded limits stay as they are (see `headroom-agent release`)"),
        }
    }
}

/// Until every container that was there at the start is shown.
async fn first_look(looked: Option<oneshot::Receiver<()>>, handle: &Handle) {
    if let Some(looked) = looked {
        looked.await.ok();
    }
    // Commands are obeyed in order: this comes after the news of all of them.
    handle.look("").await.ok();
}

/// Forgets what was found of containers that went while no agent ran.
fn forget_the_gone(originals: &Originals, hierarchies: &Hierarchies, records: &mut Vec<Record>) -> Result<()> {
    let lives = |record: &Record| match hierarchies.open(&record.path) {
        Ok(cgroup) => cgroup.id() == record.cgroup_id,
        Err(e) => !e.is_gone(),
    };
    for gone in records.extract_if(.., |record| !lives(record)) {
        originals.forget(gone.cgroup_id)?;
    }
    Ok(())
}

/// What is shown until the first step.
fn nothing_yet(settings: &Settings, host: &HostFacts, source: &dyn UsageSource, source_reason: Option<Arc<str>>) -> Snapshot {
    Snapshot {
        at: crate::clock::wall(),
        host: HostStatus {
            name: settings.config.host.name.as_str().into(),
            cgroup_mode: host.mode,
            online_cpus: host.online().into(),
            topology: Arc::clone(&host.topology),
            max: PerResource::default(),
            free: PerResource::default(),
            least_cpu: settings.config.scaler.least_cpu(),
            source: source.kind(),
            source_reason,
            net_reason: source.net_reason().map(Into::into),
            guardian_active: settings.config.guardian.active,
            judged_at_central: settings.config.guardian.at_central,
            scaler_active: settings.config.scaler.active,
            core_usage_mapping: None,
        },
        containers: Vec::new(),
        counters: Counters::default(),
        latencies: Arc::default(),
    }
}

/// What a container takes at most, when it is guarded in every resource on v1, where each controller has a directory of its own.
const DESCRIPTORS_EACH: u64 = 20;
/// What the agent takes for itself, and its clients.
const DESCRIPTORS_OWN: u64 = 512;

/// Lets the agent open what so many containers take: the usual limit of 1024 is enough for some fifty.
fn raise_descriptor_limit(containers: u32) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = DESCRIPTORS_OWN + DESCRIPTORS_EACH * u64::from(containers);
    let raise = || {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        // Past the hard limit takes CAP_SYS_RESOURCE; without it there is the hard limit itself.
        let to = most.max(wanted);
        setrlimit(Resource::RLIMIT_NOFILE, to, to)
            .map(|()| to)
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most))
    };
    match raise() {
        Ok(limit) if limit < wanted => tracing::warn!(
            limit,
            "so few files may be open that not all of sampler.max_containers = {containers} may fit, but surely {}; \
             raise the limit (LimitNOFILE= in the unit, ulimit -n) to {wanted}",
            limit.saturating_sub(DESCRIPTORS_OWN) / DESCRIPTORS_EACH
        ),
        Ok(_) => {}
        Err(e) => tracing::warn!("cannot raise the limit on open files: {e}"),
    }
}

/// For `check`: a configuration that would do, with the rules it names, or what is wrong with them.
pub fn check_config(path: &Path) -> Result<Config, String> {
    rules::load(path).map(|settings| settings.config).map_err(|e| format!("{e:#}"))
}

/// Reads a configuration for a reload, and lets in by it whom it says. What a running agent cannot change stays as it is, and is named.
fn reload(path: &Path, running: &Config, doors: &Doors) -> Result<Settings> {
    let mut settings = rules::load(path)?;
    for key in settings.config.hold_fixed(running) {
        tracing::warn!("{key} changed: that takes a restart, and stays as it is until then");
    }
    doors.set(&settings.config.api)?;
    Ok(settings)
}
