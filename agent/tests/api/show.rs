//! `status` against a real server.

use std::sync::Arc;

use headroom_agent::check::places::{Listening, Places};
use headroom_agent::show::{StatusArgs, ask, table};
use headroom_agent::status::GuardMode;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use crate::support::{Server, cont0, decision, rename};

/// The table of a server with a guarded, an advised, a refused and an unguarded container.
fn shown(colours: bool) -> String {
    let server = Server::open();
    server.decisions.record(decision("cont0", 1_759_999_988.0));
    let mut snapshot = crate::support::snapshot();
    let mut advised = cont0();
    rename(&mut advised, "a-container-with-quite-a-long-name-\u{1b}[2J");
    advised.guard = GuardMode::Advise;
    advised.resources[Resource::Cpu].as_mut().unwrap().applied = Limit::At(400.0);
    advised.notes =
        vec!["memory is not guarded: the memory controller is not enabled for it, so its limit cannot be set or read".into()];
    Arc::make_mut(&mut advised.container).application = Some("shop".into());
    let mut refused = cont0();
    rename(&mut refused, "büro-東京");
    refused.resources[Resource::Cpu].as_mut().unwrap().guard = false;
    refused.notes = vec!["cpu: not guarded: its min 50 is more than the 20 shares that are free now".into()];
    snapshot.containers.extend([advised, refused]);
    server.control.snapshot.store(Arc::new(snapshot));
    table(&server.get("/status").body, colours).unwrap()
}

#[test]
fn the_table_says_what_is_guarded_and_why() {
    let text = shown(false);
    let has = |part: &str| assert!(text.contains(part), "{part}\n{text}");
    has("host0: 1 of 4 containers guarded, 1 advised, 1 refused");
    has("CPU time counted by ebpf, network by interfaces;");
    has("network not at sockets: containers are followed in v1 hierarchies");
    has("cpu: 300 of 500 shares free");
    has("UPPER   LIMIT ADVISED     MIN     MAX");
    has("cont0              lxc     on     cpu          160.3     150     175     200       -      50     200");
    has("12 s ago CpuRescaleUp 125 -> 200 applied: rule CpuRescaleUp: up 2 >= 2 and down 0 <= 2");
    has("a-container-with.. lxc     advise cpu          160.3     150     175     400     200      50     200");
    has("büro-東京          lxc     off    cpu          160.3     150     175     200       -      50     200");
    has("    not guarded, though asked for by [[container]] in agent.toml:3");
    has("    cpu: not guarded: its min 50 is more than");
    has("    guarded by [[container]] in agent.toml:3");
    has("    application shop; advised by [[container]] in agent.toml:3");
    has("    memory is not guarded: the memory controller is not enabled for it");
    has("no [[container]] selects it");
    has("none");
}

#[test]
fn it_fits_a_hundred_columns_and_a_terminal_obeys_none_of_it() {
    let text = shown(false);
    for line in text.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 100 && !line.contains(char::is_control), "{line:?}");
    }
    let coloured = shown(true);
    let plain = regex::Regex::new("\x1b\\[[0-9]+m").unwrap().replace_all(&coloured, "").into_owned();
    assert_eq!(plain, text);
    assert_ne!(coloured, text);
}

#[test]
fn an_answer_of_something_else_is_not_taken_for_an_agents() {
    assert!(format!("{:#}", table("{}", false).unwrap_err()).contains("not an agent's"));
}

/// Everything that an error says, or the answer.
fn asked(args: &StatusArgs) -> Result<String, String> {
    ask(args).map_err(|e| format!("{e:#}"))
}

#[test]
fn the_agent_is_asked_where_the_arguments_say() {
    let server = Server::open();
    let expected = server.get("/status").body;
    let config = server.directory.path().join("agent.toml");
    std::fs::write(&config, format!("api = {{ socket = \"{}\", listen = \"off\" }}", server.socket.display())).unwrap();
    for args in [
        StatusArgs { socket: Some(server.socket.clone()), ..StatusArgs::default() },
        StatusArgs { url: Some(format!("http://{}", server.tcp)), ..StatusArgs::default() },
        StatusArgs { config: Some(config.clone()), ..StatusArgs::default() },
    ] {
        assert_eq!(asked(&args), Ok(expected.clone()), "{args:?}");
    }
    // The next place is asked where the first does not answer.
    std::fs::write(&config, format!("api = {{ socket = \"/nowhere/s\", listen = \"{}\" }}", server.tcp)).unwrap();
    assert_eq!(asked(&StatusArgs { config: Some(config), ..StatusArgs::default() }), Ok(expected));
}

#[test]
fn where_no_agent_answers_every_place_is_named() {
    let mut server = Server::open();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("agent.toml");
    std::fs::write(&config, format!("api = {{ socket = \"{}\", listen = \"{}\" }}", server.socket.display(), server.tcp))
        .unwrap();
    server.end();
    let error = asked(&StatusArgs { config: Some(config.clone()), ..StatusArgs::default() }).unwrap_err();
    assert!(error.starts_with("no agent answers:"), "{error}");
    for part in [&server.socket.display().to_string(), &format!("http://{}: ", server.tcp), "Is it running?"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    std::fs::write(&config, "api = { socket = \"off\", listen = \"off\" }").unwrap();
    let error = asked(&StatusArgs { config: Some(config), ..StatusArgs::default() }).unwrap_err();
    assert!(error.contains("api.listen"), "{error}");
}

#[test]
fn check_knows_an_agent_that_runs_already() {
    let server = Server::open();
    let text = format!(
        "agent.state_dir = {:?}\napi = {{ listen = \"{}\", socket = {:?} }}",
        server.directory.path(),
        server.tcp,
        server.socket
    );
    let config = headroom_agent::config::Config::parse(&text, "agent.toml").unwrap();
    let places = Places::try_out(&config);
    assert_eq!((places.listen.unwrap().1, places.socket.unwrap().1), (Listening::Agent, Listening::Agent));
}
