//! The two thresholds under a limit.

/// How a boundary is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryType {
    /// In the resource's unit.
    #[default]
    Absolute,
    /// A percentage of the structure's `max`.
    PercentageOfMax,
    /// A percentage of the limit in force.
    PercentageOfCurrent,
}
