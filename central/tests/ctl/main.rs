//! `headroomctl` against a real central: what it does, what it shows, how it ends.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "tests; two of them share a bed")]

mod bed;
mod openapi;
mod place;
mod tls;

use std::fs;
use std::process::{Command, Output};

use bed::{Agent, Central};
use serde_json::{Value, json};

/// Runs it; the words are separated by spaces.
pub(crate) fn ctl(url: &str, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    for key in ["HEADROOM_CENTRAL", "HEADROOM_TOKEN", "HEADROOM_TOKEN_FILE", "HEADROOM_CA"] {
        command.env_remove(key);
    }
    command.args(line.split_whitespace()).args(["--central", url]).output().unwrap()
}

pub(crate) fn done(url: &str, line: &str) -> String {
    let output = ctl(url, line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says when it ends with this status.
pub(crate) fn fails(url: &str, line: &str, status: i32) -> String {
    let output = ctl(url, line);
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}: {says}");
    assert!(output.stdout.is_empty(), "{line}");
    says
}

#[test]
fn it_drives_structures_rules_and_services() {
    let directory = tempfile::tempdir().unwrap();
    let central = Central::start(directory.path(), "");
    let url = central.url.as_str();
    central.report(&Agent::start("host0").next(&[("cont0", 1.0), ("web/1 ü", 1.0)]));

    assert_eq!(done(url, "structure guard cont0"), "", "a change that is made says nothing");
    assert_eq!(central.get("/structure/cont0")["guard"], true);
    done(url, "structure guard cont0 cpu mem");
    assert_eq!(central.get("/structure/cont0/resources/mem/guard"), true);
    done(url, "structure unguard cont0 mem");
    assert_eq!(central.get("/structure/cont0/resources/mem/guard"), false);
    done(url, "structure set cont0 cpu max 300");
    done(url, "structure boundary cont0 cpu 15 --type percentage_of_max");
    let limits = central.get("/structure/cont0/limits/cpu");
    assert_eq!((&limits["boundary"], &limits["boundary_type"]), (&json!(15), &json!("percentage_of_max")), "{limits}");
    done(url, "rule amount CpuRescaleUp 100");
    done(url, "rule events-required CpuRescaleUp up 4");
    done(url, "rule deactivate CpuRescaleDown");
    assert_eq!(central.get("/rule/CpuRescaleUp")["amount"], 100);
    assert_eq!(central.get("/rule/CpuRescaleDown")["active"], false);
    done(url, "service set guardian WINDOW_TIMELAPSE 0.5");
    done(url, "service set guardian GUARDABLE_RESOURCES cpu mem");
    let guardian = central.get("/service/guardian");
    assert_eq!(
        (&guardian["config"]["WINDOW_TIMELAPSE"], &guardian["config"]["GUARDABLE_RESOURCES"]),
        (&json!(0.5), &json!(["cpu", "mem"]))
    );
    done(url, "app create app1 --cpu 100:400 --mem 512:4096");
    done(url, "app join app1 cont0");
    done(url, "user create ann --cpu 0:800 --mem 0:8192");
    done(url, "user join ann app1");
    assert_eq!(central.get("/structure/app1")["containers"], json!(["cont0"]));
    assert_eq!(central.get("/user/ann")["clusters"], json!(["app1"]));
    done(url, "user leave ann app1");
    done(url, "app leave app1 cont0");
    done(url, "app remove app1");
    done(url, "user remove ann");

    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    let named = command.args(["structure", "guard", "web/1 ü"]).env("HEADROOM_CENTRAL", url).output().unwrap();
    assert!(named.status.success(), "{}", String::from_utf8_lossy(&named.stderr));
    assert_eq!(central.get("/structure/web%2F1%20%C3%BC")["guard"], true);
}

#[test]
fn it_shows_tables_and_json() {
    let directory = tempfile::tempdir().unwrap();
    let central = Central::start(directory.path(), "[accounting]\ncore_hour = 0.04\n");
    let url = central.url.as_str();
    let mut agent = Agent::start("host0");
    central.report(&agent.next(&[("cont0", 360_000.0)]));
    let has = |line: &str, words: &[&str]| {
        let table = done(url, line);
        let found = table.lines().any(|row| words.iter().all(|word| row.split_whitespace().any(|cell| cell == *word)));
        assert!(found, "{line}: no row with {words:?} in\n{table}");
    };
    has("get structures", &["NAME", "GUARDED", "MAX", "USAGE"]);
    has("get containers", &["cont0", "container", "host0", "cpu", "200", "12.5"]);
    has("get containers cont0", &["cont0", "mem"]);
    has("get hosts", &["host0", "400"]);
    has("get rules", &["CpuRescaleUp", "cpu", "requests", "yes", "75"]);
    has("get services", &["guardian", "WINDOW_TIMELAPSE", "10"]);
    has("service show scaler", &["REQUEST_TIMEOUT", "60"]);
    has("hosts", &["host0", "reports", "0.0.0", "100", "400"]);
    has("accounting", &["all", "cpu", "share-hours", "100", "200", "400", "0.04"]);
    has("accounting --structure cont0", &["cont0", "host0", "cpu", "100"]);
    assert_eq!(done(url, "get apps"), "there is none\n");
    assert!(!done(url, "get apps").contains("cont0"));
    done(url, "structure guard cont0");
    has("decisions --limit 5", &["anyone", "cont0"]);
    let json: Value = serde_json::from_str(&done(url, "get structures cont0 -o json")).unwrap();
    assert_eq!(json["name"], "cont0");
    assert!(done(url, "accounting -o csv").starts_with("structure,host,"));
    done(url, "service set database_snapshoter POLLING_FREQUENCY 0.1");
    bed::until("there are samples", || {
        central.report(&agent.next(&[("cont0", 360_000.0)]));
        ctl(url, "timeseries cont0 --resource cpu --field usage --from -5min").stdout.len() > 20
    });
    has("timeseries cont0 --resource cpu --field usage --from -5min", &["TIME", "(UTC)", "CPU.USAGE"]);
    has("timeseries cont0 --resource cpu --field usage --from -5min", &["12.5"]);
}

#[test]
fn its_exit_status_says_who_is_to_blame() {
    let directory = tempfile::tempdir().unwrap();
    let central = Central::start(directory.path(), "");
    let url = central.url.as_str();
    let says = fails(url, "structure guard nobody", 1);
    assert!(says.contains("headroomctl: ") && says.contains("nobody"), "{says}");
    assert!(fails(url, "service set guardian WINDOW_TIMELAPSE soon", 1).contains("WINDOW_TIMELAPSE"));
    assert!(fails(url, "rule policy CpuRescaleUp fit_to_usage", 1).contains("policy"));
    fails(url, "service show rebalancer", 1);
    fails(url, "structure guard", 2);
    fails(url, "frobnicate", 2);
    fails(url, "get limits", 2);
    fails(url, "hosts --token-file missing.token", 2);
    fails(url, "hosts --ca missing.pem", 2);
    assert!(fails("central.example:5000", "hosts", 2).contains("http://127.0.0.1:5000"));
    let url = url.to_owned();
    central.end();
    assert!(fails(&url, "hosts", 3).contains("cannot be reached"));
    assert!(fails("http://no-such-host.invalid:5000", "hosts", 3).contains("cannot be reached"));
}

#[test]
fn tokens_come_from_a_file_and_are_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let token = |name: &str, role: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
        command.args(["token", "add", name, "--role", role, "--state-dir"]).arg(directory.path().join("state"));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = directory.path().join(name);
        fs::write(&file, &made.stdout).unwrap();
        file.display().to_string()
    };
    let (reader, operator) = (token("reader", "read"), token("operator", "operate"));
    let central = Central::start(directory.path(), "");
    let url = central.url.as_str();
    assert!(fails(url, "get rules", 1).contains("token"));
    done(url, &format!("get rules --token-file {reader}"));
    let says = fails(url, &format!("rule amount CpuRescaleUp 100 --token-file {reader}"), 1);
    let secret = fs::read_to_string(&reader).unwrap();
    assert!(says.contains("not good for") && !says.contains(secret.trim()), "{says}");
    done(url, &format!("rule amount CpuRescaleUp 100 --token-file {operator}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.args(["get", "rules"]).env("HEADROOM_CENTRAL", url).env("HEADROOM_TOKEN", secret.trim());
    assert!(command.output().unwrap().status.success());
}
