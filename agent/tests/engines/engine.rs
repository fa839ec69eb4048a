//! The engines: how each is set up here, and what it is told.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::bed::{Bed, quietly, sh};

/// One engine. `{name}` in commands is a container's name.
pub(crate) struct Engine {
    /// As the agent calls it.
    pub(crate) name: &'static str,
    /// Makes it ready, with an image `busybox` where it takes one.
    prepare: fn(&mut Bed),
    /// Creates and starts a container; `{label}` is nothing, or what [`Engine::label`] says.
    create: &'static str,
    /// What gives it the label `tier=front`.
    label: &'static str,
    /// What gives it half a core, in the label's place.
    limit: &'static str,
    /// Before what is to be run in it.
    exec: &'static str,
    /// Gives it another CPU quota: `{shares}` percent of a core.
    update: &'static str,
    /// Gives it another memory limit: `{mib}` MiB.
    update_memory: &'static str,
    stop: &'static str,
    start: &'static str,
    remove: &'static str,
}

pub(crate) const DOCKER: Engine = Engine {
    name: "docker",
    prepare: docker,
    create: "docker run -d --name {name} {label} busybox sleep 3600",
    label: "--label tier=front",
    limit: "--cpus 0.5",
    exec: "docker exec {name}",
    update: "docker update --cpus 0.{shares} {name}",
    update_memory: "docker update --memory {mib}m --memory-swap {mib}m {name}",
    stop: "docker stop -t 0 {name}",
    start: "docker start {name}",
    remove: "docker rm -f {name}",
};

pub(crate) const PODMAN: Engine = Engine {
    name: "podman",
    prepare: podman,
    create: "podman run -d --name {name} {label} busybox sleep 3600",
    label: "--annotation tier=front",
    limit: "--cpus 0.5",
    exec: "podman exec {name}",
    update: "podman update --cpus 0.{shares} {name}",
    update_memory: "podman update --memory {mib}m --memory-swap {mib}m {name}",
    stop: "podman stop -t 0 {name}",
    start: "podman start {name}",
    remove: "podman rm -f -t 0 {name}",
};

pub(crate) const LXC: Engine = Engine {
    name: "lxc",
    prepare: lxc,
    create: "lxc-create -n {name} -t busybox; {label} lxc-start -n {name}",
    label: "echo 'lxc.environment = tier=front' >> /var/lib/lxc/{name}/config;",
    limit: "if grep -qsw cpu /sys/fs/cgroup/cgroup.controllers; then echo 'lxc.cgroup2.cpu.max = 50000 100000'; \
            else echo 'lxc.cgroup.cpu.cfs_quota_us = 50000'; fi >> /var/lib/lxc/{name}/config;",
    exec: "lxc-attach -n {name} --",
    update: "lxc-cgroup -n {name} cpu.max '{shares}000 100000' || lxc-cgroup -n {name} cpu.cfs_quota_us {shares}000",
    update_memory: "lxc-cgroup -n {name} memory.max {mib}M || lxc-cgroup -n {name} memory.limit_in_bytes {mib}M",
    stop: "lxc-stop -k -n {name}",
    start: "lxc-start -n {name}",
    remove: "lxc-destroy -f -n {name}",
};

/// Containers of LXC's in which systemd is the first process.
pub(crate) const LXC_WITH_SYSTEMD: Engine = Engine { create: include_str!("systemd.sh"), ..LXC };

pub(crate) const LXD: Engine = Engine {
    name: "lxd",
    prepare: lxd,
    create: "lxc launch busybox {name} {label}",
    label: "-c user.tier=front",
    limit: "-c limits.cpu.allowance=50ms/100ms",
    exec: "lxc exec {name} --",
    update: "lxc config set {name} limits.cpu.allowance {shares}ms/100ms",
    update_memory: "lxc config set {name} limits.memory {mib}MiB",
    stop: "lxc stop -f {name}",
    start: "lxc start {name}",
    remove: "lxc delete -f {name}",
};

impl Engine {
    /// A bed with this engine.
    pub(crate) fn bed(&self) -> Bed {
        let mut bed = Bed::new();
        (self.prepare)(&mut bed);
        bed
    }

    /// Starts a container, which has the label `tier=front` if `labelled`.
    pub(crate) fn start(&'static self, name: &'static str, labelled: bool) -> Container {
        self.start_with(name, if labelled { self.label } else { "" })
    }

    /// Starts a container that may use half a core.
    pub(crate) fn start_limited(&'static self, name: &'static str) -> Container {
        self.start_with(name, self.limit)
    }

    fn start_with(&'static self, name: &'static str, more: &str) -> Container {
        let container = Container { engine: self, name };
        container.sh(&self.create.replace("{label}", more));
        container
    }
}

/// A container, which is removed when this is dropped.
pub(crate) struct Container {
    engine: &'static Engine,
    pub(crate) name: &'static str,
}

impl Container {
    fn sh(&self, commands: &str) {
        sh(&commands.replace("{name}", self.name));
    }

    fn exec(&self, script: &str) -> String {
        format!("{} sh -c '{script}'", self.engine.exec.replace("{name}", self.name))
    }

    /// Runs commands in it.
    pub(crate) fn run(&self, script: &str) {
        sh(&self.exec(script));
    }

    /// Has so many processes in it spin, beside those that do, until [`Self::rest`].
    pub(crate) fn spin(&self, processes: u32) {
        self.run(": > /busy");
        for _ in 0..processes {
            let spin = self.exec("while [ -e /busy ]; do :; done");
            // Who is in a container that is removed says so, Docker on stdout, in the midst of the test's own line.
            let mut child = Command::new("sh").args(["-c", &spin]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            // It ends with what it waits for.
            std::thread::spawn(move || child.wait());
        }
    }

    pub(crate) fn stop(&self) {
        self.sh(self.engine.stop);
    }

    /// After [`Self::stop`].
    pub(crate) fn start(&self) {
        self.sh(self.engine.start);
    }

    /// The engine's own update of its CPU quota, to 10 to 99 shares.
    pub(crate) fn update(&self, shares: u32) {
        self.sh(&self.updating(shares));
    }

    /// The engine's own update of its memory limit.
    pub(crate) fn update_memory(&self, mib: u32) {
        self.sh(&self.engine.update_memory.replace("{mib}", &mib.to_string()));
    }

    /// Whether [`Self::update`] succeeds.
    pub(crate) fn can_update(&self, shares: u32) -> bool {
        quietly(&self.updating(shares).replace("{name}", self.name))
    }

    fn updating(&self, shares: u32) -> String {
        assert!((10..100).contains(&shares));
        self.engine.update.replace("{shares}", &shares.to_string())
    }

    /// What spins ends.
    pub(crate) fn rest(&self) {
        self.run("rm /busy");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        quietly(&self.engine.remove.replace("{name}", self.name));
    }
}

/// Who makes the cgroups of Docker's and Podman's containers; as a rule systemd, where it runs.
fn cgroup_manager() -> &'static str {
    if systemd_runs() { "systemd" } else { "cgroupfs" }
}

pub(crate) fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").exists()
}

fn docker(bed: &mut Bed) {
    let alone = json!({
        "bridge": "none",
        "iptables": false,
        "ip6tables": false,
        "ip-forward": false,
        "exec-opts": [format!("native.cgroupdriver={}", cgroup_manager())],
    });
    fs::create_dir_all("/etc/docker").unwrap();
    fs::write("/etc/docker/daemon.json", alone.to_string()).unwrap();
    bed.daemon("dockerd", &[], "docker version");
    let image = bed.image("", &[]);
    sh(&format!("docker import {} busybox", image.display()));
}

fn podman(bed: &mut Bed) {
    fs::create_dir_all("/etc/containers").unwrap();
    fs::write(
        "/etc/containers/containers.conf",
        format!(
            "[containers]\ndefault_ulimits = ['nofile=20000:20000', 'nproc=1000:1000']\nnetns = 'none'\n\
             [engine]\ncgroup_manager = '{}'\nevents_logger = 'file'\nruntime = 'runc'\n",
            cgroup_manager()
        ),
    )
    .unwrap();
    fs::write("/etc/containers/policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let image = bed.image("", &[]);
    sh(&format!("podman import {} busybox", image.display()));
}

fn lxc(_bed: &mut Bed) {
    fs::create_dir_all("/var/lib/lxc").unwrap();
    fs::write("/etc/lxc/default.conf", "lxc.net.0.type = empty\n").unwrap();
}

fn lxd(bed: &mut Bed) {
    for file in ["/etc/subuid", "/etc/subgid"] {
        fs::write(file, "root:1000000:65536\n").unwrap();
    }
    bed.daemon("lxd", &["--group", "root"], "lxd waitready --timeout 1");
    // What an earlier one has set up is there.
    if quietly("lxc image show busybox") {
        return;
    }
    let image = bed.image("rootfs", &[("metadata.yaml", "architecture: x86_64\ncreation_date: 1700000000\n")]);
    sh("echo 'storage_pools: [{name: default, driver: dir}]
profiles: [{name: default, devices: {root: {type: disk, path: /, pool: default}}}]' | lxd init --preseed");
    sh(&format!("lxc image import {} --alias busybox", image.display()));
}
