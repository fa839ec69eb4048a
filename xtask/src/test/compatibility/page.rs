//! The page, as text.

use std::fmt::Write as _;

use super::features::{FEATURES, is_ours};
use super::{Seen, Test};

const HEAD: &str = "\
# Compatibility

Written by `cargo xtask test --all` (and `--on GROUND`, for one column) from what the tests said: how many of the tests that tell of a
feature passed there. An empty cell was not run there, and nothing is claimed for it; [testing.md](testing.md) says why. VMs are QEMU's plain
emulation of two CPUs; what they cannot tell, latency above all, is in [benchmarks.md](benchmarks.md). A test counts in the first row that it
tells of.

";

/// The page of all that was seen.
pub(super) fn of(grounds: &[Seen]) -> String {
    let cells = |of: &dyn Fn(&Seen) -> String| grounds.iter().fold(String::new(), |line, seen| line + " " + &of(seen) + " |");
    let mut page = HEAD.to_owned();
    let mut line = |first: &str, rest: &str| writeln!(page, "| {first} |{rest}").unwrap_or_default();
    line("", &cells(&|seen| seen.kernel.clone()));
    line("---", &cells(&|_| "---".to_owned()));
    line("cgroup", &cells(&|seen| seen.cgroup.clone()));
    line("where", &cells(&|seen| seen.place.clone()));
    line("when, which commit", &cells(&|seen| format!("{}, {}", seen.day, seen.commit)));
    for (number, feature) in FEATURES.iter().enumerate() {
        line(feature.name, &cells(&|seen| cell(seen, number)));
    }
    page
}

/// `3 of 3`, or which failed; empty where nothing ran.
fn cell(seen: &Seen, feature: usize) -> String {
    let tells = |test: &&Test| {
        !is_ours(&test.name) && FEATURES.iter().position(|feature| feature.tells(&test.program, &test.name)) == Some(feature)
    };
    let tests: Vec<_> = seen.tests.iter().filter(tells).collect();
    let failed: Vec<_> = tests.iter().filter(|test| !test.passed).map(|test| format!("`{}`", test.name)).collect();
    match (tests.len(), failed.len()) {
        (0, _) => String::new(),
        (all, 0) => format!("{all} of {all}"),
        (all, some) => format!("{} of {all}; **failed**: {}", all - some, failed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_counts_once_and_failures_are_named() {
        let tests = [
            ("headroom-agent cgroup", "conformance::on_this_kernel::the_cpu_quota_goes_up_down_and_off", true),
            ("headroom-agent cgroup", "conformance::on_fake_v1::the_cpu_quota_goes_up_down_and_off", false),
            ("headroom-agent cgroup", "conflicts::on_this_kernel::ids_are_inodes_of_the_directories", true),
            ("headroom-agent daemon", "phases::limits_follow_usage", false),
            ("headroom-agent daemon", "phases::without_bpf_rights", true),
        ];
        let tests =
            tests.map(|(program, name, passed)| Test { program: program.to_owned(), name: name.to_owned(), passed }).to_vec();
        let text = |text: &str| text.to_owned();
        let seen = Seen {
            kernel: text("6.1.9"),
            cgroup: text("v1"),
            place: text("VM"),
            day: text("2026-01-02"),
            commit: text("abc"),
            tests,
        };
        let page = of(&[seen]);
        for line in [
            "|  | 6.1.9 |",
            "| when, which commit | 2026-01-02, abc |",
            "| CPU quota, period and burst: set, raised, lowered, taken off, refused, undone | 1 of 1 |",
            "| every other test of the cgroup writer | 1 of 1 |",
            "| limits follow usage through the five phases | 0 of 1; **failed**: `phases::limits_follow_usage` |",
            "| without BPF rights: the kernel's files, and why | 1 of 1 |",
            "| Docker: its own updates |  |",
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
    }
}
