//! Replay as its users see it: files in, lines out. All expected lines were worked out by hand from the policy.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use headroom_agent::replay::{ReplayArgs, run};
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    replay: ReplayArgs,
}

/// A directory with a structure, limits and usage.
struct Files(TempDir);

impl Files {
    /// `min 50, max 400, current 200`, boundary 25, CPU guarded; memory `min 64, max 1024, current 512`, boundary 32, guarded.
    fn new(usage: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.put("U.csv", usage);
        let structure = json!({ "type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "guard": true,
            "resources": { "cpu": { "max": "400", "min": 50, "current": 200, "guard": true },
                           "mem": { "max": 1024, "min": 64, "current": 512, "guard": "true" },
                           "disk": { "name": "sda", "path": "/" } } });
        let limits = json!({ "type": "limit", "name": "cont0", "resources": {
            "cpu": { "boundary": 25, "boundary_type": "absolute" }, "mem": { "boundary": "32" } } });
        files.put("S.json", &structure.to_string());
        files.put("L.json", &limits.to_string());
        files
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn try_run(&self, flags: &[&str]) -> Result<String, String> {
        let path = |name| self.path(name).display().to_string();
        let mut args: Vec<String> = vec!["replay".into()];
        for (flag, name) in [("--structure", "S.json"), ("--limits", "L.json"), ("--usage", "U.csv")] {
            args.extend([flag.into(), path(name)]);
        }
        args.extend(flags.iter().map(|f| if Path::new(f).extension().is_some() { path(f) } else { (*f).into() }));
        let mut out = Vec::new();
        match run(&Cli::try_parse_from(args).map_err(|e| e.to_string())?.replay, &mut out) {
            Ok(()) => Ok(String::from_utf8(out).unwrap()),
            Err(error) => Err(format!("{error:#}").replace(&format!("{}/", self.0.path().display()), "")),
        }
    }

    fn run(&self, flags: &[&str]) -> String {
        self.try_run(flags).unwrap()
    }

    fn error(&self, flags: &[&str]) -> String {
        self.try_run(flags).unwrap_err()
    }
}

/// `timestamp, usage, [current, upper, lower], events, requests, limit` of one window.
type Window<'a> = (f64, Option<f64>, [u32; 3], &'a [&'a str], &'a [(&'a str, i32)], u32);

/// The lines that such windows make, of CPU.
fn cpu_lines(table: &[Window<'_>]) -> Vec<Value> {
    let line = |(timestamp, usage, [current, upper, lower], events, requests, limit): &Window<'_>| {
        let requests: Vec<Value> =
            requests.iter().map(|(action, amount)| json!({ "action": action, "amount": amount })).collect();
        json!({ "timestamp": timestamp, "resource": "cpu", "usage": usage, "current": current, "upper": upper, "lower": lower,
                "events": events, "requests": requests, "limit": limit })
    };
    table.iter().map(line).collect()
}

/// Lines as values, with every number as a float so that 275 equals 275.0.
fn values(text: &str) -> Vec<Value> {
    text.lines().map(|l| floats(serde_json::from_str(l).unwrap())).collect()
}

fn floats(value: Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().unwrap()),
        Value::Array(items) => items.into_iter().map(floats).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, floats(v))).collect(),
        other => other,
    }
}

fn assert_lines(text: &str, expected: &[Value]) {
    let found = values(text);
    for (i, (found, expected)) in found.iter().zip(expected.iter().cloned().map(floats)).enumerate() {
        assert_eq!(*found, expected, "line {}", i + 1);
    }
    assert_eq!(found.len(), expected.len());
}

const UP: &[&str] = &["CpuBottleneck"];
const DOWN: &[&str] = &["CpuUnderuse"];
const NONE: &[&str] = &[];
const NO: &[(&str, i32)] = &[];

const PHASES: &str = "timestamp,cpu\n1000,176\n1010,176\n1020,\n1030,240\n1040,20\n1050,20\n1060,20\n1070,20\n1080,20\n1090,20\n1100,20\n1110,90\n1120,90.5\n";

#[test]
fn default_rules_through_all_phases() {
    let idle = [275, 250, 225];
    let expected = cpu_lines(&[
        (1000.0, Some(176.0), [200, 175, 150], UP, NO, 200),
        (1010.0, Some(176.0), [200, 175, 150], UP, &[("CpuRescaleUp", 75)], 275),
        (1020.0, None, [275, 250, 225], NONE, NO, 275),
        (1030.0, Some(240.0), [275, 250, 225], NONE, NO, 275),
        (1040.0, Some(20.0), idle, DOWN, NO, 275),
        (1050.0, Some(20.0), idle, DOWN, NO, 275),
        (1060.0, Some(20.0), idle, DOWN, NO, 275),
        (1070.0, Some(20.0), idle, DOWN, NO, 275),
        (1080.0, Some(20.0), idle, DOWN, NO, 275),
        // trunc(20 + 12 + 25) - 275 = -218; lower 225 - 218 = 7 is 43 under min: -175, to min + 2 m.
        (1090.0, Some(20.0), idle, DOWN, &[("CpuRescaleDown", -175)], 100),
        (1100.0, Some(20.0), [100, 75, 50], NONE, NO, 100),
        (1110.0, Some(90.0), [100, 75, 50], UP, NO, 100),
        (1120.0, Some(90.5), [100, 75, 50], UP, &[("CpuRescaleUp", 75)], 175),
    ]);
    assert_lines(&Files::new(PHASES).run(&[]), &expected);
}

#[test]
fn a_line_is_spelt_exactly_so() {
    let out = Files::new("timestamp,cpu\n1760000000.1,176\n1760000010.1,176\n").run(&[]);
    let expected = "{\"timestamp\":1760000000.1,\"resource\":\"cpu\",\"usage\":176,\"current\":200,\"upper\":175,\"lower\":150,\
        \"events\":[\"CpuBottleneck\"],\"requests\":[],\"limit\":200}\n\
        {\"timestamp\":1760000010.1,\"resource\":\"cpu\",\"usage\":176,\"current\":200,\"upper\":175,\"lower\":150,\
        \"events\":[\"CpuBottleneck\"],\"requests\":[{\"action\":\"CpuRescaleUp\",\"amount\":75}],\"limit\":275}\n";
    assert_eq!(out, expected);
}

#[test]
fn without_apply_limits_never_move() {
    let out = values(&Files::new(PHASES).run(&["--no-apply"]));
    assert!(out.iter().all(|l| l["limit"] == 200.0 && l["current"] == 200.0));
    assert_eq!(out[1]["requests"], json!([{ "action": "CpuRescaleUp", "amount": 75.0 }]));
    // 20 is six times under 150: trunc(57) - 200 = -143, trimmed to -100. Limits did not move, so 240 was a bottleneck as well, and
    // that event holds the lowering back (up <= 0) as long as it lasts.
    assert_eq!(out[3]["events"], json!(["CpuBottleneck"]));
    assert_eq!(out[9]["requests"], json!([]));
}

#[test]
fn columns_decide_the_order_and_each_resource_has_gaps_of_its_own() {
    let files = Files::new("mem,timestamp,cpu\n500,1,160\n,2,160\n505.5,3,\n");
    let out = values(&files.run(&[]));
    let picked: Vec<Value> = out.iter().map(|l| json!([l["resource"], l["usage"], l["events"], l["limit"]])).collect();
    let expected = json!([
        ["mem", 500.0, ["MemBottleneck"], 512.0],
        ["cpu", 160.0, [], 200.0],
        ["mem", null, [], 512.0],
        ["cpu", 160.0, [], 200.0],
        ["mem", 505.5, ["MemBottleneck"], 768.0],
        ["cpu", null, [], 200.0],
    ]);
    assert_eq!(json!(picked), expected);
}

#[test]
fn events_time_out() {
    // The event of 1000 is older than 1100.5 - 100, but not than 1100 - 100.
    let late = values(&Files::new("timestamp,cpu\n1000,176\n1100.5,176\n").run(&[]));
    assert_eq!(late[1]["requests"], json!([]));
    let just = values(&Files::new("timestamp,cpu\n1000,176\n1100,176\n").run(&[]));
    assert_eq!(just[1]["limit"], 275.0);
    let short = values(&Files::new("timestamp,cpu\n1000,176\n1010,176\n").run(&["--event-timeout", "9s"]));
    assert_eq!(short[1]["requests"], json!([]));
}

const EAGER: &str = r#"[
 {"name": "cpu_exceeded_upper", "resource": "cpu", "generates": "events", "active": true,
  "rule": {"and": [{">": [{"var": "cpu.structure.cpu.usage"}, {"var": "cpu.limits.cpu.upper"}]}, {"<": [{"var": "cpu.structure.cpu.current"}, {"var": "cpu.structure.cpu.max"}]}]},
  "action": {"events": {"scale": {"up": 1}}}},
 {"name": "cpu_dropped_lower", "resource": "cpu", "generates": "events", "active": true,
  "rule": {"<": [{"var": "cpu.structure.cpu.usage"}, {"var": "cpu.limits.cpu.lower"}]}, "action": {"events": {"scale": {"down": 1}}}},
 {"name": "CpuRescaleUp", "resource": "cpu", "generates": "requests", "active": true, "rule": {">=": [{"var": "events.scale.up"}, 1]},
  "action": {"requests": ["CpuRescaleUp"]}, "rescale_by": "amount", "amount": "75", "events_to_remove": 1},
 {"name": "broken", "resource": "cpu", "generates": "requests", "active": true, "rule": {">=": [{"var": "events.scale.up"}, 1]},
  "rescale_policy": "double", "events_to_remove": 1}
]"#;

#[test]
fn rejudge_goes_on_until_no_raise_comes() {
    let files = Files::new("timestamp,cpu\n1,300\n2,300\n");
    files.put("R.json", EAGER);
    // 300 > 175, > 250, > 325? No: 200 -> 275 -> 350, and 300 < 350 - 50 makes no down event beside the up events.
    let expected = cpu_lines(&[
        (
            1.0,
            Some(300.0),
            [200, 175, 150],
            &["CpuBottleneck", "CpuBottleneck"],
            &[("CpuRescaleUp", 75), ("CpuRescaleUp", 75)],
            350,
        ),
        (2.0, Some(300.0), [350, 325, 300], NONE, NO, 350),
    ]);
    assert_lines(&files.run(&["--rules", "R.json", "--rejudge"]), &expected);
    let once = values(&files.run(&["--rules", "R.json"]));
    assert_eq!((&once[0]["limit"], &once[1]["limit"]), (&json!(275.0), &json!(350.0)));
}

#[test]
fn summary_has_areas_and_decisions() {
    let out = values(&Files::new(PHASES).run(&["--summary"]));
    assert_eq!(out.len(), 1);
    let cpu = &out[0]["resources"]["cpu"];
    // Limits while the windows ran: 2 x 200, (gap), 7 x 275, 3 x 100.
    assert_eq!(cpu["allocated"], json!(10.0 * (400.0 + 7.0 * 275.0 + 300.0)));
    assert_eq!(cpu["used"], json!(10.0 * (352.0 + 240.0 + 7.0 * 20.0 + 180.5)));
    assert_eq!(cpu["reserved"], json!(12.0 * 4000.0));
    assert_eq!(cpu["utilization"], json!(9125.0 / 26250.0));
    assert_eq!(cpu["decisions"], json!({ "CpuRescaleUp": 2.0, "CpuRescaleDown": 1.0 }));
    assert_eq!((&cpu["windows"], &cpu["gaps"], &cpu["limit"]), (&json!(13.0), &json!(1.0), &json!(175.0)));
    assert_eq!((&out[0]["rules"], &cpu["time_at_limit"]), (&json!("default"), &json!(0.0)));
}

#[test]
fn each_rule_set_has_a_line() {
    let files = Files::new("timestamp,cpu\n1,300\n2,300\n");
    files.put("R.json", EAGER);
    files.put("none.json", "[]");
    let out = values(&files.run(&["--rules", "R.json", "--rules", "none.json", "--summary", "--window", "100ms"]));
    let limits: Vec<&Value> = out.iter().map(|l| &l["resources"]["cpu"]["limit"]).collect();
    assert_eq!(limits, [&json!(350.0), &json!(200.0)]);
    assert!(out[0]["malformed"][0].as_str().unwrap().starts_with("rule broken: rescale_policy is \"double\""));
    assert_eq!(out[1]["resources"]["cpu"]["time_at_limit"], json!(0.2));
    assert!(files.error(&["--rules", "R.json", "--rules", "none.json"]).contains("--summary"));
}

#[test]
fn a_missing_current_starts_at_max() {
    let files = Files::new("timestamp,cpu\n1,10\n");
    let text = fs::read_to_string(files.path("S.json")).unwrap().replace("\"current\":200,", "");
    files.put("S.json", &text);
    assert_eq!(values(&files.run(&[]))[0]["limit"], 400.0);
}

#[test]
fn no_limit_starts_at_max_and_what_is_negative_is_refused() {
    let files = Files::new("timestamp,cpu\n1,10\n");
    let text = fs::read_to_string(files.path("S.json")).unwrap();
    let with = |key: &str, value: &str| {
        let mut structure: Value = serde_json::from_str(&text).unwrap();
        structure["resources"]["cpu"][key] = serde_json::from_str(value).unwrap();
        files.put("S.json", &structure.to_string());
        files.try_run(&[])
    };
    assert_eq!(values(&with("current", "-1").unwrap())[0]["limit"], 400.0);
    assert_eq!(values(&with("current", "\"-1\"").unwrap())[0]["limit"], 400.0);
    let refused = |key, value, says: &str| {
        let error = with(key, value).unwrap_err();
        assert_eq!(error, format!("S.json, resources.cpu: {key} is {says}"));
    };
    refused("current", "-200", "-200, expected a number, 0 or more, or -1 for no limit");
    refused("min", "-5", "-5, expected a number, 0 or more");
    refused("max", "-1", "-1, expected a number, 0 or more");
}

/// What the command tells beside its output.
fn told(files: &Files, flags: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headroom-agent"));
    command.args(["replay", "--structure", "S.json", "--limits", "L.json", "--usage", "U.csv"]).args(flags);
    let output = command.current_dir(files.path("")).env_remove("RUST_LOG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_window_that_is_not_the_rows_is_told() {
    let files = Files::new("timestamp,cpu\n1,10\n1.1,10\n1.2,10\n1.3,10\n");
    let says = "the rows of U.csv are 0.1 s apart, and --window is 10 s";
    assert!(told(&files, &[]).contains(says));
    assert_eq!(told(&files, &["--summary"]).matches(says).count(), 1);
    assert!(!told(&files, &["--window", "100ms", "--event-timeout", "1s"]).contains("apart"));
}

#[test]
fn a_min_above_max_is_told_and_not_scaled() {
    let files = Files::new("timestamp,cpu,mem\n1,300,500\n11,300,500\n");
    let text = fs::read_to_string(files.path("S.json")).unwrap().replace("\"min\":50", "\"min\":500");
    files.put("S.json", &text);
    let resources: Vec<Value> = values(&files.run(&[])).iter().map(|line| line["resource"].clone()).collect();
    assert_eq!(resources, ["mem", "mem"]);
    assert!(told(&files, &[]).contains("S.json: cpu: min 500 is above max 400; change one of them; it is not scaled"));
    files.put("U.csv", "timestamp,cpu\n1,300\n");
    assert_eq!(files.error(&[]), "nothing of S.json is judged: cpu: min 500 is above max 400; change one of them");
}

#[test]
fn bad_input_is_named() {
    let cases = [
        (
            "timestamp,cpu\n1,20\n2,abc\n",
            "U.csv line 3: column cpu: \"abc\" is no usage, expected a number, 0 or more, or an empty cell",
        ),
        ("timestamp,cpu\n1,-3\n", "U.csv line 2: column cpu: \"-3\" is no usage, expected a number, 0 or more, or an empty cell"),
        (
            "timestamp,cpu\n1,NaN\n",
            "U.csv line 2: column cpu: \"NaN\" is no usage, expected a number, 0 or more, or an empty cell",
        ),
        ("timestamp,cpu\nnow,3\n", "U.csv line 2: column timestamp: \"now\" is no time, expected seconds since the epoch"),
        ("timestamp,cpu\n5,3\n5,3\n", "U.csv line 3: column timestamp: 5 is not after 5, expected ascending times"),
        ("timestamp,cpu\n1,2,3\n", "U.csv line 2: it has 3 cells, expected 2 as in the header"),
        (
            "timestamp,gpu\n1,2\n",
            "U.csv line 1: column 2: unknown resource \"gpu\"; known are cpu, mem, disk_read, disk_write, net, energy",
        ),
        ("timestamp,cpu,cpu\n", "U.csv line 1: column cpu is there twice"),
        ("cpu,mem\n", "U.csv line 1: there is no column timestamp, expected a header such as timestamp,cpu,mem"),
        ("", "U.csv is empty, expected a header such as timestamp,cpu,mem"),
    ];
    for (usage, error) in cases {
        assert_eq!(Files::new(usage).error(&[]), error);
    }
}

#[test]
fn bad_documents_are_named() {
    let good = "timestamp,cpu\n1,20\n";
    let with = |name: &str, text: &str| {
        let files = Files::new(good);
        files.put(name, text);
        files.error(if name == "R.json" { &["--rules", "R.json"] } else { &[] })
    };
    assert!(with("S.json", "{").starts_with("S.json is not a structure document: EOF"));
    assert!(
        with("S.json", r#"{"subtype": "container", "name": "cont1"}"#)
            .contains("S.json is of \"cont1\" but L.json is of \"cont0\"")
    );
    assert!(with("S.json", r#"{"subtype": "host", "name": "cont0"}"#).contains("S.json is a host, expected a container"));
    assert!(with("S.json", r#"{"subtype": "container", "name": "cont0", "guard": false}"#).contains("\"guard\" must be true"));
    let missing = r#"{"subtype": "container", "name": "cont0", "guard": true, "resources": {"cpu": {"min": 5, "guard": true}}}"#;
    assert_eq!(with("S.json", missing), "S.json, resources.cpu: there is no max, expected a number");
    assert!(with("L.json", r#"{"name": "cont0"}"#).ends_with("L.json has no resources.cpu.boundary"));
    assert!(
        with("L.json", r#"{"name": "cont0", "resources": {"cpu": {"boundary": 500}}}"#)
            .contains("boundary 500 is outside 0..=400")
    );
    assert!(with("R.json", "{}").starts_with("R.json is not an array of rule documents"));
    assert!(with("R.json", "[{}]").starts_with("R.json: element 0 is no rule document: missing field `name`"));
    let files = Files::new(good);
    assert!(files.error(&["--rules", "none.json"]).starts_with("cannot read none.json, expected an array of rule documents"));
}

#[test]
fn disks_go_through_the_same_rules() {
    let files = Files::new("timestamp,disk_write\n10,50\n20,30\n30,30\n40,30\n50,30\n60,30\n70,30\n80,30\n");
    let structure = json!({ "type": "structure", "subtype": "container", "name": "cont0", "host": "host0", "guard": true,
        "resources": { "disk_write": { "max": 500, "min": 10, "current": 60, "guard": true } } });
    files.put("S.json", &structure.to_string());
    let limits = json!({ "type": "limit", "name": "cont0", "resources": { "disk_write": { "boundary": 20 } } });
    files.put("L.json", &limits.to_string());
    let told: Vec<_> =
        values(&files.run(&[])).into_iter().map(|mut line| (line["requests"].take(), line["limit"].take())).collect();
    let unmoved = |limit: f64| (json!([]), json!(limit));
    let request = |action: &str, amount: f64| json!([{ "action": action, "amount": amount }]);
    let mut expected = vec![(request("Disk_WriteRescaleUp", 440.0), json!(500.0))];
    expected.extend((0..5).map(|_| unmoved(500.0)));
    // trunc(30 + 10 + 20) - 500.
    expected.extend([(request("Disk_WriteRescaleDown", -440.0), json!(60.0)), unmoved(60.0)]);
    assert_eq!(told, expected);
}
