//! Reads the files that settings are in.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::ConfigError;

/// The text of a file, which `what` calls by its use. Never waits: a pipe, which may never say anything, is refused.
pub(super) fn read(what: &'static str, file: &Path) -> std::result::Result<String, ConfigError> {
    text(file).map_err(|cause| ConfigError::Unreadable { what, file: file.to_owned(), cause })
}

fn text(file: &Path) -> Result<String> {
    let mut opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(file)?;
    if opened.metadata()?.file_type().is_fifo() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is a pipe, expected a file that can be read again and again"));
    }
    let mut text = String::new();
    opened.read_to_string(&mut text)?;
    Ok(text)
}
