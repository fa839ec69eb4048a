//! What is attached to a container runs in a group that its engine makes for it, inside or beside what the container itself has: it is counted
//! as the kernel counts it. (Everything else of accuracy is in `agent/tests/sampler/`.)

use std::thread::sleep;
use std::time::Duration;

use headroom_agent::cgroup::{CgroupPath, CpuClock, Hierarchies};
use headroom_agent::sampler::ebpf::EbpfSource;
use headroom_agent::sampler::{SlotId, UsageSource};

use crate::engine::LXC;

const SPAN: Duration = Duration::from_secs(5);

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc_attach() {
    let _bed = LXC.bed();
    let web = LXC.start("web", false);
    let hierarchies = Hierarchies::probe().unwrap();
    let cgroup = hierarchies.open(&CgroupPath::new("lxc.payload.web").unwrap()).unwrap();
    let mut source = EbpfSource::load(hierarchies.mode(), 64).unwrap();
    let (slot, clock) = (source.track(&cgroup).unwrap(), cgroup.cpu_clock().unwrap());
    web.spin(2);
    sleep(Duration::from_secs(1));
    let before = both(&mut source, slot, &clock);
    sleep(SPAN);
    let after = both(&mut source, slot, &clock);
    let [counted, kernel] = [0, 1].map(|of| after[of] - before[of]);
    println!("counted {counted} ns, the kernel {kernel} ns; {:?}", cgroup.processes());
    assert!(u128::from(kernel) > SPAN.as_nanos() / 2, "the load was too small: {kernel} ns");
    assert!(counted.abs_diff(kernel) as f64 <= 0.01 * kernel as f64, "counted {counted} ns, the kernel says {kernel} ns");
    web.rest();
}

/// Our count and the kernel's, at a moment without a charge between the readings.
fn both(source: &mut EbpfSource, slot: SlotId, clock: &CpuClock) -> [u64; 2] {
    loop {
        let counted = source.used_ns(slot).unwrap();
        let kernel = clock.total_ns().unwrap();
        if source.used_ns(slot) == Some(counted) {
            return [counted, kernel];
        }
    }
}
