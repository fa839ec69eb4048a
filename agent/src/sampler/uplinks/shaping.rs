//! How the kernel is told to hold a device's traffic back (`tc(8)`): queueing disciplines, their classes, and filters, each from one
//! message of rtnetlink. Pure.
//!
//! Layouts are those of `linux/rtnetlink.h`, `linux/pkt_sched.h` and `linux/pkt_cls.h`. Rates are bytes a second in 32 bits; larger ones
//! have an attribute of 64 bits beside them.

use headroom_model::limit::Limit;

use super::netlink::{attribute, attributes, i32_at, text, u32_at, u64_at};

/// `struct tcmsg`.
const HEADER: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
/// The parent of what stands at a device's root.
const ROOT: u32 = 0xFFFF_FFFF;
/// The parent of filters for what comes in.
pub(super) const INGRESS: u32 = 0xFFFF_FFF2;

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_CEIL64: u16 = 7;
const TCA_POLICE_TBF: u16 = 1;
const TCA_POLICE_RATE64: u16 = 8;
const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: i32 = 1;
const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_MATCHALL_CLASSID: u16 = 1;
const TCA_MATCHALL_ACT: u16 = 2;
const TCA_U32_CLASSID: u16 = 1;
const TCA_U32_SEL: u16 = 5;
const TCA_U32_POLICE: u16 = 6;
const TCA_U32_ACT: u16 = 7;
const TCA_U32_INDEV: u16 = 8;
const TCA_U32_MARK: u16 = 10;
/// `struct tc_u32_sel` without its keys.
const SELECTOR: usize = 16;
/// `struct tc_u32_key`, which begins with its mask.
const KEY: usize = 16;

/// The protocols of filters, as Ethernet numbers them: all, and IPv4.
const PROTOCOLS: [u16; 2] = [0x0003, 0x0800];
/// What a police does with what is too much: drop it, or filter it again, which drops it in the end. Anything else lets it go on.
const DROPS: [i32; 2] = [2, 1];

/// A question for what one device has, below `parent` where that is not 0: `struct tcmsg`.
pub(super) fn question(device: i32, parent: u32) -> [u8; HEADER] {
    let mut question = [0; HEADER];
    question[4..8].copy_from_slice(&device.to_ne_bytes());
    question[12..16].copy_from_slice(&parent.to_ne_bytes());
    question
}

/// A queueing discipline that may hold back everything that goes through a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Qdisc {
    /// At the root: one bucket.
    Tbf(Limit),
    /// At the root: classes.
    Htb {
        /// Filters have it as their parent.
        id: u32,
        /// The class of what no filter gives to another.
        default: u32,
    },
    /// Filters of what comes in.
    Ingress,
}

/// A class of an HTB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Class {
    id: u32,
    parent: u32,
    /// The most that it gets, borrowed or not.
    ceil: Limit,
    /// Whether packets are queued in it: not where it has classes below it.
    is_leaf: bool,
}

/// A filter that takes everything there is, or all of IPv4, and what it does with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Filter {
    /// The class that gets it.
    class: Option<u32>,
    /// What is let through.
    pub(super) police: Limit,
    /// The device that it leaves by instead: an ifb, whose queueing discipline can hold back what comes in here.
    pub(super) redirect: Option<i32>,
}

/// What the three have in common.
struct Parts<'a> {
    device: i32,
    id: u32,
    parent: u32,
    info: u32,
    kind: &'a str,
    options: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(message: &'a [u8]) -> Option<Self> {
        Some(Self {
            device: i32_at(message, 4)?,
            id: u32_at(message, 8)?,
            parent: u32_at(message, 12)?,
            info: u32_at(message, 16)?,
            kind: text(attribute(message, HEADER, TCA_KIND)?),
            options: attribute(message, HEADER, TCA_OPTIONS).unwrap_or_default(),
        })
    }
}

/// Whose, and which; `None` for one that holds nothing back, or of which that is not known.
pub(super) fn qdisc(message: &[u8]) -> Option<(i32, Qdisc)> {
    let Parts { device, id, parent, kind, options, .. } = Parts::of(message)?;
    let qdisc = match (kind, parent) {
        ("tbf", ROOT) => Qdisc::Tbf(rate(options, (TCA_TBF_PARMS, 8), TCA_TBF_RATE64)?),
        ("htb", ROOT) => {
            let default = u32_at(attribute(options, 0, TCA_HTB_INIT)?, 8)?;
            Qdisc::Htb { id, default: (id & 0xFFFF_0000) | (default & 0xFFFF) }
        }
        ("ingress" | "clsact", _) => Qdisc::Ingress,
        _ => return None,
    };
    Some((device, qdisc))
}

/// `None` for one of another kind.
pub(super) fn class(message: &[u8]) -> Option<Class> {
    let Parts { id, parent, kind: "htb", options, .. } = Parts::of(message)? else { return None };
    let ceil = rate(options, (TCA_HTB_PARMS, 20), TCA_HTB_CEIL64)?;
    let level = u32_at(attribute(options, 0, TCA_HTB_PARMS)?, 36)?;
    Some(Class { id, parent, ceil, is_leaf: level == 0 })
}

/// What is let through an HTB at most: by the class that a filter gives everything to, or else the default one, and by those above it. What
/// no class gets is not held back.
pub(super) fn through_classes(default: u32, classes: &[Class], filters: &[Filter]) -> Limit {
    let known = |id: u32| classes.iter().find(|class| class.id == id);
    let given = filters.iter().filter_map(|filter| filter.class).chain([default]);
    let mut at = given.filter_map(known).find(|class| class.is_leaf);
    let mut limit = Limit::Unlimited;
    // A tree is not deeper than it has classes.
    for _ in classes {
        let Some(class) = at else { break };
        limit = limit.min(class.ceil);
        at = known(class.parent);
    }
    limit
}

/// `None` for one that takes only a part, or of which that is not known.
pub(super) fn filter(message: &[u8]) -> Option<Filter> {
    let Parts { info, kind, options, .. } = Parts::of(message)?;
    let protocol = u16::from_be(u16::try_from(info & 0xFFFF).ok()?);
    let chain = attribute(message, HEADER, TCA_CHAIN).and_then(|chain| u32_at(chain, 0)).unwrap_or(0);
    // Each list of filters has itself a message, without options.
    if !PROTOCOLS.contains(&protocol) || chain != 0 || options.is_empty() {
        return None;
    }
    let mut filter = Filter { class: None, police: Limit::Unlimited, redirect: None };
    let (class, act) = match kind {
        "u32" if takes_everything(options) => {
            filter.police = attribute(options, 0, TCA_U32_POLICE).map_or(Limit::Unlimited, police);
            (TCA_U32_CLASSID, TCA_U32_ACT)
        }
        "matchall" => (TCA_MATCHALL_CLASSID, TCA_MATCHALL_ACT),
        _ => return None,
    };
    filter.class = attribute(options, 0, class).and_then(|class| u32_at(class, 0));
    for (_, action) in attributes(attribute(options, 0, act).unwrap_or_default(), 0) {
        let options = attribute(action, 0, TCA_ACT_OPTIONS).unwrap_or_default();
        match attribute(action, 0, TCA_ACT_KIND).map(text) {
            Some("police") => filter.police = filter.police.min(police(options)),
            Some("mirred") => filter.redirect = redirect(options).or(filter.redirect),
            _ => {}
        }
    }
    Some(filter)
}

/// Whether no key of a u32 filter looks at a bit.
fn takes_everything(options: &[u8]) -> bool {
    let Some(selector) = attribute(options, 0, TCA_U32_SEL) else { return false };
    let mut masks = selector.get(SELECTOR..).unwrap_or_default().chunks(KEY).map(|key| u32_at(key, 0));
    let narrows = [TCA_U32_INDEV, TCA_U32_MARK].iter().any(|kind| attribute(options, 0, *kind).is_some());
    !narrows && masks.all(|mask| mask == Some(0))
}

fn police(options: &[u8]) -> Limit {
    let exceeding = attribute(options, 0, TCA_POLICE_TBF).and_then(|police| i32_at(police, 4));
    let limit = rate(options, (TCA_POLICE_TBF, 28), TCA_POLICE_RATE64);
    limit.filter(|_| exceeding.is_some_and(|action| DROPS.contains(&action))).unwrap_or(Limit::Unlimited)
}

/// Where a mirred action sends packets that then are nowhere else.
fn redirect(options: &[u8]) -> Option<i32> {
    let action = attribute(options, 0, TCA_MIRRED_PARMS)?;
    (i32_at(action, 20)? == TCA_EGRESS_REDIR).then(|| i32_at(action, 24))?
}

/// In Mbit/s: 32 bits in a structure, or the attribute `wide`.
fn rate(options: &[u8], (structure, at): (u16, usize), wide: u16) -> Option<Limit> {
    let narrow = u32_at(attribute(options, 0, structure)?, at)?;
    let bytes = attribute(options, 0, wide).and_then(|wide| u64_at(wide, 0)).unwrap_or(narrow.into());
    Some(if bytes == 0 { Limit::Unlimited } else { Limit::At(bytes as f64 * 8.0 / 1e6) })
}

#[cfg(test)]
mod tests;
