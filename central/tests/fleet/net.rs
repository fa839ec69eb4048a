//! Hosts that are network namespaces: each is linked to central's, and the link can be cut. All of it is gone when this is dropped.

use std::path::Path;
use std::process::Command;

/// Central's namespace has a bridge, and a leg in each host's.
pub(crate) struct Net {
    prefix: String,
    hosts: Vec<&'static str>,
}

impl Net {
    /// Central's address in its namespace.
    pub(crate) const CENTRAL: &str = "10.213.0.1";

    pub(crate) fn new(tag: &str, hosts: &[&'static str]) -> Self {
        let net = Self { prefix: format!("hrt{}{tag}", std::process::id()), hosts: hosts.to_vec() };
        let central = net.space("central");
        ip(&["netns", "add", &central]);
        ip(&["-n", &central, "link", "set", "lo", "up"]);
        ip(&["-n", &central, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &central, "addr", "add", &format!("{}/24", Self::CENTRAL), "dev", "br0"]);
        ip(&["-n", &central, "link", "set", "br0", "up"]);
        for (at, host) in hosts.iter().enumerate() {
            let space = net.space(host);
            ip(&["netns", "add", &space]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
            ip(&["-n", &central, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", &space]);
            ip(&["-n", &central, "link", "set", host, "master", "br0", "up"]);
            ip(&["-n", &space, "addr", "add", &format!("10.213.0.{}/24", at + 2), "dev", "eth0"]);
            ip(&["-n", &space, "link", "set", "eth0", "up"]);
        }
        net
    }

    fn space(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    /// A command that runs on a host.
    pub(crate) fn command(&self, host: &str, program: &Path) -> Command {
        // Not `ip netns exec`, which mounts a /sys of its own, without cgroups.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.space(host))).arg(program);
        command
    }

    /// This thread's connections are a host's from now on.
    pub(crate) fn enter(&self, host: &str) {
        let space = std::fs::File::open(format!("/run/netns/{}", self.space(host))).unwrap();
        nix::sched::setns(space, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    }

    pub(crate) fn cut(&self, host: &str) {
        ip(&["-n", &self.space("central"), "link", "set", host, "down"]);
    }

    pub(crate) fn mend(&self, host: &str) {
        ip(&["-n", &self.space("central"), "link", "set", host, "up"]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in self.hosts.iter().chain(&["central"]) {
            // One that was not made yet cannot be removed.
            drop(Command::new("ip").args(["netns", "delete", &self.space(host)]).output());
        }
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
}
