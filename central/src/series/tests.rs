//! The whole of the embedded series against a plain model.

mod life;
mod model;
