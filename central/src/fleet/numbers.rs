//! What a report says of one resource, in half the room: a fleet has tens of thousands of them.

use headroom_model::accounting::Areas;
use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::ResourceReport;

/// The numbers of a [`ResourceReport`].
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) resource: Resource,
    guard: bool,
    current: Maybe,
    effective: Maybe,
    usage: Maybe,
    upper: Maybe,
    lower: Maybe,
    areas: Areas,
}

/// A number or none: NaN, which JSON has no way to say.
#[derive(Clone, Copy, Debug)]
struct Maybe(f64);

impl Maybe {
    fn of(number: Option<f64>) -> Self {
        Self(number.unwrap_or(f64::NAN))
    }

    fn get(self) -> Option<f64> {
        (!self.0.is_nan()).then_some(self.0)
    }

    fn limit(self) -> Limit {
        self.get().map_or(Limit::Unlimited, Limit::At)
    }
}

impl Numbers {
    pub(super) fn of(resource: Resource, report: &ResourceReport) -> Self {
        let ResourceReport { guard, current, effective, usage, upper, lower, areas } = *report;
        let (current, effective) = (Maybe::of(current.amount()), Maybe::of(effective.amount()));
        let (usage, upper, lower) = (Maybe::of(usage), Maybe::of(upper), Maybe::of(lower));
        Self { resource, guard, current, effective, usage, upper, lower, areas }
    }

    pub(super) fn report(&self) -> ResourceReport {
        let Self { guard, current, effective, usage, upper, lower, areas, .. } = *self;
        let (current, effective) = (current.limit(), effective.limit());
        ResourceReport { guard, current, effective, usage: usage.get(), upper: upper.get(), lower: lower.get(), areas }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_stays_missing() {
        let areas = Areas { used: 1.0, allocated: 2.0, reserved: 3.0 };
        let (current, effective) = (Limit::Unlimited, Limit::At(0.0));
        let report = ResourceReport { guard: true, current, effective, usage: Some(0.0), upper: None, lower: Some(-1.5), areas };
        assert_eq!(Numbers::of(Resource::Mem, &report).report(), report);
        assert_eq!((size_of::<Numbers>(), size_of::<ResourceReport>()), (72, 112));
    }
}
