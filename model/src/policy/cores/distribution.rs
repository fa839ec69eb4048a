//! In which order cores are given out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::Cpu;

/// socket -> core -> its threads, ascending.
pub type Topology = BTreeMap<u32, BTreeMap<u32, Vec<Cpu>>>;

/// An order over the topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub enum Distribution {
    /// First threads of all cores, socket by socket, then the siblings likewise.
    #[default]
    #[serde(rename = "Group_PP_LL")]
    GroupPpLl,
    /// Each core's threads together, socket by socket.
    #[serde(rename = "Group_P&L")]
    GroupPAndL,
    /// For each socket its first threads, then its siblings.
    #[serde(rename = "Group_1P_2L")]
    Group1p2l,
    /// Core 0's threads of each socket in turn, then core 1's.
    #[serde(rename = "Spread_P&L")]
    SpreadPAndL,
    /// First threads, alternating between sockets, then the siblings likewise.
    #[serde(rename = "Spread_PP_LL")]
    SpreadPpLl,
}

/// A name that is no distribution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown core distribution {0:?}; known are Group_PP_LL, Group_P&L, Group_1P_2L, Spread_P&L, Spread_PP_LL")]
pub struct UnknownDistribution(pub String);

impl Distribution {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::GroupPpLl, Self::GroupPAndL, Self::Group1p2l, Self::SpreadPAndL, Self::SpreadPpLl];

    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GroupPpLl => "Group_PP_LL",
            Self::GroupPAndL => "Group_P&L",
            Self::Group1p2l => "Group_1P_2L",
            Self::SpreadPAndL => "Spread_P&L",
            Self::SpreadPpLl => "Spread_PP_LL",
        }
    }

    /// Every CPU of the topology in this order.
    pub fn order(self, topology: &Topology) -> Vec<Cpu> {
        // Where each thread stands: its socket, its core's place in the socket, its place in the core.
        let mut threads: Vec<([usize; 3], Cpu)> = Vec::new();
        for (s, cores) in topology.values().enumerate() {
            for (c, cpus) in cores.values().enumerate() {
                threads.extend(cpus.iter().enumerate().map(|(t, cpu)| ([s, c, t], *cpu)));
            }
        }
        threads.sort_by_key(|([socket, core, thread], _)| match self {
            Self::GroupPpLl => [*thread, *socket, *core],
            Self::GroupPAndL => [*socket, *core, *thread],
            Self::Group1p2l => [*socket, *thread, *core],
            Self::SpreadPAndL => [*core, *socket, *thread],
            Self::SpreadPpLl => [*thread, *core, *socket],
        });
        threads.into_iter().map(|(_, cpu)| cpu).collect()
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Distribution {
    type Err = UnknownDistribution;

    fn from_str(name: &str) -> Result<Self, UnknownDistribution> {
        Self::ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| UnknownDistribution(name.to_owned()))
    }
}
