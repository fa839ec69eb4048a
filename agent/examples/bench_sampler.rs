//! Measures the sampler on the running kernel, as root, and prints one JSON object for `cargo xtask bench`.
//!
//! `bench_sampler CGROUP SECONDS`, where CGROUP is the path of a cgroup to be made below each mount: net cost of a charge over
//! an empty program on the same hook, both attached in the same run under a ping-pong of two threads on one CPU, and how far
//! that count is from the kernel's own; and reading 1000 containers, against 1000 preads of kept descriptors.
//!
//! `bench_sampler empty` attaches the empty program alone, says so in a line, and stays until its input ends.
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use headroom_agent::cgroup::{CgroupPath, Hierarchies, Mode};
use headroom_agent::sampler::cgroupfs::CgroupfsSource;
use headroom_agent::sampler::ebpf::cost::keep_statistics;
use headroom_agent::sampler::ebpf::{EbpfSource, Program};
use headroom_agent::sampler::{SlotId, UsageSource};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// How many containers are read.
const CONTAINERS: usize = 1000;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["empty"] {
        return hold_empty();
    }
    let [path, seconds] = &words[..] else { bail!("usage: bench_sampler CGROUP SECONDS, or: bench_sampler empty") };
    let seconds = seconds.parse().context("SECONDS is a whole number")?;
    let hierarchies = Hierarchies::probe()?;
    let group = Group::new(path, hierarchies.mode())?;

    let (charge, empty, distance) = cost(&hierarchies, &group, Duration::from_secs(seconds))?;
    let (mapped, preads) = reading(&hierarchies, &group)?;
    let result = serde_json::json!({
        "charge": {"value": charge, "unit": "ns/event"},
        "empty": {"value": empty, "unit": "ns/event"},
        "charge, net": {"value": charge - empty, "unit": "ns/event", "limit": 80},
        "distance": {"value": distance, "unit": "%", "limit": 1},
        "reading 1000, mapped": {"value": mapped, "unit": "ns"},
        "reading 1000, pread": {"value": preads, "unit": "ns"},
        "reading, ratio": {"value": preads / mapped, "unit": "x", "limit": 50},
    });
    println!("{result}");
    Ok(())
}

fn hold_empty() -> Result<()> {
    let mut empty = EbpfSource::verified(Hierarchies::probe()?.mode(), 1, Program::Empty)?;
    empty.attach()?;
    println!("attached");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Mean ns a run of the counting and of the empty program, warm; beside them how far the count was from the kernel's, in %.
fn cost(hierarchies: &Hierarchies, group: &Group, span: Duration) -> Result<(f64, f64, f64)> {
    let mut charge = EbpfSource::verified(hierarchies.mode(), 4096, Program::Charge)?;
    let mut empty = EbpfSource::verified(hierarchies.mode(), 4096, Program::Empty)?;
    let mut kernel = CgroupfsSource::new(1);
    let cgroup = hierarchies.open(&group.path)?;
    let slots = (charge.track(&cgroup)?, kernel.track(&cgroup)?);
    charge.attach()?;
    empty.attach()?;
    let _statistics = keep_statistics()?;
    group.enter()?;
    ping_pong(Duration::from_millis(500))?;
    let mut used =
        |charge: &mut EbpfSource| charge.used_ns(slots.0).zip(kernel.used_ns(slots.1)).context("the group is not counted");
    let used_before = used(&mut charge)?;
    let before = (charge.cost()?, empty.cost()?);
    ping_pong(span)?;
    let after = (charge.cost()?, empty.cost()?);
    let used_after = used(&mut charge)?;
    group.leave()?;
    let (ours, kernels) = (used_after.0 - used_before.0, used_after.1 - used_before.1);
    if kernels < u64::try_from(span.as_nanos())? / 8 {
        bail!("the players had {kernels} ns of CPU time in {} s: too little to measure", span.as_secs());
    }
    let distance = ours.abs_diff(kernels) as f64 / kernels as f64 * 100.0;
    match (after.0.mean_ns_since(before.0), after.1.mean_ns_since(before.1)) {
        (Some(charge), Some(empty)) => Ok((charge, empty, distance)),
        _ => bail!("no run was counted"),
    }
}

/// ns for the usage of all containers: from mapped slots, and by one pread each.
fn reading(hierarchies: &Hierarchies, group: &Group) -> Result<(f64, f64)> {
    let inner = (0..CONTAINERS).map(|n| group.below(&format!("c{n}"))).collect::<Result<Vec<_>>>()?;
    let mut mapped = EbpfSource::load(hierarchies.mode(), 4096)?;
    let mut preads = CgroupfsSource::new(4096);
    let (mut mapped_slots, mut pread_slots) = (Vec::new(), Vec::new());
    for group in &inner {
        let cgroup = hierarchies.open(&group.path)?;
        mapped_slots.push(mapped.track(&cgroup)?);
        pread_slots.push(preads.track(&cgroup)?);
    }
    Ok((median_reading(&mut mapped, &mapped_slots, 2000), median_reading(&mut preads, &pread_slots, 100)))
}

/// Median over the rounds: what else runs on the machine lengthens some.
fn median_reading(source: &mut dyn UsageSource, slots: &[SlotId], rounds: usize) -> f64 {
    let mut times: Vec<_> = (0..=rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(slots.iter().filter_map(|slot| source.used_ns(black_box(*slot))).fold(0, u64::wrapping_add));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2].as_nanos() as f64
}

/// Two threads on one CPU that wake each other in turn.
fn ping_pong(span: Duration) -> Result<()> {
    let ((mut a_in, mut b_out), (mut b_in, mut a_out)) = (std::io::pipe()?, std::io::pipe()?);
    let pin = || -> Result<()> {
        let mut cpu = CpuSet::new();
        cpu.set(0)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &cpu)?)
    };
    std::thread::scope(|scope| {
        let pong = scope.spawn(move || -> Result<()> {
            pin()?;
            let mut ball = [0];
            while b_in.read(&mut ball)? == 1 {
                b_out.write_all(&ball)?;
            }
            Ok(())
        });
        let ping = scope.spawn(move || -> Result<()> {
            pin()?;
            let began = Instant::now();
            let mut ball = [0];
            while began.elapsed() < span {
                a_out.write_all(&ball)?;
                a_in.read_exact(&mut ball)?;
            }
            Ok(())
        });
        let ended = [ping.join(), pong.join()];
        for end in ended {
            end.unwrap_or_else(|_| bail!("a player panicked"))?;
        }
        Ok(())
    })
}

/// A cgroup in each hierarchy that counts CPU time, removed at the end.
struct Group {
    path: CgroupPath,
    dirs: Vec<PathBuf>,
}

impl Group {
    fn new(path: &str, mode: Mode) -> Result<Self> {
        let roots: &[&str] = if mode == Mode::V2 { &[""] } else { &["cpu", "cpuacct"] };
        let mut dirs: Vec<PathBuf> = Vec::new();
        for root in roots {
            let root = PathBuf::from("/sys/fs/cgroup").join(root).canonicalize()?;
            if !dirs.contains(&root.join(path)) {
                dirs.push(root.join(path));
            }
        }
        for dir in &dirs {
            fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        let path = CgroupPath::new(path).context("not a cgroup path")?;
        Ok(Self { path, dirs })
    }

    fn below(&self, name: &str) -> Result<Self> {
        let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.join(name)).collect();
        for dir in &dirs {
            fs::create_dir(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        let path = CgroupPath::new(&format!("{}/{name}", self.path.as_str())).context("not a cgroup path")?;
        Ok(Self { path, dirs })
    }

    /// Moves this process in.
    fn enter(&self) -> Result<()> {
        self.dirs.iter().try_for_each(|dir| move_to(dir))
    }

    /// Moves it out again, to the top.
    fn leave(&self) -> Result<()> {
        let depth = self.path.as_str().split('/').count();
        self.dirs.iter().filter_map(|dir| dir.ancestors().nth(depth)).try_for_each(move_to)
    }
}

fn move_to(dir: &std::path::Path) -> Result<()> {
    let file = dir.join("cgroup.procs");
    fs::write(&file, "0").with_context(|| format!("moving to {}", file.display()))
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Still in there only after an error.
            let removed = fs::remove_dir(dir)
                .or_else(|_| self.leave().map_or_else(|e| Err(std::io::Error::other(e)), |()| fs::remove_dir(dir)));
            if let Err(e) = removed {
                eprintln!("{} is left behind: {e}", dir.display());
            }
        }
    }
}
