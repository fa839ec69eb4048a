//! Carries decisions out: claims containers, writes limits, reads them back, and keeps what a crash must not lose.

pub mod originals;
