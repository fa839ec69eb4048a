//! Limits of the network as engines set them, as the agent shows them: LXD's own, and those of Kubernetes' CNI plugins.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bed::sh;
use crate::engine::{DOCKER, LXD};

/// A container of LXD's whose card has this limit, first of 30 Mbit/s, then of 20.
fn of_lxd(limit: &str, shown: fn(f64) -> [Option<f64>; 2]) {
    let bed = LXD.bed();
    let web = LXD.start("web", false);
    sh(&format!("lxc config device add web eth0 nic nictype=p2p {limit}=30Mbit"));
    let agent = bed.agent("");
    agent.until_network_limits("web", shown(30.0));
    sh(&format!("lxc config device set web eth0 {limit}=20Mbit"));
    agent.until_network_limits("web", shown(20.0));
    drop(web);
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxd_received() {
    of_lxd("limits.ingress", |rate| [Some(rate), None]);
}

#[test]
#[ignore = "takes policing (act_police), which not every kernel has: cargo xtask test runs it in VMs"]
fn lxd_sent() {
    of_lxd("limits.egress", |rate| [None, Some(rate)]);
}

/// A plugin of CNI, told to `ADD` a card to the network of a process.
fn cni(plugin: &str, pid: &Value, config: &Value) -> Value {
    let mut child = Command::new(format!("/usr/lib/cni/{plugin}"))
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", "web")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .env("CNI_NETNS", format!("/proc/{pid}/ns/net"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{plugin}: {told}");
    serde_json::from_str(&told).unwrap()
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn cni_plugins() {
    let bed = DOCKER.bed();
    sh("docker run -d --name web --network none busybox sleep 3600");
    let output = Command::new("docker").args(["inspect", "web"]).output().unwrap().stdout;
    let pid = &serde_json::from_slice::<Value>(&output).unwrap()[0]["State"]["Pid"];
    // As a pod's annotations kubernetes.io/ingress-bandwidth and egress-bandwidth reach the plugins.
    let ipam = json!({"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": bed.dir.path()});
    let cable = cni("ptp", pid, &json!({"cniVersion": "0.4.0", "name": "pods", "type": "ptp", "ipam": ipam}));
    let limits = json!({"cniVersion": "0.4.0", "name": "pods", "type": "bandwidth", "prevResult": cable,
        "ingressRate": 50_000_000, "ingressBurst": 500_000, "egressRate": 8_000_000, "egressBurst": 500_000});
    cni("bandwidth", pid, &limits);
    bed.agent("").until_network_limits("web", [Some(50.0), Some(8.0)]);
    sh("docker rm -f web");
}
