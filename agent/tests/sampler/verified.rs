//! What it takes the kernel's verifier to prove the programs, held against what it took when that was written down.

use std::path::Path;

use headroom_agent::cgroup::{Hierarchies, Mode};
use headroom_agent::sampler::ebpf::{EbpfSource, Program};

/// What was recorded; the path is there in a VM too.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent-ebpf/verified.toml");

/// By how much a count may exceed the recorded one: a stable kernel's later version need not count just the same.
const GROWTH: f64 = 1.1;

/// On a kernel that nobody recorded, far under the million at which a verifier gives up.
const CEILING: u32 = 20_000;

#[test]
fn the_verifier_takes_no_more_than_was_recorded() {
    let mode = Hierarchies::probe().unwrap().mode();
    let kernel = series();
    // By the cpu controller of v1, or in the v2 tree: what is not taken is no part of the program there.
    let followed = if mode == Mode::V2 { "v2" } else { "v1" };
    let mut failures = Vec::new();
    for program in [Program::Charge, Program::Empty, Program::Received, Program::Sent] {
        let source = EbpfSource::verified(mode, 4096, program).unwrap();
        let count = source.verified_instructions().unwrap().expect("kernels from 5.16 on say how much they verified");
        let (name, key) = (program.name(), format!("{kernel}-{followed}"));
        println!("kernel {key}: {name} took the verifier {count} instructions");
        let recorded = recorded(Path::new(RECORDED), name, &key);
        if let Some(failure) = judge(count, recorded) {
            failures.push(format!(
                "{name}: {failure}. If that is meant, write \"{key}\" = {count} below [{name}] in agent-ebpf/verified.toml"
            ));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Why a count is too much; `None` where it is not.
fn judge(count: u32, recorded: Option<u32>) -> Option<String> {
    match recorded {
        Some(recorded) if f64::from(count) > f64::from(recorded) * GROWTH => {
            Some(format!("the verifier goes through {count} instructions, where it took {recorded}"))
        }
        None if count > CEILING => Some(format!("the verifier goes through {count} instructions, expected at most {CEILING}")),
        _ => None,
    }
}

#[test]
fn a_growth_is_seen() {
    assert_eq!(judge(1100, Some(1000)), None);
    assert!(judge(1101, Some(1000)).unwrap().contains("1101 instructions, where it took 1000"));
    assert_eq!(judge(CEILING, None), None);
    assert!(judge(CEILING + 1, None).unwrap().contains("expected at most"));
}

/// The kernel's major and minor number, as `6.12`.
fn series() -> String {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    release.split(['.', '-', '+']).take(2).collect::<Vec<_>>().join(".")
}

fn recorded(file: &Path, program: &str, key: &str) -> Option<u32> {
    let table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let count = table.get(program)?.get(key)?.as_integer().unwrap();
    Some(u32::try_from(count).unwrap())
}
