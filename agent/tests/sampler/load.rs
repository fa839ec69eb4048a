//! The loads: this test binary, started again inside a cgroup.

use std::process::Command;
use std::time::{Duration, Instant};

/// Which load, and for how many ms.
pub(crate) const ENV: &str = "HEADROOM_TEST_LOAD";

/// What a load says when it waits to be let go.
pub(crate) const READY: &str = "ready";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One thread that never sleeps.
    Spin,
    /// One such thread a core.
    SpinEverywhere,
    /// 1 ms on, 9 ms off.
    Bursts,
    /// A hundred processes a second.
    Processes,
}

impl Load {
    const ALL: [Self; 4] = [Self::Spin, Self::SpinEverywhere, Self::Bursts, Self::Processes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::SpinEverywhere => "spin-everywhere",
            Self::Bursts => "bursts",
            Self::Processes => "processes",
        }
    }

    fn run(self, end: Instant) {
        match self {
            Self::Spin => spin(end),
            Self::SpinEverywhere => std::thread::scope(|scope| {
                for _ in 0..std::thread::available_parallelism().unwrap().get() {
                    scope.spawn(|| spin(end));
                }
            }),
            Self::Bursts => {
                while Instant::now() < end {
                    spin(Instant::now() + Duration::from_millis(1));
                    std::thread::sleep(Duration::from_millis(9));
                }
            }
            Self::Processes => {
                let mut next = Instant::now();
                while Instant::now() < end {
                    assert!(Command::new("true").status().unwrap().success());
                    next += Duration::from_millis(10);
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }
        }
    }
}

fn spin(end: Instant) {
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Says that it is there, waits for a line, then loads.
#[test]
#[ignore = "not a test: the load that the tests start inside a cgroup"]
fn load() {
    let Ok(wanted) = std::env::var(ENV) else { return };
    let (name, ms) = wanted.split_once(' ').unwrap();
    let load = Load::ALL.into_iter().find(|load| load.name() == name).unwrap();
    println!("{READY}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    load.run(Instant::now() + Duration::from_millis(ms.parse().unwrap()));
}
