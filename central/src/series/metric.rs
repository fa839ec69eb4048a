//! What can be kept of a structure, a user or a service: a small closed set, each with a number that files know it by.

use headroom_model::resource::Resource;
use headroom_model::settings::Service;

/// A field of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// Mean of the last window.
    Usage,
    /// The limit in force.
    Current,
    /// Threshold.
    Upper,
    /// Threshold.
    Lower,
    /// The limit is never set above.
    Max,
    /// The limit is never set below.
    Min,
    /// What a host has not given out.
    Free,
}

impl Field {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [Self::Usage, Self::Current, Self::Upper, Self::Lower, Self::Max, Self::Min, Self::Free];

    /// The name in documents.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Current => "current",
            Self::Upper => "upper",
            Self::Lower => "lower",
            Self::Max => "max",
            Self::Min => "min",
            Self::Free => "free",
        }
    }

    /// The one of this name.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.key() == key)
    }
}

/// The settings that are kept. Their numbers are their places: only ever add at the end.
const SETTINGS: [(Service, &str); 10] = [
    (Service::Guardian, "WINDOW_DELAY"),
    (Service::Guardian, "EVENT_TIMEOUT"),
    (Service::Guardian, "WINDOW_TIMELAPSE"),
    (Service::Guardian, "COOLDOWN"),
    (Service::Scaler, "REQUEST_TIMEOUT"),
    (Service::Scaler, "POLLING_FREQUENCY"),
    (Service::StructuresSnapshoter, "POLLING_FREQUENCY"),
    (Service::DatabaseSnapshoter, "POLLING_FREQUENCY"),
    (Service::Refeeder, "WINDOW_TIMELAPSE"),
    (Service::Refeeder, "WINDOW_DELAY"),
];

const RESOURCES: u8 = 6;
/// Where the greatest usages of a time begin; before them a place for each field of each resource.
const PEAKS: u8 = 42;
/// Where settings begin.
const CONF: u8 = 48;

/// One kept number. Smaller than [`Metric::COUNT`], so that a set of them is a `u64`; those that change most have the smallest numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metric(u8);

impl Metric {
    /// How many places there are.
    pub const COUNT: usize = 64;

    /// The set of all greatest usages.
    pub(super) const ALL_PEAKS: u64 = ((1 << RESOURCES) - 1) << PEAKS;

    /// A field of a resource.
    pub const fn of(resource: Resource, field: Field) -> Self {
        Self(field as u8 * RESOURCES + resource as u8)
    }

    /// The greatest usage of a resource within a time that was rolled up.
    pub const fn peak(resource: Resource) -> Self {
        Self(PEAKS + resource as u8)
    }

    /// A numeric setting of a service.
    pub fn setting(service: &str, key: &str) -> Option<Self> {
        let at = SETTINGS.iter().position(|(of, name)| of.name() == service && *name == key)?;
        u8::try_from(at).ok().map(|at| Self(CONF + at))
    }

    /// Those settings of a service that are kept, by their keys.
    pub fn settings_of(service: &str) -> impl Iterator<Item = (&'static str, Self)> {
        SETTINGS
            .iter()
            .filter(move |(of, _)| of.name() == service)
            .filter_map(|(of, key)| Some((*key, Self::setting(of.name(), key)?)))
    }

    /// By its place.
    pub(super) fn at(place: usize) -> Self {
        Self(u8::try_from(place % Self::COUNT).unwrap_or_default())
    }

    /// Its place: the bit in a set.
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }

    /// The set of it alone.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }

    /// What it is a number of.
    pub fn resource(self) -> Option<Resource> {
        (self.0 < CONF).then(|| Resource::ALL[usize::from(self.0 % RESOURCES)])
    }

    /// The field of a resource that it is, if it is one.
    pub fn field(self) -> Option<Field> {
        (self.0 < PEAKS).then(|| Field::ALL[usize::from(self.0 / RESOURCES)])
    }

    /// Whether it is the greatest usage of a time that was rolled up.
    pub(super) const fn is_peak(self) -> bool {
        self.0 >= PEAKS && self.0 < CONF
    }

    /// What it is rolled up from: of a greatest usage the usage, of everything else itself.
    pub(super) fn recorded(self) -> Self {
        self.resource().filter(|_| self.is_peak()).map_or(self, |resource| Self::of(resource, Field::Usage))
    }

    /// How many steps a unit has: values are kept to a hundredth of their resource's unit, times to a millisecond.
    pub(super) fn steps(self) -> f64 {
        if self.0 < CONF { 100.0 } else { 1000.0 }
    }

    /// `structure.cpu.usage`, `limit.cpu.upper`, `conf.guardian.window_delay`; a greatest usage is `structure.cpu.usage_peak`.
    pub fn name(self) -> String {
        match (self.resource(), self.0) {
            (Some(resource), place) if place >= PEAKS => format!("structure.{resource}.usage_peak"),
            (Some(resource), place) => match Field::ALL[usize::from(place / RESOURCES)] {
                field @ (Field::Upper | Field::Lower) => format!("limit.{resource}.{}", field.key()),
                field => format!("structure.{resource}.{}", field.key()),
            },
            (None, place) => SETTINGS.get(usize::from(place - CONF)).map_or_else(
                || format!("unknown.{place}"),
                |(service, key)| format!("conf.{}.{}", service.name(), key.to_lowercase()),
            ),
        }
    }
}

/// The places of a set, in ascending order.
pub(super) fn places(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(place)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_that_pipelines_know() {
        assert_eq!(Metric::of(Resource::Cpu, Field::Usage).name(), "structure.cpu.usage");
        assert_eq!(Metric::of(Resource::DiskRead, Field::Max).name(), "structure.disk_read.max");
        assert_eq!(Metric::of(Resource::Mem, Field::Upper).name(), "limit.mem.upper");
        assert_eq!(Metric::peak(Resource::Energy).name(), "structure.energy.usage_peak");
        assert_eq!(Metric::setting("guardian", "WINDOW_DELAY").unwrap().name(), "conf.guardian.window_delay");
        assert_eq!(Metric::setting("guardian", "ACTIVE"), None);
        assert_eq!(
            Metric::settings_of("scaler").map(|(key, _)| key).collect::<Vec<_>>(),
            ["REQUEST_TIMEOUT", "POLLING_FREQUENCY"]
        );
    }

    #[test]
    fn each_has_a_place_of_its_own() {
        let fields = Resource::ALL.into_iter().flat_map(|r| Field::ALL.map(|f| Metric::of(r, f)));
        let peaks = Resource::ALL.map(Metric::peak);
        let settings = SETTINGS.iter().filter_map(|(s, key)| Metric::setting(s.name(), key));
        let all: Vec<Metric> = fields.chain(peaks).chain(settings).collect();
        assert_eq!(all.iter().map(|m| m.bit()).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|m| m.name()).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(peaks.iter().fold(0, |set, m| set | m.bit()), Metric::ALL_PEAKS);
        for (number, metric) in [(0, Metric::of(Resource::Cpu, Field::Usage)), (47, Metric::peak(Resource::Energy))] {
            assert_eq!(metric.place(), number, "files know it by this number");
        }
    }

    #[test]
    fn places_of_a_set() {
        assert_eq!(places(0).count(), 0);
        assert_eq!(places(0b1010_0001 | (1 << 63)).collect::<Vec<_>>(), [0, 5, 7, 63]);
    }
}
