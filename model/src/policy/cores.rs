//! Which container has how much of which core, where containers are pinned.
//!
//! Each core has 100 shares. Cores are given out in the order of a [`Distribution`] over the topology, so that a container's
//! cores lie together (or apart), as chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

mod distribution;

pub use distribution::{Distribution, Topology, UnknownDistribution};

/// Shares of one core.
pub const WHOLE: f64 = 100.0;

/// A core's number, as the kernel counts CPUs.
pub type Cpu = u32;

/// Not enough is free on the cores.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{wanted} shares are wanted but the cores have only {free} free")]
pub struct CoresFull {
    /// In shares.
    pub wanted: f64,
    /// In shares.
    pub free: f64,
}

/// Who holds what of each core, in shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoreMap {
    /// The online cores in the order in which they are given out.
    order: Vec<Cpu>,
    held: BTreeMap<Cpu, BTreeMap<Arc<str>, f64>>,
}

impl CoreMap {
    /// All cores free.
    pub fn new(topology: &Topology, distribution: Distribution) -> Self {
        let order = distribution.order(topology);
        let held = order.iter().map(|cpu| (*cpu, BTreeMap::new())).collect();
        Self { order, held }
    }

    /// What is free of a core, 0 for one that is not there.
    pub fn free(&self, cpu: Cpu) -> f64 {
        self.held.get(&cpu).map_or(0.0, |held| (WHOLE - held.values().sum::<f64>()).max(0.0))
    }

    /// What is free of all cores.
    pub fn total_free(&self) -> f64 {
        self.order.iter().map(|cpu| self.free(*cpu)).sum()
    }

    /// What a container holds of a core.
    pub fn held(&self, cpu: Cpu, container: &str) -> f64 {
        self.held.get(&cpu).and_then(|held| held.get(container)).copied().unwrap_or(0.0)
    }

    /// What a container holds of all cores.
    pub fn total_held(&self, container: &str) -> f64 {
        self.order.iter().map(|cpu| self.held(*cpu, container)).sum()
    }

    /// A container's cores, ascending: its cpuset.
    pub fn cpuset(&self, container: &str) -> Vec<Cpu> {
        self.held.iter().filter(|(_, held)| held.contains_key(container)).map(|(cpu, _)| *cpu).collect()
    }

    /// `core_usage_mapping` as the host's document has it: what each container holds of each core, and under `free` what is left.
    pub fn mapping(&self) -> BTreeMap<Cpu, BTreeMap<String, f64>> {
        let with_free = |(cpu, held): (&Cpu, &BTreeMap<Arc<str>, f64>)| {
            let holders = held.iter().map(|(name, shares)| (name.to_string(), *shares));
            (*cpu, holders.chain([("free".to_owned(), self.free(*cpu))]).collect())
        };
        self.held.iter().map(with_free).collect()
    }

    /// Gives a new container its shares: wholly free cores in order, then the freest. Whole or not at all.
    pub fn subscribe(&mut self, container: &Arc<str>, shares: f64) -> Result<(), CoresFull> {
        self.check(shares)?;
        let mut cores: Vec<Cpu> = self.order.clone();
        // The sort is stable: cores that are equally free stay in order, and wholly free ones are the freest.
        cores.sort_by(|a, b| self.free(*b).total_cmp(&self.free(*a)));
        self.fill(container, shares, &cores);
        Ok(())
    }

    /// Gives a container more: of its own cores first, then of wholly free ones, then of the rest. Whole or not at all.
    pub fn up(&mut self, container: &Arc<str>, shares: f64) -> Result<(), CoresFull> {
        self.check(shares)?;
        let rank = |cpu: &Cpu| match () {
            () if self.held(*cpu, container) > 0.0 => 0,
            () if self.free(*cpu) >= WHOLE => 1,
            () => 2,
        };
        let mut cores = self.order.clone();
        cores.sort_by_key(rank);
        self.fill(container, shares, &cores);
        Ok(())
    }

    /// Takes back from a container, from the cores where it holds least, in reverse order. A core with nothing left is given up.
    /// Returns what was taken: not more than it had.
    pub fn down(&mut self, container: &str, shares: f64) -> f64 {
        let mut cores: Vec<Cpu> = self.order.iter().rev().copied().filter(|cpu| self.held(*cpu, container) > 0.0).collect();
        cores.sort_by(|a, b| self.held(*a, container).total_cmp(&self.held(*b, container)));
        let mut left = shares;
        for cpu in cores {
            let Some(held) = self.held.get_mut(&cpu) else { continue };
            let Some(holds) = held.get_mut(container).filter(|_| left > 0.0) else { continue };
            let taken = holds.min(left);
            *holds -= taken;
            left -= taken;
            if *holds <= 0.0 {
                held.remove(container);
            }
        }
        shares - left.max(0.0)
    }

    /// Takes everything back from a container.
    pub fn remove(&mut self, container: &str) {
        for held in self.held.values_mut() {
            held.remove(container);
        }
    }

    /// CPU hotplug: cores that are gone lose their holders, who get as much elsewhere, by [`CoreMap::up`], in the order of their
    /// names. Returns whom that concerns, and how much each is short of now.
    pub fn set_topology(&mut self, topology: &Topology, distribution: Distribution) -> Vec<(Arc<str>, f64)> {
        let mut old = std::mem::replace(self, Self::new(topology, distribution));
        let mut displaced: BTreeMap<Arc<str>, f64> = BTreeMap::new();
        for (cpu, held) in std::mem::take(&mut old.held) {
            if let Some(place) = self.held.get_mut(&cpu) {
                *place = held;
            } else {
                for (name, shares) in held {
                    *displaced.entry(name).or_default() += shares;
                }
            }
        }
        let again = |(name, shares): (Arc<str>, f64)| {
            let possible = shares.min(self.total_free());
            let short = if self.up(&name, possible).is_ok() { shares - possible } else { shares };
            (name, short)
        };
        displaced.into_iter().map(again).collect()
    }

    fn check(&self, wanted: f64) -> Result<(), CoresFull> {
        let free = self.total_free();
        if wanted > free { Err(CoresFull { wanted, free }) } else { Ok(()) }
    }

    fn fill(&mut self, container: &Arc<str>, shares: f64, cores: &[Cpu]) {
        let mut left = shares;
        for cpu in cores {
            let given = left.min(self.free(*cpu));
            if given > 0.0
                && let Some(held) = self.held.get_mut(cpu)
            {
                *held.entry(container.clone()).or_default() += given;
                left -= given;
            }
        }
    }
}

#[cfg(test)]
mod tests;
