use std::path::Path;
use std::time::Duration;

use headroom_model::policy::thresholds::BoundaryType;
use headroom_model::resource::Resource;

use super::load::read;
use super::{Config, ConfigError, NameRule, OnDeath, OnForeignChange, Profile, ResourceRule};
use crate::containers::Engine;
use crate::sampler::SourceKind;
use crate::status::GuardMode;

const COMMENTED: &str = include_str!("../../../configs/agent.toml");

fn parse(text: &str) -> Config {
    Config::parse(text, "agent.toml").unwrap_or_else(|e| panic!("{e}"))
}

/// Everything that is said about a wrong text.
fn refused(text: &str) -> String {
    Config::parse(text, "agent.toml").expect_err(text).to_string()
}

/// The commented settings file with its examples switched on.
fn with_examples() -> String {
    let switch_on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    COMMENTED.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_gives_defaults_and_guards_nothing() {
    let config = parse("");
    assert!(config.containers.is_empty() && config.warnings.is_empty());
    assert!(!config.host.name.is_empty());
    assert_eq!(config.guardian.profile, Profile::Classic);
    assert_eq!(config.guardian.window[Resource::Cpu], Duration::from_millis(100));
    assert_eq!(config.guardian.window[Resource::Mem], Duration::from_secs(1));
    assert_eq!(config.guardian.event_timeout(Resource::Cpu), Duration::from_secs(1));
    assert_eq!(config.guardian.event_timeout(Resource::Mem), Duration::from_secs(10));
    assert_eq!(config.guardian.guardable, [Resource::Cpu]);
    assert_eq!(config.api.listen, Some("127.0.0.1:8000".parse().unwrap()));
    assert_eq!(config.api.socket.as_deref(), Some(Path::new("/run/headroom/agent.sock")));
    assert_eq!(config.agent.state_dir, Path::new("/var/lib/headroom"));
    assert_eq!(config.agent.on_death, OnDeath::Release);
    assert_eq!(config.scaler.on_foreign_change, OnForeignChange::Reassert);
    assert_eq!(config.sampler.source, None);
    assert_eq!(config.sampler.max_containers, 4096);
}

#[test]
fn the_commented_file_says_the_defaults() {
    assert_eq!(format!("{:?}", parse(COMMENTED)), format!("{:?}", parse("")));
}

#[test]
fn the_commented_file_has_every_key() {
    let text = with_examples();
    let (config, asked) = read(&text, "agent.toml").unwrap();
    let written: toml::Table = text.parse().unwrap();
    for key in &asked {
        let same_as_cpu = key.strip_prefix("container.").is_some_and(|r| r.parse::<Resource>().is_ok() && text.contains(r));
        assert!(same_as_cpu || has(&written, key), "configs/agent.toml does not have {key}");
    }
    assert_eq!(config.containers[0].resources[Resource::Cpu].map(|cpu| (cpu.min, cpu.boundary)), Some((50.0, 25.0)));
    assert!(asked.contains("container.mem.weight") && asked.contains("discovery.pattern.path"));
}

fn has(table: &toml::Table, key: &str) -> bool {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    match (table.get(first), rest) {
        (Some(_), None) => true,
        (Some(toml::Value::Table(inner)), Some(rest)) => has(inner, rest),
        (Some(toml::Value::Array(items)), Some(rest)) => {
            items.iter().filter_map(toml::Value::as_table).any(|inner| has(inner, rest))
        }
        _ => false,
    }
}

#[test]
fn settings_are_taken_as_they_are_meant() {
    let config = parse(
        r#"
host = { name = "host0", max.cpu = 1_000, never_guard = ["db-*"], reserve_unguarded = true }
guardian = { profile = "responsive", window = { cpu = 0.1, mem = "2s" }, guardable = ["cpu", "mem"], event_timeout = 50 }
sampler = { source = "cgroupfs" }
discovery = { engines = ["systemd"], pattern = [{ path = "^jobs/(?P<name>.+)$" }] }
api = { listen = "off", socket = "off" }
agent = { on_death = "hold", realtime_priority = 0 }
scaler = { period = "20ms", core_distribution = "Spread_P&L", on_foreign_change = "adopt" }
"#,
    );
    assert_eq!((config.host.name.as_str(), config.host.max[Resource::Cpu]), ("host0", Some(1000.0)));
    assert!(config.host.reserve_unguarded && config.host.never_guard[0].compile_matcher().is_match("db-1"));
    assert_eq!(config.guardian.window[Resource::Cpu], Duration::from_millis(100));
    assert_eq!(config.guardian.window[Resource::Mem], Duration::from_secs(2));
    assert!(config.guardian.rejudge, "the responsive profile's default");
    assert!((config.scaler.burst - 1.0).abs() < f64::EPSILON, "the responsive profile's default");
    assert_eq!(config.sampler.source, Some(SourceKind::Cgroupfs));
    assert_eq!(config.discovery.engines, [Engine::Systemd]);
    assert_eq!(&config.discovery.patterns[0].captures("jobs/a/b").unwrap()["name"], "a/b");
    assert_eq!((config.api.listen, config.api.socket), (None, None));
    assert_eq!((config.agent.on_death, config.agent.realtime_priority), (OnDeath::Hold, 0));
    assert_eq!(config.scaler.period, Duration::from_millis(20));
    assert_eq!(
        (config.scaler.core_distribution.as_str(), config.scaler.on_foreign_change),
        ("Spread_P&L", OnForeignChange::Adopt)
    );
}

#[test]
fn containers_are_selected_and_bounded() {
    let config = parse(
        r#"
[[container]]
name = "web-*"
guard = true
[container.cpu]
min = 50
max = 200
boundary = 25
[[container]]
engine = "docker"
guard = "advise"
cpu = { min = 10, max = 100, boundary = 8, boundary_type = "percentage_of_current", weight = 2.5 }
[[container]]
path = "machine.slice/*"
cpu = { min = 20, max = 400 }
"#,
    );
    let [web, docker, machines] = config.containers.as_slice() else { panic!("three tables") };
    assert_eq!((web.origin.as_str(), docker.origin.as_str()), ("[[container]] in agent.toml:2", "[[container]] in agent.toml:9"));
    assert_eq!(web.name, Some(NameRule::Like(globset::Glob::new("web-*").unwrap())));
    let absolute = BoundaryType::Absolute;
    let expected = ResourceRule { min: 50.0, max: 200.0, boundary: 25.0, boundary_type: absolute, guard: true, weight: 1.0 };
    assert_eq!((web.guard, web.resources[Resource::Cpu]), (GuardMode::On, Some(expected)));
    assert_eq!((docker.guard, docker.engine), (GuardMode::Advise, Some(Engine::Docker)));
    let cpu = docker.resources[Resource::Cpu].unwrap();
    assert_eq!((cpu.boundary, cpu.boundary_type, cpu.weight), (8.0, BoundaryType::PercentageOfCurrent, 2.5));
    assert_eq!(machines.guard, GuardMode::Off, "a table without guard guards nothing");
    let cpu = machines.resources[Resource::Cpu].unwrap();
    assert_eq!((cpu.boundary, cpu.boundary_type), (10.0, BoundaryType::PercentageOfMax));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

/// Each wrong text with all that its message has to say.
#[test]
fn errors_name_file_line_key_value_and_what_would_be_right() {
    let container = "[[container]]\nname = \"a\"\nguard = true\n[container.cpu]\n";
    let cases: &[(&str, &[&str])] = &[
        ("\n[guardian]\nwindow = { cpu = \"5 parsecs\" }", &["agent.toml:3: guardian.window.cpu = \"5 parsecs\": ", "100ms"]),
        ("guardian.window.cpu = 0.001", &["agent.toml:1: guardian.window.cpu = 0.001: ", "from 10ms to 3600s"]),
        ("guardian.window.cpu = 3601", &["guardian.window.cpu = 3601"]),
        ("guardian.window.cpu = nan", &["guardian.window.cpu = nan"]),
        ("guardian.window = \"100ms\"", &["guardian.window = \"100ms\"", "[guardian.window]"]),
        ("[guardian]\nwindw = 1", &["agent.toml:2: guardian.windw: unknown key", "did you mean \"window\"?"]),
        ("[guardin]", &["agent.toml:1: guardin: unknown key", "\"guardian\""]),
        ("[agent]\ncolour = 1", &["agent.colour: unknown key; known here are on_death"]),
        ("guardian.active = \"yes\"", &["guardian.active = \"yes\": expected true or false"]),
        ("guardian.profile = \"fast\"", &["guardian.profile = \"fast\": expected one of \"classic\", \"responsive\""]),
        ("guardian.guardable = [\"cpu\", \"gpu\"]", &["guardian.guardable = \"gpu\": unknown resource \"gpu\"; known are cpu"]),
        ("guardian.guardable = \"cpu\"", &["guardian.guardable = \"cpu\": expected a list"]),
        ("guardian.rules = \"rules.json\"", &["guardian.rules = \"rules.json\": expected an absolute path"]),
        ("guardian.event_timeout = -1", &["guardian.event_timeout = -1"]),
        ("scaler.period = \"2s\"", &["scaler.period = \"2s\"", "from 1ms to 1s"]),
        ("scaler.burst = 1.5", &["scaler.burst = 1.5: expected a number from 0 to 1"]),
        ("scaler.core_distribution = \"Group\"", &["scaler.core_distribution = \"Group\"", "Group_PP_LL", "Spread_PP_LL"]),
        ("agent.realtime_priority = 100", &["agent.realtime_priority = 100: expected a whole number from 0 to 99"]),
        ("agent.realtime_priority = 1.5", &["agent.realtime_priority = 1.5"]),
        ("host.never_guard = [\"a[\"]", &["host.never_guard = \"a[\": expected a glob"]),
        ("host.max.cpu = \"400\"", &["host.max.cpu = \"400\": expected a number"]),
        ("host.max.cpus = 400", &["host.max.cpus: unknown key; did you mean \"cpu\"?"]),
        ("[[discovery.pattern]]\npath = \"(\"", &["agent.toml:2: discovery.pattern.path = \"(\": expected a regular expression"]),
        ("[[discovery.pattern]]\npath = \"x(.*)\"", &["expected a group (?<name>..)"]),
        ("[[discovery.pattern]]", &["agent.toml:1: discovery.pattern.path: is missing"]),
        ("discovery.engines = [\"rkt\"]", &["discovery.engines = \"rkt\": expected one of \"lxc\""]),
        ("api.listen = \"localhost\"", &["api.listen = \"localhost\"", "127.0.0.1:8000", "\"off\""]),
        ("api.listen = \"0.0.0.0:8000\"", &["api.listen = \"0.0.0.0:8000\"", "token_file has to be set"]),
        (
            "[api]\nlisten = \"10.0.0.1:80\"\ntoken_file = \"/t\"\nopen_writes = true",
            &["agent.toml:4: api.open_writes = true: only with a loopback address"],
        ),
        ("[[container]]\nguard = false", &["agent.toml:1: container.name: is missing: select by at least one"]),
        ("[[container]]\nname = \"a\"\nguard = \"maybe\"", &["container.guard = \"maybe\": expected true, false or \"advise\""]),
        ("[[container]]\nname = \"a\"\nguard = true", &["container.guard = true: needs a table"]),
        ("[container]\nname = \"a\"", &["container = ", "expected tables, each headed [[container]]"]),
        (&format!("{container}min = 5"), &["agent.toml:4: container.cpu.max: is missing"]),
        (&format!("{container}max = 5"), &["container.cpu.min: is missing"]),
        (&format!("{container}min = 60\nmax = 50"), &["agent.toml:5: container.cpu.min = 60: is above max = 50"]),
        (&format!("{container}min = -1\nmax = 50"), &["container.cpu.min = -1: expected a number from 0 to 1000000000"]),
        (&format!("{container}min = 0\nmax = 0"), &["container.cpu.max = 0: expected at least 1"]),
        (&format!("{container}min = 0\nmax = 50\nboundary = 51"), &["container.cpu.boundary = 51: expected up to max = 50"]),
        (
            &format!("{container}min = 0\nmax = 500\nboundary = 101\nboundary_type = \"percentage_of_max\""),
            &["agent.toml:7: container.cpu.boundary = 101: expected a percentage up to 100"],
        ),
        (&format!("{container}min = 0\nmax = 50\nboundary_type = \"absolute\""), &["needs boundary beside it"]),
        (&format!("{container}min = 0\nmax = 50\nboundary_type = \"percent\""), &["expected one of \"absolute\""]),
        ("a = = 1", &["agent.toml:1: not valid TOML"]),
        ("[agent]\n[agent]", &["agent.toml:2: not valid TOML"]),
    ];
    for (text, parts) in cases {
        let message = refused(text);
        for part in *parts {
            assert!(message.contains(part), "{text}\nsays: {message}\nexpected: {part}");
        }
    }
}

/// One mistake is one problem, and not what would follow from it besides.
#[test]
fn only_the_mistake_itself_is_told() {
    let guarded = "[[container]]\nname = \"a\"\nguard = true\n[container.cpu]\n";
    for text in [
        &format!("{guarded}min = -5\nmax = 50"),
        &format!("{guarded}min = 5\nmax = \"many\"\nboundary = 5"),
        &format!("{guarded}min = 5"),
        &format!("{guarded}min = 5\nmax = 50\nboundary = -1\nboundary_type = \"absolute\""),
        &format!("{guarded}min = 60\nmax = 50"),
        "[[container]]\nname = 5",
        "[[container]]\nname = \"a\"\nguard = true\ncpu = 5",
        "api = { listen = \"10.0.0.1:80\", token_file = 5 }",
        "guardian.window.cpu = \"5 parsecs\"",
    ] {
        let message = refused(text);
        assert_eq!(message.lines().count(), 1, "{text}\nsays: {message}");
    }
}

/// An error's text as it is shown: with its causes.
fn told(error: ConfigError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

#[test]
fn each_file_is_called_by_its_use_and_the_reason_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    for (path, reason) in
        [(Path::new("/nowhere/file"), "No such file or directory (os error 2)"), (&pipe, "it is a pipe, expected")]
    {
        let config = parse(&format!("guardian.rules = {path:?}\napi.token_file = {path:?}"));
        let all = [
            ("settings file", told(Config::load(path).unwrap_err())),
            ("rules file", told(config.guardian.rules_text().unwrap_err())),
            ("token file", told(config.api.token().unwrap_err())),
        ];
        for (what, message) in all {
            assert!(message.starts_with(&format!("cannot read the {what} {}: {reason}", path.display())), "{message}");
            assert_eq!(message.matches(reason).count(), 1, "{message}");
        }
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_files_order() {
    let message = refused("[scaler]\nburst = 2\nperiod = 0\n[guardian]\nactiv = true\nevent_timeout = \"\"");
    let lines: Vec<_> = message.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["agent.toml:2", "agent.toml:3", "agent.toml:5", "agent.toml:6"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Path::new("/nowhere/agent.toml")).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().contains("/nowhere/agent.toml"), "{error}");
}

#[test]
fn what_cannot_change_stays_as_it_runs_however_often_it_is_read() {
    let running = parse("host.name = \"host0\"\nagent.state_dir = \"/a\"");
    for _ in 0..2 {
        let mut new = parse(
            "host = { name = \"other\", max.cpu = 100 }\nagent.state_dir = \"/a\"\napi = { listen = \"off\", open_writes = true }\n\
             discovery = { rescan = 1, pattern = [{ path = \"(?<name>.)\" }] }",
        );
        assert_eq!(new.hold_fixed(&running), ["host.name", "[[discovery.pattern]]", "discovery.rescan", "api.listen"]);
        assert_eq!((new.host.name.as_str(), new.api.listen), ("host0", running.api.listen));
        assert!(new.discovery.patterns.is_empty() && new.discovery.rescan == running.discovery.rescan);
        assert_eq!((new.host.max[Resource::Cpu], new.api.open_writes), (Some(100.0), true), "the rest is taken over");
    }
    assert_eq!(parse("host.name = \"host0\"\nagent.state_dir = \"/a\"").hold_fixed(&running), [""; 0]);
}

#[test]
fn a_millisecond_of_quota_is_the_least() {
    for (period, least) in [("100ms", 1.0), ("20ms", 5.0), ("1s", 0.1)] {
        let scaler = parse(&format!("scaler.period = \"{period}\"")).scaler;
        assert!((scaler.least_cpu() - least).abs() < 1e-9, "{period}");
    }
}

#[test]
fn what_will_hardly_be_meant_is_warned_of() {
    let container = "[[container]]\nname = \"a\"\nguard = true\n";
    let cases = [
        (format!("{container}mem = {{ min = 64, max = 640 }}"), "agent.toml:1: mem is not guarded, since guardian.guardable"),
        (
            format!("guardian.guardable = [\"disk_read\"]\n{container}disk_read = {{ min = 1, max = 100 }}"),
            "host.max.disk_read is not set",
        ),
        (format!("{container}net = {{ min = 1, max = 10 }}"), "net is read and reported, but not scaled"),
        (
            format!("{container}cpu = {{ min = 50, max = 100, boundary = 25 }}"),
            "cpu can never be lowered: min + 2 x boundary is 100",
        ),
        ("guardian.window.cpu = \"20ms\"\n".to_owned(), "guardian.window.cpu is 20ms, shorter than scaler.period (100ms)"),
        (
            format!("{container}cpu = {{ min = 5, max = 100 }}\n[[container]]\nname = \"a\"\nguard = false"),
            "agent.toml:5: selects nothing that [[container]] in agent.toml:1 does not",
        ),
        (format!("{container}engine = \"systemd\"\ncpu = {{ min = 5, max = 100 }}"), "discovery.engines does not look for"),
    ];
    for (text, part) in cases {
        let warnings = parse(&text).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(part), "{text}: {warnings:?}");
    }
}

proptest::proptest! {
    /// Whatever stands in a file, it is taken or refused at lines that it has.
    #[test]
    fn no_text_is_too_odd(at in 0..COMMENTED.len(), cut in 0_usize..40, put in "[ -~\u{e4}\\n]{0,12}") {
        let text = with_examples();
        let (mut from, mut to) = (at.min(text.len()), (at + cut).min(text.len()));
        while !text.is_char_boundary(from) { from -= 1; }
        while !text.is_char_boundary(to) { to += 1; }
        let odd = format!("{}{put}{}", &text[..from], &text[to..]);
        if let Err(ConfigError::Invalid { problems }) = Config::parse(&odd, "agent.toml") {
            proptest::prop_assert!(!problems.is_empty());
            let lines = odd.lines().count().max(1);
            proptest::prop_assert!(problems.iter().all(|p| (1..=lines + 1).contains(&p.line) && !p.message.is_empty()));
        }
    }
}
