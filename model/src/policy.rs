//! The serverless policy: Guardian and Scaler as pure functions.

pub mod thresholds;
