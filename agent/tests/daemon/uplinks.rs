//! Limits of the network that others set with `tc`, as the agent shows them. It has the unit's privileges, and no more.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::agent::{Agent, BINARY, limit};
use crate::bed::Bed;
use crate::privileges::{granted, with};
use crate::support::TestCgroup;

/// A container with a network of its own, and a cable from it to the test's.
struct Cabled {
    process: Child,
    /// Our end of the cable.
    card: String,
    /// A device for what is sent, to be held back there.
    detour: String,
    _cgroup: TestCgroup,
}

impl Cabled {
    fn new(bed: &Bed) -> Self {
        let cgroup = bed.container("cabled");
        let mut process = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; read go"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cgroup.add(process.id());
        process.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        let pid = process.id();
        let cabled = Self { process, card: format!("hru{pid}"), detour: format!("hrd{pid}"), _cgroup: cgroup };
        cabled.run(&format!("ip link add CARD type veth peer name eth0 netns {pid}"));
        cabled.run("ip link set CARD up");
        cabled.run("ip link add DETOUR type ifb");
        cabled.run("ip link set DETOUR up");
        cabled
    }

    /// A command with the names of its devices.
    fn run(&self, command: &str) {
        let command = command.replace("CARD", &self.card).replace("DETOUR", &self.detour);
        let mut words = command.split(' ');
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Cabled {
    fn drop(&mut self) {
        // They may be gone, or not have been made.
        for device in [&self.card, &self.detour] {
            drop(Command::new("ip").args(["link", "delete", device]).output());
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn run(bed: &Bed) -> Agent {
    bed.config().set("discovery", "rescan", "'500ms'").guard("cabled", "true", [20, 90, 10]).write();
    let agent = Agent::start(with(&granted()), bed.dir());
    agent.until_guarded("cabled");
    agent
}

/// Waits until it is shown what may be received and sent, and the tighter of both.
fn until(agent: &Agent, [receive, send]: [Option<f64>; 2]) {
    agent.until_network_limits("cabled", [receive, send]);
    let tighter = [receive, send].into_iter().flatten().reduce(f64::min);
    agent.until(&format!("{tighter:?} is the limit"), |agent| {
        limit(&agent.container("cabled")["resources"]["net"]["limit"]) == tighter
    });
}

#[test]
fn limits_of_both_directions_are_shown_while_they_stand() {
    let bed = Bed::new("uplinks");
    let cabled = Cabled::new(&bed);
    // The bucket of CNI's bandwidth plugin.
    cabled.run("tc qdisc add dev CARD root tbf rate 50mbit burst 64kb latency 25ms");
    let agent = run(&bed);
    until(&agent, [Some(50.0), None]);
    let shown = || agent.get("/container/cabled")["net"].clone();
    let devices = |unit, limit| {
        let (inside, outside) = ("eth0", &cabled.card);
        json!({"unit": unit, "net_limit": limit, "device_name_in_container": inside, "device_name_in_host": outside})
    };
    assert_eq!(shown(), devices("Mbit", 50));
    let put = |body: serde_json::Value| agent.put("/container/cabled", &body.to_string());
    assert_eq!(put(json!({ "net": shown() })).status, 201, "what was got can be put back");
    assert!(put(json!({"net": {"net_limit": 60}})).error(400).contains("not set"));

    // The classes of LXD, with its filter for a class that is not there; and the plugin's way for what is sent.
    cabled.run("tc qdisc del dev CARD root");
    cabled.run("tc qdisc add dev CARD root handle 1:0 htb default 10");
    cabled.run("tc class add dev CARD parent 1:0 classid 1:10 htb rate 30mbit");
    cabled.run("tc filter add dev CARD parent 1:0 protocol all u32 match u32 0 0 flowid 1:1");
    cabled.run("tc qdisc add dev DETOUR root tbf rate 8mbit burst 64kb latency 25ms");
    cabled.run("tc qdisc add dev CARD ingress");
    cabled.run("tc filter add dev CARD parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev DETOUR");
    until(&agent, [Some(30.0), Some(8.0)]);
    let table = Command::new(BINARY).args(["status", "--socket"]).arg(bed.socket()).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let rows = || table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert!(rows().any(|row| row.starts_with(&["off", "net"]) && row.get(5) == Some(&"8")), "{table}");

    cabled.run("tc qdisc del dev CARD root");
    cabled.run("tc qdisc del dev CARD ingress");
    until(&agent, [None, None]);
    assert_eq!(shown(), devices("unlimited", -1));
}

#[test]
#[ignore = "takes policing (act_police), which not every kernel has: cargo xtask test runs it in VMs"]
fn policed_traffic_is_shown() {
    let bed = Bed::new("policed");
    let cabled = Cabled::new(&bed);
    // LXD's limits.egress.
    cabled.run("tc qdisc add dev CARD handle ffff:0 ingress");
    cabled
        .run("tc filter add dev CARD parent ffff:0 protocol all u32 match u32 0 0 police rate 20mbit burst 1024k mtu 64kb drop");
    let agent = run(&bed);
    until(&agent, [None, Some(20.0)]);

    cabled.run("tc filter del dev CARD parent ffff:");
    cabled.run("tc filter add dev CARD ingress matchall action police rate 12mbit burst 256k conform-exceed drop");
    until(&agent, [None, Some(12.0)]);

    // What holds back a part of the traffic only is no limit of the container's.
    cabled.run("tc filter del dev CARD ingress");
    cabled.run("tc filter add dev CARD parent ffff: protocol ip u32 match ip dport 80 0xffff police rate 1mbit burst 64k drop");
    until(&agent, [None, None]);
}
