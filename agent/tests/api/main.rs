//! The Container Scaler API, the metrics and `status`, each on a real server with real sockets.

mod doors;
mod metrics;
mod reads;
mod show;
mod support;
mod writes;
