//! What was recorded, replayed: the same decisions as the living agent's.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::agent::BINARY;
use crate::bed::Bed;
use crate::files::prefer;

#[test]
fn the_classic_rules_decide_the_same_again() {
    same_again(&Bed::new("classic"), "classic");
}

#[test]
fn the_responsive_rules_decide_the_same_again() {
    same_again(&Bed::new("responsive"), "responsive");
}

fn same_again(bed: &Bed, profile: &str) {
    let container = bed.container("cont0");
    prefer(&container);
    let mut load = container.burn(2, 0.0);
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'100ms'").set("guardian", "profile", &format!("'{profile}'"));
    config.set("guardian", "event_timeout", "'1s'").set("host.max", "cpu", "1000");
    config.guard("cont0", "true", [20, 190, 15]);
    let mut agent = bed.run(&config);
    agent.until_guarded("cont0");
    for duty in [0.0, 1.0, 0.3, 0.6, 0.1, 0.9, 0.0] {
        load.set_duty(duty);
        thread::sleep(Duration::from_millis(1800));
    }
    // A burst comes while the agent stands still, for longer than any window: it is told of it, and judges that window by no more.
    agent.halt();
    load.set_duty(1.0);
    thread::sleep(Duration::from_millis(700));
    agent.signal(Signal::SIGCONT);
    thread::sleep(Duration::from_millis(300));
    load.set_duty(0.0);
    thread::sleep(Duration::from_millis(1500));
    assert!(agent.get("/status")["counters"]["gaps"].as_u64() > Some(0), "{}", agent.get("/status")["counters"]);
    let mut live = agent.decisions("cont0");
    agent.end();
    let first = live.remove(0);
    assert_eq!((first.action.as_str(), first.to), ("FirstLimit", Some(190.0)));
    assert!(live.len() >= 6 && live.iter().all(|d| d.outcome == "applied"), "{live:?}");

    let lines = replay(bed, profile);
    // A window may raise more than once; each line shows what stood at its end.
    let replayed: Vec<String> =
        lines.iter().flat_map(|l| l["requests"].as_array().unwrap()).map(|r| r["action"].as_str().unwrap().to_owned()).collect();
    let decided: Vec<String> = live.iter().map(|d| d.action.clone()).collect();
    let common = replayed.len().min(decided.len());
    // The last windows may have been judged after the last look.
    assert!(replayed.len() - common <= 2 && decided.len() == common, "{decided:?}\n{replayed:?}");
    assert_eq!(decided[..common], replayed[..common]);
    let mut of_live = live.iter();
    for line in &lines {
        let requests = line["requests"].as_array().unwrap().len();
        if requests > 0
            && let Some(last) = of_live.nth(requests - 1)
        {
            assert_eq!(last.to, line["limit"].as_f64(), "{line}\n{last:?}");
        }
    }
}

/// `headroom-agent replay` on what was recorded, from the first limit on.
fn replay(bed: &Bed, profile: &str) -> Vec<Value> {
    let put = |name: &str, text: &str| {
        let path = bed.dir().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let cpu = json!({ "max": 190, "min": 20, "current": 190, "guard": true });
    let structure = json!({ "type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "guard": true,
        "resources": { "cpu": cpu } });
    let structure = put("S.json", &structure.to_string());
    let limits = put("L.json", r#"{"type": "limit", "name": "cont0", "resources": {"cpu": {"boundary": 15}}}"#);
    let mut command = Command::new(BINARY);
    command.args(["replay", "--window", "100ms", "--event-timeout", "1s", "--structure"]).arg(structure);
    command.arg("--limits").arg(limits).arg("--usage").arg(bed.dir().join("recorded/cont0.cpu.csv"));
    if profile == "responsive" {
        let rules = put("R.json", headroom_model::profile::Profile::Responsive.rules_json());
        command.args(["--rejudge", "--cooldown", "200ms", "--rules"]).arg(rules);
    }
    let replayed = command.output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    String::from_utf8(replayed.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
