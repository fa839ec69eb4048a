//! The data that conditions are evaluated over, built in an arena.

use datalogic_rs::DataValue;
use datalogic_rs::bumpalo::Bump;

use crate::policy::guardian::{Guarded, Subject};
use crate::resource::{Resource, ResourceSet};

type Pair<'a> = (&'a str, DataValue<'a>);

/// What event rules see: every guarded resource that has a usage, `{"cpu": {"limits": {"cpu": {..}}, "structure": {"cpu": {..}}}}`.
/// Also says which resources those are.
pub(crate) fn usages<'a>(subject: &Subject, arena: &'a Bump) -> (&'a DataValue<'a>, ResourceSet) {
    let mut seen = ResourceSet::NONE;
    let mut top = [("", DataValue::Null); Resource::COUNT];
    let mut n = 0;
    for (resource, guarded) in subject.resources.present() {
        if let Some(entry) = entry(resource, guarded, arena) {
            top[n] = (resource.key(), entry);
            n += 1;
            seen.insert(resource);
        }
    }
    (arena.alloc(object(&top[..n], arena)), seen)
}

/// What request rules see: `{"events": {"scale": {"up": u, "down": d}}}`.
pub(crate) fn counts(up: f64, down: f64, arena: &Bump) -> &DataValue<'_> {
    let counts = object(&[("up", DataValue::from_f64(up)), ("down", DataValue::from_f64(down))], arena);
    let scale = object(&[("scale", counts)], arena);
    arena.alloc(object(&[("events", scale)], arena))
}

fn entry<'a>(resource: Resource, guarded: &Guarded, arena: &'a Bump) -> Option<DataValue<'a>> {
    let (usage, current, thresholds) = (guarded.usage?, guarded.counted()?, guarded.thresholds()?);
    let bounds = &guarded.bounds;
    let number = DataValue::from_f64;
    let limits = object(
        &[
            ("upper", number(thresholds.upper)),
            ("lower", number(thresholds.lower)),
            ("boundary", number(bounds.boundary.value)),
            ("boundary_type", DataValue::String(bounds.boundary.kind.key())),
        ],
        arena,
    );
    let mut fields = [("", DataValue::Null); 9];
    let always = [
        ("max", number(bounds.max)),
        ("min", number(bounds.min)),
        ("current", number(current)),
        ("usage", number(usage)),
        ("guard", DataValue::Bool(true)),
        ("weight", number(bounds.weight)),
    ];
    let sampled = [
        ("user", guarded.split.map(|split| split.user)),
        ("kernel", guarded.split.map(|split| split.kernel)),
        ("throttled", guarded.throttled),
    ];
    let sampled = sampled.into_iter().filter_map(|(key, value)| Some((key, number(value?))));
    let mut count = 0;
    for (place, field) in fields.iter_mut().zip(always.into_iter().chain(sampled)) {
        *place = field;
        count += 1;
    }
    let structure = object(&fields[..count], arena);
    let key = resource.key();
    Some(object(&[("limits", object(&[(key, limits)], arena)), ("structure", object(&[(key, structure)], arena))], arena))
}

fn object<'a>(pairs: &[Pair<'a>], arena: &'a Bump) -> DataValue<'a> {
    DataValue::Object(arena.alloc_slice_copy(pairs))
}
