//! What is attached to a container runs in a group that its engine makes for it, inside or beside what the container itself has: it is counted
//! as the kernel counts it. (What runs deeper in one is in `nested.rs`, everything else of accuracy in `agent/tests/sampler/`.)

use std::thread::sleep;
use std::time::Duration;

use headroom_agent::cgroup::{Cgroup, CgroupPath, CpuClock, Hierarchies};
use headroom_agent::sampler::ebpf::EbpfSource;
use headroom_agent::sampler::{SlotId, UsageSource};

use crate::engine::LXC;

const SPAN: Duration = Duration::from_secs(5);

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc_attach() {
    let _bed = LXC.bed();
    let web = LXC.start("web", false);
    let count = Count::of("lxc.payload.web");
    web.spin(2);
    sleep(Duration::from_secs(1));
    count.assert_right();
    web.rest();
}

/// What a container uses, counted by us and by the kernel.
pub(crate) struct Count {
    path: String,
    source: EbpfSource,
    slot: SlotId,
    cgroup: Cgroup,
    clock: CpuClock,
}

impl Count {
    /// Counts from now on.
    pub(crate) fn of(path: &str) -> Self {
        let hierarchies = Hierarchies::probe().unwrap();
        let cgroup = hierarchies.open(&CgroupPath::new(path).unwrap()).unwrap();
        let mut source = EbpfSource::load(hierarchies.mode(), 64).unwrap();
        let (slot, clock) = (source.track(&cgroup).unwrap(), cgroup.cpu_clock().unwrap());
        Self { path: path.to_owned(), source, slot, cgroup, clock }
    }

    /// Of a container that is busy both have counted the same, within 1%.
    pub(crate) fn assert_right(mut self) {
        let before = self.both();
        sleep(SPAN);
        let after = self.both();
        let [counted, kernel] = [0, 1].map(|of| after[of] - before[of]);
        eprintln!("{}: counted {counted} ns, the kernel {kernel} ns; {:?}", self.path, self.cgroup.processes());
        assert!(u128::from(kernel) > SPAN.as_nanos() / 2, "the load was too small: {kernel} ns");
        assert!(counted.abs_diff(kernel) as f64 <= 0.01 * kernel as f64, "counted {counted} ns, the kernel says {kernel} ns");
    }

    /// At a moment without a charge between the readings.
    fn both(&mut self) -> [u64; 2] {
        loop {
            let counted = self.source.used_ns(self.slot).unwrap();
            let kernel = self.clock.total_ns().unwrap();
            if self.source.used_ns(self.slot) == Some(counted) {
                return [counted, kernel];
            }
        }
    }
}
