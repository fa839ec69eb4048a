//! When the windows end that the meter's readings are for. Pure.

use std::time::Duration;

use headroom_model::resource::{PerResource, Resource};

use super::window::{GAP, nanos};

/// The resources that the meter reads for decisions.
pub(super) const METERED: [Resource; 3] = [Resource::Mem, Resource::DiskRead, Resource::DiskWrite];

/// The longest from tick to tick, whatever the windows.
const LONGEST: Duration = Duration::from_secs(1);

/// The windows, and how far readings are apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace<'a> {
    windows: &'a PerResource<Duration>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(windows: &'a PerResource<Duration>) -> Self {
        Self { windows }
    }

    /// From reading to reading: the shortest of the windows that they are for.
    pub(super) fn tick(self) -> Duration {
        METERED.into_iter().map(|resource| self.windows[resource]).fold(LONGEST, Duration::min)
    }

    /// Whether a window of this length, in ns, is over. Readings come a little early or late: one that is nearer to the window's end
    /// than to the reading before ends it.
    pub(super) fn ends(self, resource: Resource, length_ns: u64) -> bool {
        length_ns + nanos(self.tick()) / 2 >= nanos(self.windows[resource])
    }

    /// Whether it is so long that it is not judged.
    pub(super) fn is_gap(self, resource: Resource, length_ns: u64) -> bool {
        length_ns > GAP * nanos(self.windows[resource])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn each_resource_has_a_window_of_its_own() {
        let windows = PerResource::from_fn(|r| Duration::from_millis(if r == Resource::Mem { 10_000 } else { 500 }));
        let pace = Pace::new(&windows);
        assert_eq!(pace.tick(), Duration::from_millis(500));
        for (resource, length_ms, ends) in [
            (Resource::DiskRead, 249, false),
            (Resource::DiskRead, 480, true),
            (Resource::Mem, 520, false),
            (Resource::Mem, 9_490, false),
            (Resource::Mem, 9_980, true),
        ] {
            assert_eq!(pace.ends(resource, length_ms * MS), ends, "{resource} after {length_ms} ms");
        }
        assert!(!pace.is_gap(Resource::DiskWrite, 2_500 * MS) && pace.is_gap(Resource::DiskWrite, 2_501 * MS));
        let long = PerResource::from_fn(|_| Duration::from_secs(10));
        assert_eq!(Pace::new(&long).tick(), LONGEST);
    }
}
