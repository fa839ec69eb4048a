//! The Container Scaler API, the metrics and `status`, each on a real server with real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod doors;
mod metrics;
mod reads;
mod show;
mod support;
mod writes;
