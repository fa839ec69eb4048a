//! Sums over containers.

use std::sync::Arc;

use headroom_model::number;
use headroom_model::resource::{PerResource, Resource};
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::store::Body;

/// The totals of an application or a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Mean usage in the resource's unit, where any container's is known.
    pub usage: PerResource<Option<f64>>,
    /// Limits in force in the resource's unit, as the containers' documents show them: where any has one.
    pub current: PerResource<Option<f64>>,
    /// The containers whose host is quiet, or that no host reports: they are in none of the sums.
    pub left_out: Vec<Arc<str>>,
}

impl Totals {
    /// Over these containers.
    pub(super) fn of(names: &[Arc<str>], fleet: &Fleet, metrics: &[Resource]) -> Self {
        let mut totals = Self::default();
        for name in names {
            let Some(live) = fleet.live(name).filter(|live| live.quiet_since.is_none()) else {
                totals.left_out.push(Arc::clone(name));
                continue;
            };
            for (resource, report) in live.resources.present() {
                if metrics.contains(&resource) {
                    add(&mut totals.usage[resource], report.usage);
                }
                add(&mut totals.current[resource], report.in_force());
            }
        }
        totals
    }

    /// Over these applications.
    pub(super) fn sum<'a>(applications: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for totals in applications {
            for resource in Resource::ALL {
                add(&mut sum.usage[resource], totals.usage[resource]);
                add(&mut sum.current[resource], totals.current[resource]);
            }
            sum.left_out.extend(totals.left_out.iter().cloned());
        }
        sum
    }

    /// Lays the totals over a document, for one who looks at it now.
    pub fn lay_over(&self, body: &mut Body) {
        for resource in Resource::ALL {
            for (field, value) in [("usage", self.usage[resource]), ("current", self.current[resource])] {
                if let (Some(value), Some(entry)) = (value, entry(body, resource)) {
                    entry.insert(field.into(), number::plain(number::rounded(value, 2)));
                }
            }
        }
        if self.left_out.is_empty() {
            body.remove("left_out");
        } else {
            body.insert("left_out".into(), json!(self.left_out));
        }
    }

    /// Refreshes a document's `usage` where it is off by more than `margin` x `max`, and who is left out.
    pub(super) fn refresh_usage(&self, body: &mut Body, margin: f64) {
        for (resource, &usage) in self.usage.present() {
            let Some(entry) = entry(body, resource) else { continue };
            let of = |field: &str| entry.get(field).and_then(number::lenient);
            let enough = (of("max").unwrap_or(0.0) * margin).max(1.0);
            if of("usage").is_none_or(|stored| (stored - usage).abs() > enough) {
                entry.insert("usage".into(), number::plain(number::rounded(usage, 2)));
            }
        }
        let out = body.get("left_out").cloned().unwrap_or(json!([]));
        if out != json!(self.left_out) {
            if self.left_out.is_empty() {
                body.remove("left_out");
            } else {
                body.insert("left_out".into(), json!(self.left_out));
            }
        }
    }

    /// Refreshes a document's `current`.
    pub fn refresh_current(&self, body: &mut Body, resources: &[Resource]) {
        for (resource, &current) in self.current.present() {
            if !resources.contains(&resource) {
                continue;
            }
            let Some(entry) = entry(body, resource) else { continue };
            let current = number::rounded(current, 2);
            if entry.get("current").and_then(number::lenient) != Some(current) {
                entry.insert("current".into(), number::plain(current));
            }
        }
    }
}

/// The document's entry for a resource, where it has one.
fn entry(body: &mut Body, resource: Resource) -> Option<&mut Body> {
    body.get_mut("resources").and_then(Value::as_object_mut)?.get_mut(resource.key())?.as_object_mut()
}

fn add(sum: &mut Option<f64>, value: Option<f64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0.0) + value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(usage: i32) -> Body {
        let Value::Object(body) = json!({"resources": {"cpu": {"max": 400, "usage": usage, "x": 1}, "mem": {"max": 10}}}) else {
            unreachable!()
        };
        body
    }

    #[test]
    fn a_stored_usage_is_refreshed_when_it_is_off() {
        let mut totals = Totals::default();
        totals.usage[Resource::Cpu] = Some(119.0);
        let mut near = body(100);
        totals.refresh_usage(&mut near, 0.05);
        assert_eq!(near, body(100));
        totals.usage[Resource::Cpu] = Some(121.0);
        totals.refresh_usage(&mut near, 0.05);
        assert_eq!(near, body(121));
        // What has no entry gets none.
        totals.usage[Resource::Net] = Some(5.0);
        totals.lay_over(&mut near);
        assert!(near["resources"].get("net").is_none());
    }

    #[test]
    fn who_is_left_out_is_said() {
        let mut totals = Totals { left_out: vec!["c1".into()], ..Totals::default() };
        let mut document = body(0);
        totals.lay_over(&mut document);
        assert_eq!(document["left_out"], json!(["c1"]));
        totals.left_out.clear();
        totals.refresh_usage(&mut document, 0.05);
        assert!(document.get("left_out").is_none());
    }
}
