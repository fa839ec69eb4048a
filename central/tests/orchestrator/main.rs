//! Every path of the Orchestrator API on a real server with a State Database of its own; agents are played over the paths that real ones use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up fails")]

mod agent;
mod applications;
mod away;
mod bodies;
mod containers;
mod documented;
mod hosts;
mod lenient;
mod limits;
mod live;
mod members;
mod names;
mod requests;
mod rules;
mod services;
mod structures;
mod support;
mod users;
