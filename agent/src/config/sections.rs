//! The tables of `agent.toml`, each with its keys, their ranges and their defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use headroom_model::resource::{PerResource, Resource};
use headroom_records::cache;
use toml::de::DeValue;

use super::kinds::{boolean, duration, glob, naming_regex, one_of, or_off, path, text, whole, within};
use super::reader::Section;
use super::{Agent, Api, Central, Discovery, Guardian, Host, OnDeath, OnForeignChange, Profile, Sampler, Scaler, Tls};
use crate::containers::Engine;
use crate::containers::identity::Roots;
use crate::sampler::SourceKind;

/// Where a restart finds what it needs.
pub(super) const STATE_DIR: &str = "/var/lib/headroom";

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Where cores are looked for first: the orders of the policy.
const CORE_DISTRIBUTIONS: &[(&str, &str)] = &[
    ("Group_PP_LL", "Group_PP_LL"),
    ("Group_P&L", "Group_P&L"),
    ("Group_1P_2L", "Group_1P_2L"),
    ("Spread_P&L", "Spread_P&L"),
    ("Spread_PP_LL", "Spread_PP_LL"),
];

/// The engines that discovery has patterns for.
const ENGINES: &[(&str, Engine)] = &[
    ("lxc", Engine::Lxc),
    ("docker", Engine::Docker),
    ("podman", Engine::Podman),
    ("kubernetes", Engine::Kubernetes),
    ("systemd", Engine::Systemd),
];

pub(super) fn host(section: Section<'_>) -> Host {
    let max = section.section("max");
    let host = Host {
        name: section.maybe("name", text).unwrap_or_else(machine_name),
        max: PerResource::from_fn(|r| max.maybe(r.key(), within(0.0..=super::container::MOST))),
        reserve_unguarded: section.or("reserve_unguarded", false, boolean),
        never_guard: section.list("never_guard", Vec::new(), glob),
    };
    max.close();
    section.close();
    host
}

fn machine_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "localhost".to_owned())
}

pub(super) fn agent(section: Section<'_>) -> Agent {
    let on_death = one_of(&[("release", OnDeath::Release), ("hold", OnDeath::Hold)]);
    let agent = Agent {
        state_dir: section.or("state_dir", PathBuf::from(STATE_DIR), path),
        on_death: section.or("on_death", OnDeath::Release, on_death),
        restore_on_exit: section.or("restore_on_exit", false, boolean),
        realtime_priority: section
            .or("realtime_priority", 10, |value| whole(0..=99)(value).and_then(|n| u8::try_from(n).map_err(|e| e.to_string()))),
    };
    section.close();
    agent
}

pub(super) fn guardian(section: Section<'_>) -> Guardian {
    let profile = one_of(&[("classic", Profile::Classic), ("responsive", Profile::Responsive)]);
    let profile = section.or("profile", Profile::Classic, profile);
    let cooldown = if profile == Profile::Responsive { 200 * MS } else { Duration::ZERO };
    let guardian = Guardian {
        profile,
        active: section.or("active", true, boolean),
        window: windows(&section),
        event_timeout: section.maybe("event_timeout", duration(10 * MS..=24 * HOUR)),
        guardable: section.list("guardable", vec![Resource::Cpu], resource),
        at_central: false,
        rejudge: section.or("rejudge", profile == Profile::Responsive, boolean),
        cooldown: section.or("cooldown", cooldown, duration(Duration::ZERO..=HOUR)),
        rules: section.maybe("rules", path),
    };
    section.close();
    guardian
}

fn windows(section: &Section<'_>) -> PerResource<Duration> {
    let table = section.section("window");
    let windows = PerResource::from_fn(|r| {
        let default = if r == Resource::Cpu { 100 * MS } else { SECOND };
        table.or(r.key(), default, duration(10 * MS..=HOUR))
    });
    table.close();
    windows
}

fn resource(value: &DeValue<'_>) -> Result<Resource, String> {
    text(value)?.parse().map_err(|e: headroom_model::resource::UnknownResource| e.to_string())
}

pub(super) fn scaler(section: Section<'_>, profile: Profile) -> Scaler {
    let on_foreign = one_of(&[("reassert", OnForeignChange::Reassert), ("adopt", OnForeignChange::Adopt)]);
    let burst = if profile == Profile::Responsive { 1.0 } else { 0.0 };
    let scaler = Scaler {
        active: section.or("active", true, boolean),
        request_timeout: section.or("request_timeout", 60 * SECOND, duration(10 * MS..=24 * HOUR)),
        check_core_map: section.or("check_core_map", true, boolean),
        on_foreign_change: section.or("on_foreign_change", OnForeignChange::Reassert, on_foreign),
        pin_cores: section.or("pin_cores", false, boolean),
        core_distribution: section.or("core_distribution", "Group_PP_LL", one_of(CORE_DISTRIBUTIONS)).to_owned(),
        period: section.or("period", 100 * MS, duration(MS..=SECOND)),
        burst: section.or("burst", burst, within(0.0..=1.0)),
        min_quota: section.or("min_quota", MS, duration(MS..=SECOND)),
        lower_memory_v1: section.or("lower_memory_v1", false, boolean),
    };
    section.close();
    scaler
}

pub(super) fn sampler(section: Section<'_>) -> Sampler {
    let source = one_of(&[("auto", None), ("ebpf", Some(SourceKind::Ebpf)), ("cgroupfs", Some(SourceKind::Cgroupfs))]);
    let sampler = Sampler {
        source: section.or("source", None, source),
        max_containers: section.or("max_containers", 4096, whole(1..=cache::MAX_SLOTS)),
        audit_interval: section.or("audit_interval", 10 * SECOND, duration(SECOND..=HOUR)),
    };
    section.close();
    sampler
}

pub(super) fn discovery(section: Section<'_>) -> Discovery {
    let engines = vec![Engine::Lxc, Engine::Docker, Engine::Podman, Engine::Kubernetes];
    let patterns = section.sections("pattern").into_iter().filter_map(|pattern| {
        let regex = pattern.need("path", "a regular expression on the cgroup's path, with a group (?<name>..)", naming_regex);
        pattern.close();
        regex
    });
    let discovery = Discovery {
        patterns: patterns.collect(),
        engines: section.list("engines", engines, one_of(ENGINES)),
        rescan: section.or("rescan", 10 * SECOND, duration(100 * MS..=HOUR)),
        roots: roots(section.section("roots")),
    };
    section.close();
    discovery
}

fn roots(section: Section<'_>) -> Roots {
    let usual = Roots::default();
    let roots = Roots {
        docker: section.list("docker", usual.docker, path),
        podman: section.list("podman", usual.podman, path),
        lxc: section.list("lxc", usual.lxc, path),
        lxd: section.list("lxd", usual.lxd, path),
        kubernetes: section.list("kubernetes", usual.kubernetes, path),
        containerd: section.list("containerd", usual.containerd, path),
        crio: section.list("crio", usual.crio, path),
    };
    section.close();
    roots
}

pub(super) fn api(section: Section<'_>) -> Api {
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
    let api = Api {
        listen: section.or("listen", Some(listen), or_off(address)),
        socket: section.or("socket", Some(PathBuf::from("/run/headroom/agent.sock")), or_off(path)),
        token_file: section.maybe("token_file", path),
        open_writes: section.or("open_writes", false, boolean),
        insecure: section.or("insecure", false, boolean),
        tls: tls(section.section("tls")),
        allowed_hosts: section.list("allowed_hosts", Vec::new(), text),
    };
    if let Some(address) = api.listen.filter(|address| !address.ip().is_loopback() && !api.insecure) {
        if !section.has("token_file") {
            section.wrong(
                "listen",
                format!("{address} is no loopback address, so token_file has to be set, or insecure to be true"),
            );
        }
        if api.open_writes {
            section.wrong("open_writes", format!("only with a loopback address in listen, not with {address}"));
        }
    }
    section.close();
    api
}

fn tls(section: Section<'_>) -> Option<Tls> {
    if !section.is_there() {
        return None;
    }
    let certificate = section.need("certificate", "a PEM file with the certificate", path);
    let key = section.need("key", "a PEM file with its private key", path);
    section.close();
    Some(Tls { certificate: certificate?, key: key? })
}

pub(super) fn central(section: Section<'_>) -> Option<Central> {
    if !section.is_there() {
        return None;
    }
    let urls = section.need("url", "where central is served", urls);
    let central = Central {
        urls: urls.unwrap_or_default(),
        token_file: section.maybe("token_file", path),
        ca: section.maybe("ca", path),
        report_interval: section.or("report_interval", 5 * SECOND, duration(100 * MS..=HOUR)),
    };
    section.close();
    Some(central)
}

/// One URL, or several.
fn urls(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let expected = "expected a URL such as \"http://127.0.0.1:5000\", or a list of them";
    let url = |value: &DeValue<'_>| {
        let url = text(value)?;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let is_base = rest.is_some_and(|rest| !rest.is_empty() && !rest.trim_end_matches('/').contains(['/', '?', '#', '@']));
        is_base.then(|| url.trim_end_matches('/').to_owned()).ok_or_else(|| expected.to_owned())
    };
    match value.as_array() {
        Some(list) if list.is_empty() => Err(expected.to_owned()),
        Some(list) => list.iter().map(|item| url(item.get_ref())).collect(),
        None => url(value).map(|url| vec![url]),
    }
}

fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let expected = "expected an address and a port, such as \"127.0.0.1:8000\"";
    text(value)?.parse().map_err(|e: std::net::AddrParseError| format!("{expected} ({e})"))
}

/// The engine that `[[container]]` selects by.
pub(super) fn engine(value: &DeValue<'_>) -> Result<Engine, String> {
    const ALL: &[(&str, Engine)] = &[
        ("lxc", Engine::Lxc),
        ("lxd", Engine::Lxd),
        ("docker", Engine::Docker),
        ("podman", Engine::Podman),
        ("kubernetes", Engine::Kubernetes),
        ("systemd", Engine::Systemd),
        ("custom", Engine::Custom),
    ];
    one_of(ALL)(value)
}
