//! The control loop: one thread that owns all control state. It waits on the window's timer, the kernel side's ring buffer
//! and commands, decides, and writes CPU quotas; everything that may take long is done elsewhere and comes back as a command.

mod apply;
mod asked;
mod claim;
mod disks;
mod entry;
mod journal;
mod kubelet;
mod latency;
mod nesting;
mod opening;
mod pace;
mod pairs;
mod pinned;
mod publish;
mod quota;
mod readings;
mod recorder;
mod settings;
mod state;
mod wait;
mod window;
mod writes;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, unbounded};
use headroom_model::policy::cores::Topology;
use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot;

pub use journal::Journal;
pub use settings::{Own, Settings};
pub use state::{HostFacts, Parts};

use crate::api::command::{Busy, ContainerWrite, ControlHandle, Wanted};
use crate::sampler::meter::News;
use crate::scaler::writer::Report;
use crate::status::Snapshot;

/// Everything that another thread may tell the control loop.
#[derive(Debug)]
pub enum Command {
    /// From the meter: containers that came or went, readings.
    News(News),
    /// From the writer threads.
    Report(Report),
    /// From the REST interface: limits that a person or a program sets.
    Write(ContainerWrite),
    /// From central: requests that are not the Guardian's.
    Requests(Vec<Wanted>),
    /// Somebody looks at one container: its limits are read, and everything that is known by now is shown, before this is answered.
    Look {
        /// Its name.
        name: String,
        /// Where the word that it was done goes. Nobody may be waiting any more.
        done: oneshot::Sender<()>,
    },
    /// The online CPUs changed.
    CpusOnline(Arc<Topology>),
    /// A new configuration, checked.
    Reload(Box<Settings>),
    /// Answer, so that the service manager's watchdog knows that the loop is alive.
    Ping(Sender<()>),
    /// End: `restore_on_exit` is carried out first.
    Stop,
}

/// Sends commands; never waits.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: Sender<Command>,
    wake: Arc<EventFd>,
}

impl Handle {
    /// Queues a command and wakes the loop; false when the loop has ended.
    pub fn send(&self, command: Command) -> bool {
        // A counter that is full wakes, too.
        self.commands.send(command).is_ok() && self.wake.write(1).is_ok()
    }

    /// As [`Handle::send`], for those who have nothing to do about an end.
    pub fn tell(&self, command: Command) {
        if !self.send(command) {
            tracing::debug!("the control loop has ended");
        }
    }
}

impl ControlHandle for Handle {
    fn submit(&self, write: ContainerWrite) -> Result<(), Busy> {
        self.send(Command::Write(write)).then_some(()).ok_or(Busy)
    }

    fn request(&self, wanted: Vec<Wanted>) -> Result<(), Busy> {
        self.send(Command::Requests(wanted)).then_some(()).ok_or(Busy)
    }

    fn look(&self, name: &str) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.tell(Command::Look { name: name.to_owned(), done });
        answer
    }
}

/// The queue's other end, for [`spawn`].
#[derive(Debug)]
pub struct Inbox {
    commands: Receiver<Command>,
    wake: Arc<EventFd>,
}

/// Makes the queue, before the threads that send into it.
pub fn queue() -> Result<(Handle, Inbox)> {
    let wake = wait::Waiter::wake_fd().context("cannot make an eventfd")?;
    let (sender, receiver) = unbounded();
    Ok((Handle { commands: sender, wake: Arc::clone(&wake) }, Inbox { commands: receiver, wake }))
}

/// Starts the control thread. It ends after [`Command::Stop`], or when its kernel interfaces fail.
pub fn spawn(parts: Parts, inbox: Inbox, published: Arc<ArcSwap<Snapshot>>) -> Result<JoinHandle<Result<()>>> {
    let priority = parts.settings.config.agent.realtime_priority;
    // Found out before the thread begins, since it may take the kernel's types: the loop is not to be late to its first window.
    let may = if priority > 0 { crate::host::priority::may() } else { Ok(()) };
    std::thread::Builder::new()
        .name("control".into())
        .stack_size(1024 * 1024)
        .spawn(move || {
            crate::host::priority::raise(priority, may);
            crate::host::memory::touch_stack();
            run(parts, &inbox, published)
        })
        .context("cannot start the control thread")
}

fn run(parts: Parts, inbox: &Inbox, published: Arc<ArcSwap<Snapshot>>) -> Result<()> {
    let waiter = wait::Waiter::new(parts.source.events(), Arc::clone(&inbox.wake)).context("cannot set up epoll")?;
    let mut state = state::State::new(parts, published);
    waiter.every(state.open_windows(), state.cpu_window()).context("cannot set the window's timer")?;
    loop {
        let woken = waiter.wait().context("cannot wait")?;
        if woken.ring {
            state.judge_early();
        }
        if woken.timer {
            state.end_window();
        }
        if woken.commands {
            for command in inbox.commands.try_iter() {
                let window: Duration = state.cpu_window();
                match command {
                    Command::Stop => {
                        state.stop(&inbox.commands);
                        return Ok(());
                    }
                    other => state.obey(other),
                }
                // Nobody's burst waits until every command is carried out.
                state.judge_early();
                if state.cpu_window() != window {
                    waiter.every(state.open_windows(), state.cpu_window()).context("cannot set the window's timer")?;
                }
            }
            state.publish_if_due();
        }
    }
}
