//! `check` on the machine that the tests run on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use headroom_agent::check::decide::{Level, Outcome};
use headroom_agent::check::{Style, Try, report, run};

fn refused() -> Result<(), String> {
    Err("tried nothing".to_owned())
}

#[test]
fn the_json_says_what_the_table_says() {
    let tries = Try { ebpf: &refused, config: &|_| Ok(None) };
    let report = report(None, &tries);
    // Where limits can be written at all, the agent works without eBPF.
    assert_eq!(report.outcome, Outcome::Cgroupfs, "{report:#?}");
    let ebpf = report.findings.iter().find(|finding| finding.subject == "eBPF").unwrap();
    assert_eq!((ebpf.level, ebpf.found.as_str()), (Level::Less, "tried nothing"));

    let mut json = Vec::new();
    run(None, &tries, Style::Json, &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["outcome"], "cgroupfs");
    assert_eq!(json["findings"].as_array().unwrap().len(), report.findings.len());

    let mut table = Vec::new();
    run(None, &tries, Style::Table { colour: false }, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    println!("{table}");
    for finding in &report.findings {
        assert!(table.contains(finding.subject), "{finding:?}\n{table}");
    }
}

#[test]
fn a_config_that_is_wrong_is_named() {
    let config = |path: &Path| Err(format!("{}: line 3: unknown key", path.display()));
    let report = report(Some(Path::new("agent.toml")), &Try { ebpf: &refused, config: &config });
    assert_eq!(report.outcome, Outcome::No);
    assert_eq!((report.findings[0].subject, report.findings[0].found.as_str()), ("config", "agent.toml: line 3: unknown key"));
}
