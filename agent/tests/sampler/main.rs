//! The sampler on the running kernel, with real cgroups and real loads. As root; on v1, hybrid and v2 hosts.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests: what fails, fails the test")]

#[path = "../support/talk.rs"]
mod talk;

mod accuracy;
mod events;
mod fallback;
mod load;
mod net;
mod testbed;
mod verified;

use std::time::Duration;

use headroom_agent::cgroup::Hierarchies;
use headroom_agent::sampler::ebpf::EbpfSource;

/// Until a load that was started runs.
const SETTLE: Duration = Duration::from_millis(300);

fn ebpf() -> EbpfSource {
    EbpfSource::load(Hierarchies::probe().unwrap().mode(), 4096).unwrap()
}
