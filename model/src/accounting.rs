//! Areas: what was used, allocated and reserved, in unit x seconds (share-seconds for CPU).

use serde::{Deserialize, Serialize};

/// Cumulative amounts. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Areas {
    /// Consumed.
    pub used: f64,
    /// Under the limit in force.
    pub allocated: f64,
    /// Under `max`: what a fixed limit would have reserved.
    pub reserved: f64,
}

impl Areas {
    /// Adds a window of so many seconds with these means, each in the resource's unit.
    pub fn add(&mut self, usage: f64, limit: f64, max: f64, seconds: f64) {
        self.used += usage * seconds;
        self.allocated += limit * seconds;
        self.reserved += max * seconds;
    }

    /// Used over allocated: how well the limit fitted. `None` where nothing was allocated.
    pub fn utilization(&self) -> Option<f64> {
        (self.allocated > 0.0).then(|| self.used / self.allocated)
    }

    /// Used over reserved: what a fixed limit at `max` would have had. `None` where nothing was reserved.
    pub fn fixed_utilization(&self) -> Option<f64> {
        (self.reserved > 0.0).then(|| self.used / self.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_areas_not_of_windows() {
        let mut areas = Areas::default();
        assert_eq!(areas.utilization(), None);
        areas.add(50.0, 100.0, 400.0, 10.0);
        areas.add(150.0, 200.0, 400.0, 30.0);
        assert_eq!((areas.used, areas.allocated, areas.reserved), (5000.0, 7000.0, 16000.0));
        assert_eq!(areas.utilization(), Some(5.0 / 7.0));
        assert_eq!(areas.fixed_utilization(), Some(0.3125));
    }
}
