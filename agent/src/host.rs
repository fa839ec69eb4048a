//! The host itself: its CPUs, its memory, its names, and what its kernel allows.

pub mod capabilities;
pub mod cpus;
pub mod facts;
pub mod memory;
pub mod priority;
pub mod probe;
pub mod realtime;
pub mod topology;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A file of the kernel about the host that could not be read or understood.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel refused.
    #[error("{file}: reading failed: {cause}")]
    Read {
        /// The file, whole path.
        file: PathBuf,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// It has a text that is not understood.
    #[error("{file} reads {text:?}, expected {expected}")]
    Parse {
        /// The file, whole path.
        file: PathBuf,
        /// What it says.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// The trimmed text of one of the kernel's files.
fn read(file: &Path) -> Result<String, HostError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(cause) => Err(HostError::Read { file: file.to_owned(), cause }),
    }
}

fn parse_error(file: &Path, text: &str, expected: &'static str) -> HostError {
    HostError::Parse { file: file.to_owned(), text: text.to_owned(), expected }
}
