//! Who this agent is, to central: made up once and kept in the state directory, so that a restart is the same one and another agent of the same
//! host name is not.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock;

pub(super) struct Identity {
    host: String,
    instance: String,
    started_at: f64,
}

impl Identity {
    pub(super) fn of(state_dir: &Path, host: &str) -> io::Result<Self> {
        let path = state_dir.join("instance");
        let instance = match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
            Ok(_) => make(&path)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => make(&path)?,
            Err(e) => return Err(e),
        };
        Ok(Self { host: host.to_owned(), instance, started_at: clock::wall() })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn started_at(&self) -> f64 {
        self.started_at
    }
}

fn make(path: &Path) -> io::Result<String> {
    let instance = format!("{:016x}", getrandom::u64().map_err(io::Error::other)?);
    let new = path.with_extension("new");
    fs::write(&new, &instance)?;
    fs::rename(&new, path)?;
    Ok(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_the_same_agent() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = Identity::of(here.path(), "host0").unwrap();
        let again = Identity::of(here.path(), "host0").unwrap();
        let other = Identity::of(there.path(), "host0").unwrap();
        assert_eq!(first.instance(), again.instance());
        assert_ne!(first.instance(), other.instance());
    }
}
