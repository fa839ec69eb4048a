//! The limits that were found before the first touch, on disk: one small file for each guarded container.
//!
//! They are kept by (boot id, cgroup inode, resource): a limit that we lowered ourselves before a crash is never taken
//! for the original one, and what another boot or a deleted cgroup has left behind is recognised and removed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::reads_as;
use crate::cgroup::{CgroupPath, CpuList, Device};

/// What is kept of one guarded container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The boot that the inode belongs to.
    pub boot_id: String,
    /// The cgroup directory's inode in the cpu controller's hierarchy.
    pub cgroup_id: u64,
    /// Where it was.
    pub path: CgroupPath,
    /// What it was called.
    pub name: String,
    /// Whether it is guarded now; if not, what was found stays known.
    pub guarded: bool,
    /// Whether `on_death = "hold"` was in force: the configuration may be unreadable when that is asked.
    #[serde(default)]
    pub hold: bool,
    /// What was found, by resource.
    pub resources: BTreeMap<Resource, Original>,
    /// The CPUs found configured (none: not restricted); only where containers are pinned to cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<CpuList>,
}

/// One resource of a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Original {
    /// The limit found before the first touch, in the resource's unit.
    pub limit: Limit,
    /// The CFS period found, in µs; CPU only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_us: Option<u64>,
    /// The burst found, in µs; CPU only, where the kernel has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_us: Option<u64>,
    /// The hard limit found, in MiB; memory on cgroup v2 only, where the limit that moves is a softer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Limit>,
    /// What a raise of ours has set the hard limit to, where that was under another `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Limit>,
    /// The disk that the limit is for; disks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// The structure's `max`: what `release` lifts the limit to.
    pub max: f64,
    /// Whether this resource is guarded now, as [`Record::guarded`] says it of all of them.
    #[serde(default = "yes")]
    pub guarded: bool,
    /// What it was left at when nothing in the settings asked for it any more. As long as that stands it is ours to put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Limit>,
}

impl Record {
    /// Whether `now`, the limit that stands, is one of ours.
    pub fn is_ours(&self, original: &Original, now: Limit) -> bool {
        (self.guarded && original.guarded) || original.left == Some(now)
    }

    /// Whether some limit was left when nothing asked for it any more.
    pub fn has_left(&self) -> bool {
        self.resources.values().any(|original| original.left.is_some())
    }
}

impl Original {
    /// The hard limit to put back, where `now`, the one that stands, is what a raise of ours has set it to.
    pub fn hard_to_put_back(&self, now: Limit) -> Option<Limit> {
        let is_ours =
            [Some(Limit::At(self.max)), self.raised].into_iter().flatten().any(|ours| reads_as(Resource::Mem, ours, now));
        self.hard.filter(|found| is_ours && *found != now)
    }
}

fn yes() -> bool {
    true
}

/// A state directory that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {cause}", path = path.display())]
pub struct StateError {
    what: &'static str,
    path: PathBuf,
    cause: io::Error,
}

/// The directory with the records.
#[derive(Clone, Debug)]
pub struct Originals {
    dir: PathBuf,
}

impl Originals {
    /// Opens (and makes) `state_dir/guarded`.
    pub fn open(state_dir: &Path) -> Result<Self, StateError> {
        let dir = state_dir.join("guarded");
        fs::create_dir_all(&dir).map_err(|cause| StateError {
            what: "cannot make the state directory",
            path: dir.clone(),
            cause,
        })?;
        Ok(Self { dir })
    }

    /// Takes the directory for one process, until the lock is dropped; `None` where another has it.
    pub fn lock(&self) -> Result<Option<Flock<fs::File>>, StateError> {
        let path = self.dir.join("lock");
        let error = |cause| StateError { what: "cannot lock", path: path.clone(), cause };
        let file = fs::File::create(&path).map_err(error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(error(errno.into())),
        }
    }

    /// Every record of this boot. Those of another boot go, as do files that cannot be understood (they are moved aside
    /// as `.bad`, and named in the second part of the answer).
    pub fn load(&self, boot_id: &str) -> Result<(Vec<Record>, Vec<PathBuf>), StateError> {
        let error = |what| move |cause| StateError { what, path: self.dir.clone(), cause };
        let mut records = Vec::new();
        let mut bad = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(error("cannot list"))? {
            let path = entry.map_err(error("cannot list"))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            let text = match fs::read(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(StateError { what: "cannot read", path, cause }),
            };
            match serde_json::from_slice::<Record>(&text) {
                Ok(record) if record.boot_id == boot_id => records.push(record),
                Ok(_) => remove(&path)?,
                Err(_) => {
                    let aside = path.with_extension("bad");
                    fs::rename(&path, &aside).map_err(|cause| StateError { what: "cannot move aside", path, cause })?;
                    bad.push(aside);
                }
            }
        }
        Ok((records, bad))
    }

    /// Writes a record so that it is whole and durable, or not there at all.
    pub fn save(&self, record: &Record) -> Result<(), StateError> {
        let path = self.file(record.cgroup_id);
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec(record).map_err(|e| StateError {
            what: "cannot encode",
            path: path.clone(),
            cause: io::Error::other(e),
        })?;
        let error = |cause| StateError { what: "cannot write", path: path.clone(), cause };
        let mut file = fs::File::create(&fresh).map_err(error)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(error)?;
        fs::rename(&fresh, &path).map_err(error)?;
        fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(error)
    }

    /// Forgets one container; no error when nothing was kept of it.
    pub fn forget(&self, cgroup_id: u64) -> Result<(), StateError> {
        remove(&self.file(cgroup_id))
    }

    fn file(&self, cgroup_id: u64) -> PathBuf {
        self.dir.join(format!("{cgroup_id}.json"))
    }
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(StateError { what: "cannot remove", path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(cgroup_id: u64, boot_id: &str) -> Record {
        let (limit, max) = (Limit::Unlimited, 200.0);
        let cpu = Original {
            limit,
            period_us: Some(100_000),
            burst_us: Some(0),
            hard: None,
            raised: None,
            device: None,
            max,
            guarded: true,
            left: None,
        };
        let device = Some(Device { major: 254, minor: 0 });
        let disk = Original { period_us: None, burst_us: None, device, guarded: false, left: Some(limit), ..cpu };
        Record {
            boot_id: boot_id.into(),
            cgroup_id,
            path: CgroupPath::new("lxc.payload.cont0").unwrap(),
            name: "cont0".into(),
            guarded: true,
            hold: false,
            resources: BTreeMap::from([(Resource::Cpu, cpu), (Resource::DiskWrite, disk)]),
            cpuset: Some("0-1".parse().unwrap()),
        }
    }

    #[test]
    fn a_hard_limit_is_put_back_where_a_raise_of_ours_stands() {
        let [found, first, second, theirs] = [64.0, 300.0, 280.0, 128.0].map(Limit::At);
        let cpu = record(1, "a").resources[&Resource::Cpu];
        let mem = Original { hard: Some(found), max: 300.0, ..cpu };
        let another = Original { raised: Some(first), max: 280.0, ..mem };
        let asked = |original: Original, now| original.hard_to_put_back(now);
        assert_eq!([found, first, second, theirs].map(|now| asked(mem, now)), [None, Some(found), None, None]);
        assert_eq!([found, first, second, theirs].map(|now| asked(another, now)), [None, Some(found), Some(found), None]);
        assert_eq!(asked(Original { hard: Some(first), ..mem }, first), None, "it was found so");
        assert_eq!(asked(Original { hard: None, ..mem }, first), None);
    }

    #[test]
    fn what_is_saved_is_found_again_and_other_boots_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let originals = Originals::open(dir.path()).unwrap();
        originals.save(&record(7, "this")).unwrap();
        originals.save(&record(8, "another")).unwrap();
        fs::write(dir.path().join("guarded/9.json"), b"{ half").unwrap();
        // What a crash between write and rename leaves behind.
        fs::write(dir.path().join("guarded/10.new"), b"{ half").unwrap();

        let (records, bad) = originals.load("this").unwrap();
        assert_eq!(records, [record(7, "this")]);
        assert_eq!(bad, [dir.path().join("guarded/9.bad")]);
        assert!(!dir.path().join("guarded/8.json").exists());

        originals.forget(7).unwrap();
        originals.forget(7).unwrap();
        assert_eq!(originals.load("this").unwrap(), (Vec::new(), Vec::new()));
    }
}
