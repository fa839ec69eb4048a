//! Where the repository is, and what is in it.

use std::path::{Path, PathBuf};

/// The workspace's root: this package's parent.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
