//! The network as it is at one moment: which cables lead to whom, and what holds back the traffic on them.

use std::collections::{HashMap, HashSet};
use std::io;

use headroom_model::limit::Limit;
use nix::libc;

use super::Uplink;
use super::netlink::{Netlink, attribute, attribute_of, i32_at, text};
use super::shaping::{self, Qdisc};
use crate::cgroup::Cgroup;

/// `struct ifinfomsg`.
const HEADER: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_TARGET_NETNSID: u16 = 46;
const IFLA_INFO_KIND: u16 = 1;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const NETNSA_NSID: u16 = 1;
const NETNSA_PID: u16 = 2;
/// The kinds of devices that are a pair, an end each in two networks.
const PAIRS: [&str; 2] = ["veth", "netkit"];

/// Our end of a pair whose other end is in another network.
struct End {
    index: i32,
    name: String,
    /// That network, as the kernel numbers those that this one knows.
    network: i32,
    /// The other end's index there.
    peer: i32,
}

/// What was read when it was made.
pub(super) struct Network {
    netlink: Netlink,
    ends: Vec<End>,
    /// By the device whose root they are at.
    roots: HashMap<i32, Qdisc>,
    /// The devices that have filters for what comes in.
    filtered: HashSet<i32>,
}

impl Network {
    pub(super) fn read() -> io::Result<Self> {
        let mut netlink = Netlink::open()?;
        let mut ends = Vec::new();
        let question = about_link(0, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        netlink.all(libc::RTM_GETLINK, &question, |message| ends.extend(end(message)))?;
        // Of several the one that was made first, which comes first there, too.
        ends.sort_by_key(|end| (end.network, end.peer));
        let (mut roots, mut filtered) = (HashMap::new(), HashSet::new());
        if !ends.is_empty() {
            netlink.all(libc::RTM_GETQDISC, &shaping::question(0, 0), |message| match shaping::qdisc(message) {
                Some((device, Qdisc::Ingress)) => {
                    filtered.insert(device);
                }
                Some((device, root)) => {
                    roots.insert(device, root);
                }
                None => {}
            })?;
        }
        Ok(Self { netlink, ends, roots, filtered })
    }

    /// Whether any container may have one.
    pub(super) fn has_uplinks(&self) -> bool {
        !self.ends.is_empty()
    }

    /// By what a network is linked to ours.
    pub(super) fn uplink_of(&mut self, network: i32) -> io::Result<Option<Uplink>> {
        let Some(end) = self.ends.iter().find(|end| end.network == network) else { return Ok(None) };
        let (index, peer, in_host) = (end.index, end.peer, end.name.clone());
        let (receive_limit, send_limit) = (self.leaving(index)?, self.entering(index)?);
        Ok(Some(Uplink { in_container: self.name_of(network, peer), in_host, receive_limit, send_limit }))
    }

    /// The kernel's number for the network in which a cgroup's processes are, or one that no other network has; `None` where nothing runs.
    pub(super) fn number_of(&mut self, cgroup: &Cgroup) -> io::Result<Option<i32>> {
        let processes = || cgroup.processes().unwrap_or_default();
        // A process may end, and its number go to another: only one that is in the cgroup before and after counts.
        for pid in processes() {
            let mut question = vec![0; 4];
            question.extend(attribute_of(NETNSA_PID, pid.to_ne_bytes()));
            let number = match self.netlink.one(libc::RTM_GETNSID, &question) {
                Ok(answer) => attribute(answer, 4, NETNSA_NSID).and_then(|number| i32_at(number, 0)),
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => None,
                Err(e) => return Err(e),
            };
            if number.is_some() && processes().contains(&pid) {
                return Ok(number);
            }
        }
        Ok(None)
    }

    /// A device's name in another network; nothing where we may not ask for it (`CAP_NET_ADMIN`).
    fn name_of(&mut self, network: i32, device: i32) -> String {
        let question = about_link(device, IFLA_TARGET_NETNSID, network.to_ne_bytes());
        let answer = self.netlink.one(libc::RTM_GETLINK, &question);
        let name = answer.ok().and_then(|answer| attribute(answer, HEADER, IFLA_IFNAME));
        name.map(text).unwrap_or_default().to_owned()
    }

    /// What may leave by a device.
    fn leaving(&mut self, device: i32) -> io::Result<Limit> {
        let (id, default) = match self.roots.get(&device) {
            Some(Qdisc::Tbf(limit)) => return Ok(*limit),
            Some(Qdisc::Htb { id, default }) => (*id, *default),
            Some(Qdisc::Ingress) | None => return Ok(Limit::Unlimited),
        };
        let mut classes = Vec::new();
        let question = shaping::question(device, 0);
        self.netlink.all(libc::RTM_GETTCLASS, &question, |message| classes.extend(shaping::class(message)))?;
        Ok(shaping::through_classes(default, &classes, &self.filters(device, id)?))
    }

    /// What may come in by a device.
    fn entering(&mut self, device: i32) -> io::Result<Limit> {
        let mut limit = Limit::Unlimited;
        if self.filtered.contains(&device) {
            for filter in self.filters(device, shaping::INGRESS)? {
                limit = limit.min(filter.police);
                if let Some(by) = filter.redirect {
                    limit = limit.min(self.leaving(by)?);
                }
            }
        }
        Ok(limit)
    }

    fn filters(&mut self, device: i32, parent: u32) -> io::Result<Vec<shaping::Filter>> {
        let mut filters = Vec::new();
        let question = shaping::question(device, parent);
        self.netlink.all(libc::RTM_GETTFILTER, &question, |message| filters.extend(shaping::filter(message)))?;
        Ok(filters)
    }
}

/// A question for one device, or for all with 0, with an attribute of four bytes.
fn about_link(device: i32, kind: u16, value: [u8; 4]) -> [u8; HEADER + 8] {
    let mut question = [0; HEADER + 8];
    question[4..8].copy_from_slice(&device.to_ne_bytes());
    question[HEADER..].copy_from_slice(&attribute_of(kind, value));
    question
}

/// `None` for what is no end of a pair, or of one whose other end is here too.
fn end(message: &[u8]) -> Option<End> {
    let info = attribute(message, HEADER, IFLA_LINKINFO)?;
    if !PAIRS.contains(&text(attribute(info, 0, IFLA_INFO_KIND)?)) {
        return None;
    }
    Some(End {
        index: i32_at(message, 4)?,
        name: text(attribute(message, HEADER, IFLA_IFNAME)?).to_owned(),
        network: i32_at(attribute(message, HEADER, IFLA_LINK_NETNSID)?, 0)?,
        peer: i32_at(attribute(message, HEADER, IFLA_LINK)?, 0)?,
    })
}
