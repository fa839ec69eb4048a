//! The resources, and a small map with a place for each of them.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::str::FromStr;

/// One resource of a container. The unit of all its amounts is [`Resource::unit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Resource {
    /// CPU time, in shares: 100 shares are one whole core.
    Cpu,
    /// Memory, in MiB.
    Mem,
    /// Disk reads, in MiB/s.
    DiskRead,
    /// Disk writes, in MiB/s.
    DiskWrite,
    /// Network, in Mbit/s.
    Net,
    /// Power, in W.
    Energy,
}

impl Resource {
    /// How many resources there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order in which they are shown and judged.
    pub const ALL: [Self; Self::COUNT] = [Self::Cpu, Self::Mem, Self::DiskRead, Self::DiskWrite, Self::Net, Self::Energy];

    /// The name in documents, rules and configuration: `disk_read`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Mem => "mem",
            Self::DiskRead => "disk_read",
            Self::DiskWrite => "disk_write",
            Self::Net => "net",
            Self::Energy => "energy",
        }
    }

    /// The name in events and request actions: each part after an underscore is capitalised, `Disk_Read`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Cpu => "Cpu",
            Self::Mem => "Mem",
            Self::DiskRead => "Disk_Read",
            Self::DiskWrite => "Disk_Write",
            Self::Net => "Net",
            Self::Energy => "Energy",
        }
    }

    /// The unit of every amount of it.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu => "shares",
            Self::Mem => "MiB",
            Self::DiskRead | Self::DiskWrite => "MiB/s",
            Self::Net => "Mbit/s",
            Self::Energy => "W",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A name that is no resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown resource {0:?}; known are cpu, mem, disk_read, disk_write, net, energy")]
pub struct UnknownResource(pub String);

impl FromStr for Resource {
    type Err = UnknownResource;

    fn from_str(name: &str) -> Result<Self, UnknownResource> {
        Self::ALL.into_iter().find(|r| r.key() == name).ok_or_else(|| UnknownResource(name.to_owned()))
    }
}

impl serde::Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> serde::Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// A value for each resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerResource<T>([T; Resource::COUNT]);

impl<T> PerResource<T> {
    /// A value for each, made by `f`.
    pub fn from_fn(mut f: impl FnMut(Resource) -> T) -> Self {
        Self(Resource::ALL.map(&mut f))
    }

    /// Each resource with its value, in the order of [`Resource::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Resource, &T)> {
        Resource::ALL.into_iter().zip(&self.0)
    }

    /// Each resource with its value, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Resource, &mut T)> {
        Resource::ALL.into_iter().zip(&mut self.0)
    }
}

impl<T> PerResource<Option<T>> {
    /// Those that have a value.
    pub fn present(&self) -> impl Iterator<Item = (Resource, &T)> {
        self.iter().filter_map(|(r, v)| v.as_ref().map(|v| (r, v)))
    }
}

/// A map with the resources that have a value.
impl<T: serde::Serialize> serde::Serialize for PerResource<Option<T>> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.present())
    }
}

impl<T> Index<Resource> for PerResource<T> {
    type Output = T;

    fn index(&self, resource: Resource) -> &T {
        &self.0[resource as usize]
    }
}

impl<T> IndexMut<Resource> for PerResource<T> {
    fn index_mut(&mut self, resource: Resource) -> &mut T {
        &mut self.0[resource as usize]
    }
}

/// Some of the resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceSet(u8);

impl ResourceSet {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub const ALL: Self = Self((1 << Resource::COUNT) - 1);

    /// Only this one.
    pub const fn only(resource: Resource) -> Self {
        Self(1 << resource as u8)
    }

    /// Whether it is among them.
    pub const fn contains(self, resource: Resource) -> bool {
        self.0 & (1 << resource as u8) != 0
    }

    /// Whether all of these are among those.
    pub const fn is_subset(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one.
    pub fn insert(&mut self, resource: Resource) {
        self.0 |= 1 << resource as u8;
    }

    /// Takes one out.
    pub fn remove(&mut self, resource: Resource) {
        self.0 &= !(1 << resource as u8);
    }

    /// Each of them, in the order of [`Resource::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Resource> {
        Resource::ALL.into_iter().filter(move |r| self.contains(*r))
    }
}

impl FromIterator<Resource> for ResourceSet {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut set = Self::NONE;
        for resource in resources {
            set.insert(resource);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for resource in Resource::ALL {
            assert_eq!(resource.key().parse(), Ok(resource));
        }
        assert_eq!("disk".parse::<Resource>(), Err(UnknownResource("disk".into())));
    }

    #[test]
    fn each_resource_has_a_place_of_its_own() {
        let map = PerResource::from_fn(Resource::key);
        for resource in Resource::ALL {
            assert_eq!(map[resource], resource.key());
        }
    }
}
