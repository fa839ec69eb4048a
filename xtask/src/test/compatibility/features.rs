//! What a user asks for, and which tests tell of it.

/// A row of the table.
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// The program, and how the test's name begins.
    tests: &'static [(&'static str, &'static str)],
}

impl Feature {
    pub(super) fn tells(&self, program: &str, test: &str) -> bool {
        let file = program.strip_prefix("headroom-agent ").unwrap_or(program);
        self.tests.iter().any(|(known, begins)| file == *known && test.starts_with(begins))
    }
}

/// A row of tests.
const fn row(name: &'static str, tests: &'static [(&'static str, &'static str)]) -> Feature {
    Feature { name, tests }
}

/// Every row, in the order of the table.
pub(super) const FEATURES: &[Feature] = &[
    row(
        "CPU quota, period and burst: set, raised, lowered, taken off, refused, undone",
        &[
            ("cgroup", "conformance::on_this_kernel::the_cpu"),
            ("cgroup", "conformance::on_this_kernel::the_period"),
            ("cgroup", "conformance::on_this_kernel::cpu_values"),
            ("cgroup", "conflicts::on_this_kernel::a_period"),
            ("cgroup", "conflicts::on_this_kernel::a_quota"),
            ("cgroup", "conflicts::on_this_kernel::a_tighter"),
            ("cgroup", "conflicts::on_this_kernel::a_child"),
            ("cgroup", "counting::throttling"),
        ],
    ),
    row(
        "CPUs of a container: the same",
        &[
            ("cgroup", "conformance::on_this_kernel::cpus"),
            ("cgroup", "conflicts::on_this_kernel::cpus"),
            ("cgroup", "conflicts::on_this_kernel::a_cpuset"),
            ("daemon", "pinning::"),
        ],
    ),
    row(
        "memory limits: the same",
        &[
            ("cgroup", "conformance::on_this_kernel::the_memory"),
            ("cgroup", "conflicts::on_this_kernel::memory"),
            ("cgroup", "conflicts::on_this_kernel::swap"),
            ("daemon", "first::memory"),
            ("daemon", "squeeze::"),
        ],
    ),
    row(
        "disk bandwidth: the same",
        &[
            ("cgroup", "conformance::on_this_kernel::disk"),
            ("cgroup", "conflicts::on_this_kernel::a_disk"),
            ("cgroup", "counting::bytes_from_a_disk"),
            ("cgroup", "disks::"),
            ("daemon", "disks::"),
        ],
    ),
    row(
        "network bytes, counted at sockets or read from interfaces",
        &[("sampler", "net::"), ("cgroup", "counting::the_network"), ("daemon", "net::")],
    ),
    row(
        "network limits that others set (`tc`, LXD, CNI's plugins) are shown",
        &[("daemon", "uplinks::"), ("engines", "uplinks::")],
    ),
    row("every other test of the cgroup writer", &[("cgroup", "")]),
    row("CPU time by eBPF, within 1 % of the kernel's", &[("sampler", "accuracy::"), ("engines", "accuracy::")]),
    row("thresholds in the kernel ring in time", &[("sampler", "events::")]),
    row("the eBPF programs load, as long as recorded", &[("sampler", "verif")]),
    row("without BPF rights: the kernel's files, and why", &[("sampler", "fallback::"), ("daemon", "phases::without_bpf")]),
    row("with the unit's capabilities only", &[("daemon", "privileges::")]),
    row("a container in a guarded one is left alone", &[("daemon", "nested::")]),
    row("containers are found, named, forgotten", &[("discovery", ""), ("discovery_watches", ""), ("engines", "watches::")]),
    row("limits follow usage through the five phases", &[("daemon", "phases::limits")]),
    row("the sum of limits never passes the host", &[("daemon", "full::"), ("daemon", "first::the_sum")]),
    row("what something else changes, or sets when it starts one", &[("daemon", "foreign::"), ("daemon", "starts::")]),
    row("unguarded is untouched", &[("daemon", "untouched::")]),
    row("an end, a death, a reload", &[("daemon", "ending::"), ("daemon", "left::"), ("daemon", "crash::")]),
    row("all containers burst at once", &[("daemon", "storm::")]),
    row("a CPU goes and comes back", &[("daemon", "hotplug::")]),
    row("every other test of the daemon", &[("daemon", "")]),
    row("REST interface and metrics", &[("api", "")]),
    row("`check`, `replay`", &[("check", ""), ("replay", "")]),
    row("Docker: found, named, renamed, guarded", &[("engines", "engines::docker"), ("engines", "engines::a_data_root")]),
    row("Docker: limits follow usage through the five phases", &[("engines", "phases::docker")]),
    row("Docker: its own updates", &[("engines", "updates::docker"), ("engines", "updates::one_under")]),
    row("Docker: stopped, started, replaced", &[("engines", "again::docker")]),
    row("Docker: started with a limit of its own", &[("engines", "starts::docker")]),
    row("Podman: found, named, renamed, guarded", &[("engines", "engines::podman")]),
    row("Podman: limits follow usage through the five phases", &[("engines", "phases::podman")]),
    row("Podman: its own updates", &[("engines", "updates::podman")]),
    row("Podman: stopped, started, replaced", &[("engines", "again::podman")]),
    row("Podman: started with a limit of its own", &[("engines", "starts::podman")]),
    row("LXC: found, named, renamed, guarded", &[("engines", "engines::lxc")]),
    row("LXC: limits follow usage through the five phases", &[("engines", "phases::lxc")]),
    row("LXC: its own updates", &[("engines", "updates::lxc")]),
    row("LXC: stopped, started, replaced", &[("engines", "again::lxc")]),
    row("LXC: started with a limit of its own", &[("engines", "starts::lxc")]),
    row("LXD: found, named, renamed, guarded", &[("engines", "engines::lxd")]),
    row("LXD: limits follow usage through the five phases", &[("engines", "phases::lxd")]),
    row("LXD: its own updates", &[("engines", "updates::lxd")]),
    row("LXD: stopped, started, replaced", &[("engines", "again::lxd")]),
    row("LXD: started with a limit of its own", &[("engines", "starts::lxd")]),
    row("what `systemctl daemon-reload` writes into containers of Docker and Podman", &[("engines", "reloads::")]),
    row("cgroups made by hand: found, named, guarded", &[("engines", "engines::by_hand")]),
    row("systemd in a container, an engine in one: counted, one limit for all", &[("engines", "nested::")]),
    row("the agent itself in a container", &[("engines", "inside::")]),
    row("Kubernetes, by its paths and log files", &[("engines", "kubernetes::")]),
    row("the packaged unit under systemd", &[("configs/systemd/headroom-agent.service", "")]),
];

/// Tests of the tests' own tools tell of nothing.
pub(super) fn is_ours(test: &str) -> bool {
    ["support::", "fake::", "faults::"].iter().any(|tool| test.starts_with(tool)) || test.contains("::on_fake_")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::repo;

    /// Whether some test of this program has a name that begins so, by the sources.
    fn is_there(program: &str, begins: &str) -> bool {
        let tests = repo::root().join("agent/tests");
        let main = [tests.join(format!("{program}.rs")), tests.join(program).join("main.rs"), repo::root().join(program)];
        let Some(main) = main.iter().find_map(|file| fs::read_to_string(file).ok()) else { return false };
        if begins.is_empty() {
            return true;
        }
        let mut modules = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        modules.any(|module| {
            // One from elsewhere (`#[path]`) is a tool.
            let Ok(text) = fs::read_to_string(tests.join(program).join(format!("{module}.rs"))) else { return false };
            let within = match begins.split_once("::") {
                Some((known, within)) if known == module => within,
                // The first letters of a module.
                None if module.starts_with(begins) => "",
                _ => return false,
            };
            let (inner, test) = within.rsplit_once("::").map_or(("", within), |(inner, test)| (inner, test));
            // A macro makes a test of each body there, in a module for each ground.
            let is_everywhere = text.contains("everywhere! {");
            let has_inner = inner.is_empty() || (is_everywhere && inner == "on_this_kernel");
            has_inner && (is_everywhere || text.contains("#[test]")) && text.contains(&format!("fn {test}"))
        })
    }

    #[test]
    fn what_tells_of_a_feature_is_there() {
        for feature in FEATURES {
            for (program, begins) in feature.tests {
                assert!(
                    is_there(program, begins),
                    "{}: no test of agent/tests/{program} begins with {begins:?}: name one that is there",
                    feature.name
                );
            }
        }
    }

    #[test]
    fn what_is_not_there_is_seen() {
        let absent =
            [("memory", ""), ("daemon", "memory::"), ("daemon", "disk::"), ("daemon", "release"), ("cgroup", "kernel::none")];
        assert!(absent.iter().all(|(program, begins)| !is_there(program, begins)));
    }
}
