//! Three centrals on one CouchDB, and agents on hosts of their own: one central killed, one cut off from CouchDB and brought back, while
//! limits follow the load throughout.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::bed::{Agent, Bed, Central, Http, shares};
use crate::process::until;
use crate::proxy::{Fault, Proxy};
use crate::server::{Databases, Server};
use crate::support::Burner;

const GUARDED: &str = "[[container]]\nname = '*'\nguard = true\ncpu = { min = 10, max = 200, boundary = 5 }";

/// The settings of a central that keeps its documents there.
pub(crate) fn on_couchdb(databases: &Databases<'_>, url: &str) -> String {
    let (prefix, file) = (&databases.settings.prefix, databases.settings.credentials_file.as_ref().unwrap().display());
    format!("store = 'couchdb'\n[couchdb]\nurl = '{url}'\ncredentials_file = '{file}'\nprefix = '{prefix}'")
}

/// The central that a host reports to, by its place in the list, as another one says.
fn central_of(said_by: &Central, host: &str, centrals: &[Central]) -> Option<usize> {
    let fleet = said_by.http.get("/fleet");
    let host = fleet["hosts"].as_array().unwrap().iter().find(|of| of["name"] == host && of["quiet_since"].is_null())?;
    let central = fleet["centrals"].as_array().unwrap().iter().find(|of| of["id"] == host["central"])?;
    centrals.iter().position(|of| central["url"] == of.url.as_str())
}

/// How long it takes, for people.
fn within(what: &str, done: impl FnMut() -> bool) {
    let start = Instant::now();
    until(what, done);
    eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
}

/// A burst, and the limit that follows it up and down again.
fn follows(agent: &Agent, container: &crate::support::TestCgroup, load: &mut Burner) {
    load.set_duty(1.0);
    until("it is scaled up", || shares(container).is_some_and(|limit| limit > 60.0));
    load.set_duty(0.02);
    until("it is scaled down", || shares(container).is_some_and(|limit| limit < 40.0));
    assert_eq!(agent.container("a")["guard"], "on");
}

#[test]
fn one_killed_and_one_cut_off_lose_nothing_and_agents_move_on() {
    let bed = Bed::with_hosts("three", &["host0", "host1"]);
    bed.net.as_ref().unwrap().enter("central");
    let server = Server::start(&[]);
    let databases = Databases::on(&server);
    let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::before(&server.url)).collect();
    let central =
        |n: usize, state| bed.central_of(state, &format!("insecure = true\n{}", on_couchdb(&databases, &proxies[n].url())));
    let mut centrals = vec![central(0, "central0"), central(1, "central1"), central(2, "central2")];
    centrals[2].http.put("/service/guardian", json!({"WINDOW_TIMELAPSE": 0.2, "EVENT_TIMEOUT": 10}));
    let containers = [bed.container("host0", "a"), bed.container("host1", "b")];
    let agents = [
        bed.agent_with("host0", "host0", &[&centrals[0], &centrals[1], &centrals[2]], GUARDED),
        bed.agent_with("host1", "host1", &[&centrals[1], &centrals[2], &centrals[0]], GUARDED),
    ];
    for central in &centrals {
        until("it answers for both hosts", || {
            ["host0", "host1"].iter().all(|host| central_of(central, host, &centrals).is_some())
        });
    }
    agents[0].until_guarded("a", "on");
    agents[1].until_guarded("b", "on");
    let http = &centrals[0].http;
    until("both containers' amounts are counted", || {
        ["a", "b"].iter().all(|name| http.get(&format!("/accounting?structure={name}"))["resources"]["cpu"].is_object())
    });
    let mut loads: Vec<_> = containers.iter().map(|container| container.burn(1, 0.02)).collect();
    follows(&agents[0], &containers[0], &mut loads[0]);
    let at = central_of(&centrals[0], "host0", &centrals).unwrap();
    centrals[(at + 1) % 3].http.put("/structure/a/resources/cpu/max", json!({"value": 180}));
    let max = || agents[0].container("a")["resources"]["cpu"]["max"].clone();
    within("what is set at one central is in force at an agent of another", || max() == json!(180.0));

    let killed = central_of(&centrals[0], "host0", &centrals).unwrap();
    let place = centrals.remove(killed).kill9();
    within("the agent of a killed central reports elsewhere", || central_of(&centrals[0], "host0", &centrals).is_some());
    follows(&agents[0], &containers[0], &mut loads[0]);
    centrals.insert(killed, Central::again(&bed, &place));

    let cut_off = central_of(&centrals[killed], "host0", &centrals);
    let cut_off = cut_off.unwrap_or_else(|| central_of(&centrals[(killed + 1) % 3], "host0", &centrals).unwrap());
    let other = (cut_off + 1) % 3;
    proxies[cut_off].breaks(Fault::Stalls, "/");
    within("the agents of one that is cut off report elsewhere", || {
        ["host0", "host1"].iter().all(|host| central_of(&centrals[other], host, &centrals).is_some_and(|at| at != cut_off))
    });
    follows(&agents[0], &containers[0], &mut loads[0]);
    centrals[other].http.put("/structure/a/resources/cpu/max", json!({"value": 190}));
    until("settings go on", || max() == json!(190.0));
    proxies[cut_off].heals();
    within("it is back, and answers for both hosts", || {
        let http = &centrals[cut_off].http;
        let there = http.get("/fleet")["centrals"].as_array().unwrap().iter().filter(|of| of["trouble"].is_null()).count();
        let max = http.get("/structure/a")["resources"]["cpu"]["max"].clone();
        there == 3 && max == json!(190) && central_of(&centrals[cut_off], "host0", &centrals).is_some()
    });

    for load in &mut loads {
        load.set_duty(0.0);
    }
    for central in &centrals {
        for (name, container) in ["a", "b"].iter().zip(&containers) {
            // Both in share-hours.
            let used = || central.http.get(&format!("/accounting?structure={name}"))["resources"]["cpu"]["used"].as_f64();
            let kernel = || container.cpu_time().unwrap().total_us as f64 / 3.6e7;
            until("all that was used is in its accounts, once", || (used().unwrap_or_default() / kernel() - 1.0).abs() < 0.02);
        }
        let decisions = central.http.get("/decisions?structure=a&limit=10000");
        let said: std::collections::BTreeSet<String> = decisions.as_array().unwrap().iter().map(Value::to_string).collect();
        assert_eq!(said.len(), decisions.as_array().unwrap().len(), "each once");
        assert!(said.len() > 6, "{decisions}");
    }
}

#[test]
fn centrals_need_a_token_for_each_other_where_tokens_are_in_use() {
    let bed = Bed::new("peers");
    let server = Server::start(&[]);
    let databases = Databases::on(&server);
    let [state, other] = ["central0", "central1"].map(|central| bed.dir.path().join(central).join("state"));
    let add = |name: &str, role: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headroom-central"));
        let output = command.args(["token", "add", name, "--role", role, "--state-dir"]).arg(&state).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let [peer, ann] = [add("peer", "central"), add("ann", "operate")];
    std::fs::create_dir_all(&other).unwrap();
    std::fs::copy(state.join("tokens.json"), other.join("tokens.json")).unwrap();
    std::fs::write(bed.dir.path().join("peer"), &peer).unwrap();
    let couchdb = on_couchdb(&databases, &server.url);
    let with = bed.central_of("central0", &format!("{couchdb}\n[peers]\ntoken_file = '{{dir}}/peer'"));
    let without = bed.central_of("central1", &couchdb);
    let trouble = |central: &Central, of: &Central| {
        let fleet = Http { token: Some(ann.clone()), ..central.http.clone() }.get("/fleet");
        let centrals = fleet["centrals"].as_array().unwrap().clone();
        centrals.into_iter().find(|central| central["url"] == of.url.as_str()).map(|central| central["trouble"].clone())
    };
    until("it is told", || trouble(&without, &with).is_some_and(|why| why.to_string().contains("a token is needed")));
    until("the other one knows it", || trouble(&with, &without) == Some(Value::Null));
    let as_peer = Http { token: Some(peer), ..with.http.clone() };
    assert_eq!((as_peer.send("GET", "/central/hosts", None).0, as_peer.send("GET", "/fleet", None).0), (200, 403));
    assert_eq!(Http { token: Some(ann.clone()), ..with.http.clone() }.send("GET", "/central/hosts", None).0, 403);
}
