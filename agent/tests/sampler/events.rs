//! Thresholds: the kernel rings once for each arming, and never without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use headroom_agent::sampler::ebpf::EbpfSource;
use headroom_agent::sampler::{Passed, SamplerError, SlotId, SourceHealth, UsageSource};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::time::{ClockId, clock_gettime};

use crate::load::Load;
use crate::testbed::TestCgroup;
use crate::{SETTLE, ebpf};

const MS: u64 = 1_000_000;

/// A load in a cgroup, tracked.
fn spinning(source: &mut EbpfSource) -> (TestCgroup, SlotId) {
    let mut cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    cgroup.run(Load::Spin, Duration::from_mins(1));
    std::thread::sleep(SETTLE);
    (cgroup, slot)
}

fn now_ns() -> u64 {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap());
    u64::try_from(now.as_nanos()).unwrap()
}

/// What comes until `slot` has used so much more.
fn passed_while_using(source: &mut EbpfSource, slot: SlotId, more_ns: u64) -> Vec<Passed> {
    let end = source.used_ns(slot).unwrap() + more_ns;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut passed = Vec::new();
    while source.used_ns(slot).unwrap() < end {
        assert!(Instant::now() < deadline, "the load does not run");
        std::thread::sleep(Duration::from_millis(5));
        source.drain(&mut |one| passed.push(one));
    }
    passed
}

#[test]
fn a_threshold_rings_once_with_what_was_true_then() {
    let mut source = ebpf();
    let (_cgroup, slot) = spinning(&mut source);
    let threshold = source.used_ns(slot).unwrap() + 50 * MS;
    let before = now_ns();
    assert!(source.arm(slot, Some(threshold)));

    let fd = source.events().unwrap();
    let ready = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(30_000_u16)).unwrap();
    assert_eq!(ready, 1, "no event came");
    let mut passed = Vec::new();
    source.drain(&mut |one| passed.push(one));
    let [one] = passed[..] else { panic!("expected one event, got {passed:?}") };
    assert_eq!((one.slot, one.armed_ns), (slot, threshold));
    assert!(one.used_ns >= threshold && one.used_ns <= source.used_ns(slot).unwrap(), "{one:?}");
    assert!((before..=now_ns()).contains(&one.at_ns), "{one:?} is not between {before} and now");

    assert_eq!(passed_while_using(&mut source, slot, 200 * MS), []);
    assert_eq!(source.health(), SourceHealth::default());
}

#[test]
fn each_arming_rings_again() {
    let mut source = ebpf();
    let (_cgroup, slot) = spinning(&mut source);
    for _ in 0..20 {
        let threshold = source.used_ns(slot).unwrap() + 10 * MS;
        assert!(source.arm(slot, Some(threshold)));
        let passed = passed_while_using(&mut source, slot, 20 * MS);
        assert_eq!(passed.iter().map(|one| one.armed_ns).collect::<Vec<_>>(), [threshold]);
    }
}

#[test]
fn a_threshold_already_passed_is_said_at_once_and_does_not_ring() {
    let mut source = ebpf();
    let (_cgroup, slot) = spinning(&mut source);
    let used = source.used_ns(slot).unwrap();
    assert!(used > 0);
    assert!(!source.arm(slot, Some(used)));
    assert!(!source.arm(slot, Some(1)));
    assert_eq!(passed_while_using(&mut source, slot, 100 * MS), []);
}

#[test]
fn what_was_disarmed_or_replaced_does_not_ring() {
    let mut source = ebpf();
    let (_cgroup, slot) = spinning(&mut source);
    let used = source.used_ns(slot).unwrap();
    assert!(source.arm(slot, Some(used + 50 * MS)));
    assert!(source.arm(slot, None));
    assert_eq!(passed_while_using(&mut source, slot, 100 * MS), []);

    let used = source.used_ns(slot).unwrap();
    assert!(source.arm(slot, Some(used + 20 * MS)));
    // It rings, nobody listens, and it is replaced: the first is no news any more.
    while source.used_ns(slot).unwrap() < used + 40 * MS {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = source.used_ns(slot).unwrap() + 50 * MS;
    assert!(source.arm(slot, Some(second)));
    let passed = passed_while_using(&mut source, slot, 100 * MS);
    assert_eq!(passed.iter().map(|one| one.armed_ns).collect::<Vec<_>>(), [second]);
}

#[test]
fn a_nested_load_passes_the_threshold_of_what_is_around_it() {
    let mut source = ebpf();
    let outer = TestCgroup::new();
    let mut inner = outer.below("inner");
    let outer_slot = source.track(&outer.open()).unwrap();
    let inner_slot = source.track(&inner.open()).unwrap();
    assert!(source.arm(outer_slot, Some(50 * MS)));
    assert!(source.arm(inner_slot, Some(80 * MS)));
    inner.run(Load::Spin, Duration::from_mins(1));
    let passed = passed_while_using(&mut source, outer_slot, 200 * MS);
    assert_eq!(passed.iter().map(|one| one.slot).collect::<Vec<_>>(), [outer_slot, inner_slot]);
}

#[test]
fn a_slot_given_back_does_not_ring_and_counts_from_zero_for_the_next() {
    let mode = headroom_agent::cgroup::Hierarchies::probe().unwrap().mode();
    let mut source = EbpfSource::load(mode, 1).unwrap();
    let (first, slot) = spinning(&mut source);
    let used = source.used_ns(slot).unwrap();
    assert!(source.arm(slot, Some(used + 50 * MS)));
    let second = TestCgroup::new();
    assert!(matches!(source.track(&second.open()), Err(SamplerError::Full { capacity: 1, .. })));

    source.untrack(slot);
    assert_eq!(source.used_ns(slot), None);
    assert!(!source.arm(slot, Some(u64::MAX - 1)));
    let slot = source.track(&second.open()).unwrap();
    // The first one still runs, and is nobody's.
    std::thread::sleep(SETTLE);
    assert_eq!(source.used_ns(slot), Some(0));
    let mut passed = Vec::new();
    source.drain(&mut |one| passed.push(one));
    assert_eq!(passed, []);
    drop(first);
}

/// A process in a cgroup that runs for a moment at each line it is sent.
struct Echo {
    cat: Child,
    answers: BufReader<ChildStdout>,
}

impl Echo {
    fn new(cgroup: &TestCgroup) -> Self {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        cgroup.attach(cat.id());
        let answers = BufReader::new(cat.stdout.take().unwrap());
        Self { cat, answers }
    }

    fn send(&mut self) {
        self.cat.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    fn receive(&mut self) {
        self.answers.read_line(&mut String::new()).unwrap();
    }

    /// Runs until it was charged `until_ns`. One run may be charged nothing: where the machine's host took CPU time from us, the
    /// kernel takes that off what runs next (`update_rq_clock_task` in `kernel/sched/core.c`), and a run of ours is shorter.
    fn run_until(&mut self, source: &mut EbpfSource, slot: SlotId, until_ns: u64) {
        while source.used_ns(slot).unwrap() < until_ns {
            self.send();
            self.receive();
            // It is charged when it waits for the next line, which is after it has answered.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.cat.kill().and_then(|()| self.cat.wait()));
    }
}

#[test]
fn five_hundred_at_once_are_all_told() {
    let mut source = ebpf();
    let cgroups: Vec<_> = (0..500).map(|_| TestCgroup::new()).collect();
    let slots: Vec<_> = cgroups.iter().map(|cgroup| source.track(&cgroup.open()).unwrap()).collect();
    let mut echoes: Vec<_> = cgroups.iter().map(Echo::new).collect();
    std::thread::sleep(SETTLE);
    let thresholds: Vec<_> = slots.iter().map(|slot| source.used_ns(*slot).unwrap() + 1).collect();
    for (slot, threshold) in slots.iter().zip(&thresholds) {
        assert!(source.arm(*slot, Some(*threshold)));
    }
    echoes.iter_mut().for_each(Echo::send);
    echoes.iter_mut().for_each(Echo::receive);
    for ((echo, slot), threshold) in echoes.iter_mut().zip(&slots).zip(&thresholds) {
        echo.run_until(&mut source, *slot, *threshold);
    }
    let mut passed = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while passed.len() < slots.len() && Instant::now() < deadline {
        source.drain(&mut |one| passed.push(one.slot));
        std::thread::sleep(Duration::from_millis(5));
    }
    passed.sort_unstable();
    assert_eq!(passed, slots, "each once");
    assert_eq!(source.health(), SourceHealth::default());
    drop(echoes);
}

#[test]
fn what_finds_no_room_is_counted_and_the_next_comes_through() {
    const TIMES: u64 = 8000;
    let mut source = ebpf();
    let cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    let mut echo = Echo::new(&cgroup);
    // Nobody listens.
    for _ in 0..TIMES {
        let used = source.used_ns(slot).unwrap();
        source.arm(slot, Some(used + 1));
        echo.send();
        echo.receive();
    }
    let dropped = source.health().events_dropped;
    assert!(dropped > 0 && dropped < TIMES, "{dropped} of {TIMES}: the ring holds some thousands");
    source.drain(&mut |_| {});
    let used = source.used_ns(slot).unwrap();
    assert!(source.arm(slot, Some(used + 1)));
    echo.run_until(&mut source, slot, used + 1);
    let mut passed = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while passed.is_empty() && Instant::now() < deadline {
        source.drain(&mut |one| passed.push(one.armed_ns));
    }
    assert_eq!(passed, [used + 1]);
}

#[test]
fn a_correction_counts_and_the_count_never_goes_back() {
    let mut source = ebpf();
    let cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    source.correct(slot, 5_000);
    assert_eq!(source.used_ns(slot), Some(5_000));
    source.correct(slot, -3_000);
    assert_eq!(source.used_ns(slot), Some(5_000));
    source.correct(slot, 2_000);
    assert_eq!(source.used_ns(slot), Some(5_000), "it stands still until the count has caught up");
    source.correct(slot, 2_000);
    assert_eq!(source.used_ns(slot), Some(6_000));
}

#[test]
fn it_says_when_a_container_woke() {
    let mut source = ebpf();
    let mut cgroup = TestCgroup::new();
    let slot = source.track(&cgroup.open()).unwrap();
    assert_eq!(source.woke_ns(slot), Some(0), "nothing has run");
    let started = now_ns();
    cgroup.run(Load::Spin, Duration::from_mins(1));
    passed_while_using(&mut source, slot, 20 * MS);
    let woke = source.woke_ns(slot).unwrap();
    // It has run for 20 ms since.
    assert!((started..now_ns() - 20 * MS).contains(&woke), "{woke} is not within 20 ms of {started} and now");

    passed_while_using(&mut source, slot, 50 * MS);
    assert_eq!(source.woke_ns(slot), Some(woke), "no window has begun since");

    // A charge between reading and opening leaves the window without a first one: then it is opened again.
    let deadline = Instant::now() + Duration::from_secs(30);
    while source.woke_ns(slot) == Some(woke) {
        assert!(Instant::now() < deadline, "no charge is the first of a window");
        let used = source.used_ns(slot).unwrap();
        source.open(slot, used);
        std::thread::sleep(Duration::from_millis(10));
    }
    // What was running when the window opened is charged from before it.
    assert!(source.woke_ns(slot).unwrap() > woke + 50 * MS);
}
