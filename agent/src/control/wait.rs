//! What the control thread waits on: the window's timer, the kernel side's ring buffer, commands.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Why the thread woke up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// The window has ended.
    pub(super) timer: bool,
    /// A threshold was passed.
    pub(super) ring: bool,
    /// There are commands.
    pub(super) commands: bool,
}

const TIMER: u64 = 0;
const RING: u64 = 1;
const COMMANDS: u64 = 2;

/// The three of them behind one epoll.
pub(super) struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    wake: Arc<EventFd>,
}

impl Waiter {
    /// Waits on `ring` too, where there is one.
    pub(super) fn new(ring: Option<BorrowedFd<'_>>, wake: Arc<EventFd>) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(wake.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, COMMANDS))?;
        if let Some(ring) = ring {
            epoll.add(ring, EpollEvent::new(EpollFlags::EPOLLIN, RING))?;
        }
        Ok(Self { epoll, timer, wake })
    }

    /// The eventfd that commands are announced by.
    pub(super) fn wake_fd() -> Result<Arc<EventFd>, Errno> {
        EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Arc::new)
    }

    /// Windows of this length from `first_ns` (`CLOCK_MONOTONIC`) on.
    pub(super) fn every(&self, first_ns: u64, window: Duration) -> Result<(), Errno> {
        let first = TimeSpec::from_duration(Duration::from_nanos(first_ns));
        let expiration = Expiration::IntervalDelayed(first, TimeSpec::from_duration(window));
        self.timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
    }

    /// Sleeps until something happens, and takes note of it.
    pub(super) fn wait(&self) -> Result<Woken, Errno> {
        let mut events = [EpollEvent::empty(); 3];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        let mut woken = Woken::default();
        for event in &events[..count] {
            match event.data() {
                TIMER => {
                    woken.timer = true;
                    // Reads how often it expired: how late we are shows in the window's real length.
                    ignore_would_block(self.timer.wait())?;
                }
                RING => woken.ring = true,
                _ => {
                    woken.commands = true;
                    ignore_would_block(self.wake.read().map(drop))?;
                }
            }
        }
        Ok(woken)
    }
}

fn ignore_would_block(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EAGAIN) => Ok(()),
        other => other,
    }
}
