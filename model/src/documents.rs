//! The documents of the State Database, as people and programs write them.
//!
//! Reading is lenient (numbers and booleans may be texts, fields may be missing), and what is not known survives: every
//! document keeps its unknown fields in `rest` and writes them back.

pub mod by_resource;
pub mod event;
pub mod limits;
pub mod request;
pub mod rule;
pub mod service;
pub mod structure;

/// Fields that we do not know, kept as they are.
pub type Rest = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
