use super::*;

type Rule = fn(&Source<'_>) -> Vec<Finding>;

fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source { path, text }).into_iter().map(|finding| finding.line).collect()
}

#[test]
fn aya_is_named_by_the_ebpf_source_only() {
    let text = "use std::fmt;\nuse aya::Ebpf;\n";
    assert_eq!(lines(aya, "agent/src/sampler/cgroupfs.rs", text), [2]);
    assert_eq!(lines(aya, "agent/src/sampler/ebpfish.rs", text), [2]);
    for allowed in ["agent/src/sampler/ebpf.rs", "agent/src/sampler/ebpf/maps.rs", "agent/benches/cost.rs", "agent/tests/load.rs"]
    {
        assert!(lines(aya, allowed, text).is_empty(), "{allowed}");
    }
    assert!(lines(aya, "agent/src/host.rs", "// aya has no mmap\nlet ayatollah = 1;\n").is_empty());
}

#[test]
fn cgroupfs_is_written_by_cgroup_only() {
    let writes = "const ROOT: &str = \"/sys/fs/cgroup\";\nfn f() { std::fs::write(path, text) }\n";
    assert_eq!(lines(cgroupfs, "agent/src/scaler/apply.rs", writes), [2]);
    assert!(lines(cgroupfs, "agent/src/cgroup/v2.rs", writes).is_empty());
    let reads = "const ROOT: &str = \"/sys/fs/cgroup\";\nfn f() { std::fs::read_to_string(path) }\n";
    assert!(lines(cgroupfs, "agent/src/host.rs", reads).is_empty());
    let elsewhere = "fn f() { std::fs::write(state_file, text) }\n";
    assert!(lines(cgroupfs, "agent/src/guardian/state.rs", elsewhere).is_empty());
    assert_eq!(lines(cgroupfs, "agent/src/scaler.rs", "use cgroups_rs::Cgroup;\n"), [1]);
}

#[test]
fn settings_are_read_by_config_only() {
    let text = "let level = std::env::var(\"LEVEL\");\nlet args = std::env::args();\n";
    assert_eq!(lines(settings, "agent/src/link.rs", text), [1]);
    assert!(lines(settings, "agent/src/config/load.rs", text).is_empty());
    assert!(lines(settings, "xtask/src/vm.rs", text).is_empty());
    assert!(lines(settings, "agent/src/main.rs", "let version = env!(\"CARGO_PKG_VERSION\");\n").is_empty());
}

#[test]
fn the_model_has_no_clock_and_no_files() {
    let text = "use std::time::{Duration, Instant};\nuse std::fmt;\nlet now = SystemTime::now();\nstd::fs::read(p);\n";
    assert_eq!(lines(model, "model/src/policy.rs", text), [1, 3, 4]);
    assert!(lines(model, "agent/src/guardian.rs", text).is_empty());
    assert!(lines(model, "model/src/policy/tests.rs", text).is_empty());
}

#[test]
fn libraries_do_not_print() {
    let text = "fn f() {\n    println!(\"x\");\n    eprintln!(\"y\");\n    writeln!(out, \"z\");\n}\n#[cfg(test)]\nmod tests {\n    fn t() { println!(); }\n}\n";
    assert_eq!(lines(prints, "agent/src/scaler.rs", text), [2, 3]);
    assert!(lines(prints, "agent/src/main.rs", text).is_empty());
    assert!(lines(prints, "agent/src/bin/x.rs", text).is_empty());
}

#[test]
fn unsafe_is_where_ebpf_is_loaded() {
    let text = "fn f() { unsafe { g() } }\n// unsafe in a comment\n#![deny(unsafe_op_in_unsafe_fn)]\n";
    assert_eq!(lines(unsafe_code, "agent/src/scaler.rs", text), [1]);
    assert!(lines(unsafe_code, "agent/src/sampler/ebpf/mmap.rs", text).is_empty());
    assert!(lines(unsafe_code, "agent-ebpf/src/main.rs", text).is_empty());
}
