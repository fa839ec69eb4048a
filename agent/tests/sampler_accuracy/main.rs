//! The eBPF source against the kernel's own accounting, on the running kernel, with real cgroups and loads. As root.

mod load;
mod testbed;

use std::time::Duration;

use headroom_agent::cgroup::Hierarchies;
use headroom_agent::sampler::cgroupfs::CgroupfsSource;
use headroom_agent::sampler::ebpf::EbpfSource;
use headroom_agent::sampler::{SlotId, UsageSource};

use crate::load::Load;
use crate::testbed::TestCgroup;

/// Over which the sources are compared.
const SPAN: Duration = Duration::from_secs(5);

/// What a source and the kernel say of one cgroup at one moment.
struct Counts {
    source_ns: u64,
    kernel: Vec<(std::path::PathBuf, u64)>,
}

fn ebpf() -> EbpfSource {
    EbpfSource::load(Hierarchies::probe().unwrap().mode(), 4096).unwrap()
}

fn counts(source: &mut dyn UsageSource, slot: SlotId, cgroup: &TestCgroup) -> Counts {
    Counts { source_ns: source.used_ns(slot).unwrap(), kernel: cgroup.kernel_ns() }
}

/// Both have counted `at_least` since `before`, and the same within 1%.
fn assert_agree(what: &str, before: &Counts, after: &Counts, at_least: Duration) {
    let counted = after.source_ns - before.source_ns;
    for ((file, from), (_, to)) in before.kernel.iter().zip(&after.kernel) {
        let kernel = to - from;
        let distance = counted.abs_diff(kernel) as f64 / kernel as f64;
        println!("{what}: {counted} ns, {} says {kernel} ns: {:.4}% apart", file.display(), distance * 100.0);
        assert!(u128::from(kernel) >= at_least.as_nanos(), "{what}: the load was too small: {kernel} ns");
        assert!(distance <= 0.01, "{what}: counted {counted} ns, {} says {kernel} ns", file.display());
    }
}

/// Runs one load for the span and compares.
fn agrees_under(load: Load, at_least: Duration) {
    let mut source = ebpf();
    let mut cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    cgroup.run(load, SPAN + Duration::from_secs(20));
    std::thread::sleep(Duration::from_millis(300));
    let before = counts(&mut source, slot, &cgroup);
    std::thread::sleep(SPAN);
    let after = counts(&mut source, slot, &cgroup);
    assert_agree(load.name(), &before, &after, at_least);
    assert_eq!(source.health(), headroom_agent::sampler::SourceHealth::default());
}

#[test]
fn one_spinning_thread() {
    agrees_under(Load::Spin, SPAN / 5);
}

#[test]
fn threads_on_every_core() {
    agrees_under(Load::SpinEverywhere, SPAN / 5);
}

#[test]
fn short_bursts() {
    agrees_under(Load::Bursts, SPAN / 50);
}

#[test]
fn a_hundred_processes_a_second() {
    agrees_under(Load::Processes, SPAN / 100);
}
