//! The sources against the kernel's own accounting: within 1% over 5 s.

use std::path::PathBuf;
use std::time::Duration;

use headroom_agent::sampler::audit::{Audit, Reading};
use headroom_agent::sampler::cgroupfs::CgroupfsSource;
use headroom_agent::sampler::ebpf::EbpfSource;
use headroom_agent::sampler::{SlotId, SourceHealth, UsageSource};

use crate::load::Load;
use crate::testbed::TestCgroup;
use crate::{SETTLE, ebpf};

/// Over which the sources are compared.
const SPAN: Duration = Duration::from_secs(5);

/// Less than this says nothing; a busy machine may not give more.
const LEAST: Duration = Duration::from_millis(10);

/// What a source and the kernel say of one cgroup at one moment.
struct Counts {
    source_ns: u64,
    kernel: Vec<(PathBuf, u64)>,
}

/// Reads both, at a moment without a charge between the readings.
fn counts(source: &mut dyn UsageSource, slot: SlotId, cgroup: &TestCgroup) -> Counts {
    loop {
        let source_ns = source.used_ns(slot).unwrap();
        let kernel = cgroup.kernel_ns();
        if source.used_ns(slot) == Some(source_ns) {
            return Counts { source_ns, kernel };
        }
    }
}

/// Both have counted something since `before`, and the same within 1%.
fn assert_agree(what: &str, before: &Counts, after: &Counts) {
    let counted = after.source_ns - before.source_ns;
    for ((file, from), (_, to)) in before.kernel.iter().zip(&after.kernel) {
        let kernel = to - from;
        let distance = counted.abs_diff(kernel) as f64 / kernel as f64;
        println!("{what}: {counted} ns, {} says {kernel} ns: {:.4}% apart", file.display(), distance * 100.0);
        assert!(u128::from(kernel) >= LEAST.as_nanos(), "{what}: the load was too small: {kernel} ns");
        assert!(distance <= 0.01, "{what}: counted {counted} ns, {} says {kernel} ns", file.display());
    }
}

/// Runs one load for the span and compares.
fn agrees_under(load: Load) {
    let mut source = ebpf();
    let mut cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    cgroup.run(load, SPAN * 5);
    std::thread::sleep(SETTLE);
    let before = counts(&mut source, slot, &cgroup);
    std::thread::sleep(SPAN);
    let after = counts(&mut source, slot, &cgroup);
    assert_agree(load.name(), &before, &after);
    assert_eq!(source.health(), SourceHealth::default());
}

#[test]
fn one_spinning_thread() {
    agrees_under(Load::Spin);
}

#[test]
fn threads_on_every_core() {
    agrees_under(Load::SpinEverywhere);
}

#[test]
fn short_bursts() {
    agrees_under(Load::Bursts);
}

#[test]
fn a_hundred_processes_a_second() {
    agrees_under(Load::Processes);
}

#[test]
fn a_nested_tree() {
    let mut source = ebpf();
    let mut outer = TestCgroup::new();
    let mut inner = outer.below("inner");
    let middle = inner.below("middle");
    let mut leaf = middle.below("leaf");
    // The inner one is tracked too, and before the one around it; those below are not.
    let inner_slot = source.track(&inner.open()).unwrap();
    let outer_slot = source.track(&outer.open()).unwrap();
    leaf.run(Load::Spin, SPAN * 5);
    inner.run(Load::Bursts, SPAN * 5);
    outer.run(Load::Bursts, SPAN * 5);
    std::thread::sleep(SETTLE);
    let before = [counts(&mut source, outer_slot, &outer), counts(&mut source, inner_slot, &inner)];
    std::thread::sleep(SPAN);
    let after = [counts(&mut source, outer_slot, &outer), counts(&mut source, inner_slot, &inner)];
    assert_agree("outer", &before[0], &after[0]);
    assert_agree("inner", &before[1], &after[1]);
    // Without the inner one, what runs there is still the outer one's.
    source.untrack(inner_slot);
    assert_eq!(source.used_ns(inner_slot), None);
    let before = counts(&mut source, outer_slot, &outer);
    std::thread::sleep(SPAN / 5);
    assert_agree("outer alone", &before, &counts(&mut source, outer_slot, &outer));
}

#[test]
fn a_container_that_appears_and_goes() {
    let mut source = ebpf();
    let mut stays = TestCgroup::new();
    let stays_slot = source.track(&stays.open()).unwrap();
    stays.run(Load::Spin, SPAN * 5);
    std::thread::sleep(SETTLE);
    let before = counts(&mut source, stays_slot, &stays);
    let mut comes = TestCgroup::new();
    for _ in 0..5 {
        let slot = source.track(&comes.open()).unwrap();
        let counts_before = counts(&mut source, slot, &comes);
        assert_eq!(counts_before.source_ns, 0);
        comes.run(Load::Processes, SPAN / 10);
        comes.run(Load::Spin, SPAN / 10);
        comes.wait();
        assert_agree("comes and goes", &counts_before, &counts(&mut source, slot, &comes));
        source.untrack(slot);
        comes = comes.anew();
    }
    assert_agree("stays", &before, &counts(&mut source, stays_slot, &stays));
}

#[test]
fn the_files_of_the_kernel_as_the_source() {
    let mut source = CgroupfsSource::new(2);
    let mut cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    // From before the load begins: on a busy machine it may be over before one looks again.
    let before = counts(&mut source, slot, &cgroup);
    cgroup.run(Load::Spin, SPAN / 5);
    cgroup.wait();
    assert_agree("cgroupfs", &before, &counts(&mut source, slot, &cgroup));
    drop(cgroup);
    assert_eq!(source.used_ns(slot), None, "a container that is gone has no zero");
    assert_eq!(source.health().read_errors, 0);
}

#[test]
fn the_audit_finds_what_was_miscounted_and_puts_it_right() {
    let mut source = ebpf();
    let mut cgroup = TestCgroup::new();
    let opened = cgroup.open();
    let (slot, clock) = (source.track(&opened).unwrap(), opened.cpu_clock().unwrap());
    let mut audit = Audit::default();
    let mut verdict = |source: &mut EbpfSource| {
        let before_ns = source.counted_ns(slot).unwrap();
        let kernel_ns = clock.total_ns().unwrap();
        audit.judge(Reading { before_ns, kernel_ns, after_ns: source.counted_ns(slot).unwrap() })
    };
    assert_eq!(verdict(&mut source), None);
    cgroup.run(Load::Spin, SPAN * 5);
    std::thread::sleep(SETTLE);
    assert_eq!(verdict(&mut source).unwrap().correct_by_ns, None);

    let stolen = 1_000_000_000;
    source.correct(slot, stolen);
    std::thread::sleep(SETTLE);
    let by_ns = verdict(&mut source).unwrap().correct_by_ns.expect("a drift of a second");
    assert!((by_ns + stolen).abs() < 10_000_000, "{by_ns} ns");
    let said = source.used_ns(slot).unwrap();
    source.correct(slot, by_ns);
    assert_eq!(source.used_ns(slot), Some(said), "what was said is not taken back");
    for _ in 0..3 {
        std::thread::sleep(SETTLE);
        assert_eq!(verdict(&mut source).unwrap().correct_by_ns, None);
    }
}
