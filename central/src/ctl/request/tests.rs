use clap::Parser as _;

use super::*;
use crate::ctl::args::Cli;

fn asked(line: &str) -> Vec<Request> {
    let cli = Cli::try_parse_from(std::iter::once("headroomctl").chain(line.split_whitespace()))
        .unwrap_or_else(|e| panic!("{line}: {e}"));
    Request::of(&cli.command, cli.output).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn commands_are_paths_of_the_orchestrator() {
    use Method::{Delete, Get, Put};
    for (line, method, path, body) in [
        ("structure guard cont0", Put, "/structure/cont0/guard", Value::Null),
        ("structure guard cont0 cpu", Put, "/structure/cont0/resources/cpu/guard", Value::Null),
        ("structure unguard cont0 cpu mem", Put, "/structure/cont0/resources/unguard", json!({"resources": ["cpu", "mem"]})),
        ("structure reset cont0", Put, "/structure/cont0/reset", Value::Null),
        ("structure set cont0 cpu max 200", Put, "/structure/cont0/resources/cpu/max", json!({"value": "200"})),
        ("structure boundary a/b cpu 25", Put, "/structure/a%2Fb/limits/cpu/boundary", json!({"value": "25"})),
        ("structure state app1 running", Put, "/structure/app1/state/running", Value::Null),
        ("structure remove cont0", Delete, "/structure/container/cont0", Value::Null),
        ("rule amount CpuRescaleUp 100", Put, "/rule/CpuRescaleUp/amount", json!({"value": "100"})),
        ("rule activate r", Put, "/rule/r/activate", Value::Null),
        ("rule policy r proportional", Put, "/rule/r/policy", json!({"value": "proportional"})),
        ("rule events-required r up 4", Put, "/rule/r/events_required", json!({"value": "4", "event_type": "up"})),
        ("service set guardian WINDOW_TIMELAPSE 0.5", Put, "/service/guardian/WINDOW_TIMELAPSE", json!({"value": "0.5"})),
        (
            "service set guardian GUARDABLE_RESOURCES cpu mem",
            Put,
            "/service/guardian/GUARDABLE_RESOURCES",
            json!({"value": ["cpu", "mem"]}),
        ),
        ("host remove host0", Delete, "/structure/host/host0", Value::Null),
        ("app join app1 cont0", Put, "/structure/container/cont0/app1", Value::Null),
        ("app leave app1 cont0", Delete, "/structure/container/cont0/app1", Value::Null),
        ("user join ann app1", Put, "/user/clusters/ann/app1", Value::Null),
        ("user remove ann", Delete, "/user/ann", Value::Null),
        ("user set ann cpu max 800", Put, "/user/ann/resources/cpu/max", json!({"value": "800"})),
        ("hosts", Get, "/fleet", Value::Null),
        ("get structures", Get, "/structure", Value::Null),
        ("get container cont0 -o json", Get, "/structure/cont0", Value::Null),
        ("get limits cont0", Get, "/structure/cont0/limits", Value::Null),
        ("get rules", Get, "/rule", Value::Null),
        (
            "timeseries cont0 --from -1h --resource cpu,mem --step 1min",
            Get,
            "/timeseries?structure=cont0&resource=cpu%2Cmem&from=-1h&step=1min",
            Value::Null,
        ),
        ("timeseries --service guardian", Get, "/timeseries?service=guardian", Value::Null),
        ("accounting", Get, "/accounting", Value::Null),
        ("accounting --app app1 -o csv", Get, "/accounting?app=app1&format=csv", Value::Null),
        ("decisions --limit 5", Get, "/decisions?limit=5", Value::Null),
    ] {
        let [request] = &asked(line)[..] else { panic!("{line}") };
        assert_eq!((request.method, request.path.as_str()), (method, path), "{line}");
        assert_eq!(request.body.clone().unwrap_or_default(), body, "{line}");
        assert_eq!(request.show.is_some(), method == Get, "{line}");
    }
}

#[test]
fn the_type_of_a_boundary_is_set_before_its_value() {
    let requests = asked("structure boundary cont0 cpu 25 --type percentage_of_max");
    let paths: Vec<&str> = requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths, ["/structure/cont0/limits/cpu/boundary_type", "/structure/cont0/limits/cpu/boundary"]);
}

#[test]
fn applications_and_users_are_made_of_two_ranges_or_a_file() {
    let [request] = &asked("app create app1 --cpu 100:400 --mem 512:4096")[..] else { panic!() };
    let body = request.body.as_ref().unwrap();
    assert_eq!(body["app"]["resources"]["cpu"], json!({"max": 400, "min": 100, "guard": false, "weight": 1}));
    assert_eq!((&body["app"]["name"], &body["limits"]["resources"]["mem"]["boundary"]), (&json!("app1"), &json!(10)));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ann.json");
    std::fs::write(&file, r#"{"user": {"name": "ann"}}"#).unwrap();
    let [request] = &asked(&format!("user create ann --file {}", file.display()))[..] else { panic!() };
    assert_eq!((request.path.as_str(), &request.body), ("/user/ann", &Some(json!({"user": {"name": "ann"}}))));
}

#[test]
fn what_is_wrong_is_found_before_anybody_is_asked() {
    for line in [
        "",
        "structure",
        "structure guard",
        "rule amount r",
        "app create a",
        "app create a --cpu 1:2",
        "timeseries",
        "get things",
        "hosts -o xml",
    ] {
        let words = std::iter::once("headroomctl").chain(line.split_whitespace());
        let error = Cli::try_parse_from(words).unwrap_err();
        assert!(error.exit_code() == 2 || line.is_empty(), "{line}: {error}");
    }
    for line in ["hosts -o csv", "get limits", "app create a --cpu 1 --mem 2:3", "host subscribe h --file missing-file.json"] {
        let cli = Cli::try_parse_from(std::iter::once("headroomctl").chain(line.split_whitespace())).unwrap();
        let failure = Request::of(&cli.command, cli.output).unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)), "{line}: {failure}");
    }
}

#[test]
fn names_are_safe_in_paths() {
    assert_eq!(escaped("a b/c?d#e%f_design/x"), "a%20b%2Fc%3Fd%23e%25f_design%2Fx");
    assert_eq!((escaped("größe"), escaped(".."), escaped("a..b")), ("gr%C3%B6%C3%9Fe".into(), "%2E%2E".into(), "a..b".into()));
}
