//! The serverless policy: Guardian and Scaler as pure functions.
//!
//! Each window gives a usage. The Guardian holds it against two thresholds under the limit ([`thresholds`]) by rules
//! ([`rules`]), counts the events, and makes requests of them ([`guardian`]). The Scaler plans what of the requests the host
//! can carry ([`scaler`]), on which cores ([`cores`]). A request for an application is split over its containers first ([`group`]).

pub mod cores;
pub mod group;
pub mod guardian;
pub mod request;
pub mod rules;
pub mod scaler;
pub mod thresholds;
