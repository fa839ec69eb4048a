//! Usage as it was judged, kept in the format that `replay` reads: `run --record DIR`, one file a container and resource.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headroom_model::resource::Resource;

/// One window that was judged.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) structure: Arc<str>,
    pub(super) resource: Resource,
    /// When it ended, in seconds since the epoch.
    pub(super) at: f64,
    /// `None` where there was no sample.
    pub(super) usage: Option<f64>,
    /// Of CPU: the periods in which it was throttled, where that was sampled.
    pub(super) throttled: Option<f64>,
}

/// The files, in a directory of the user's.
#[derive(Debug)]
pub(super) struct Recorder {
    dir: PathBuf,
    /// `None` for a file that could not be written: that is said once.
    files: HashMap<(Arc<str>, Resource), Option<LineWriter<File>>>,
}

impl Recorder {
    /// Makes the directory.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), files: HashMap::new() })
    }

    /// Adds a row. A recording that fails keeps nothing else from going on.
    pub(super) fn record(&mut self, window: &Window) {
        let Window { structure, resource, at, usage, throttled } = window;
        let file = self.files.entry((Arc::clone(structure), *resource)).or_insert_with(|| {
            let path = self.dir.join(format!("{}.{resource}.csv", structure.replace('/', "_")));
            create(&path, *resource).inspect_err(|e| tracing::error!("{}: not recorded: {e}", path.display())).ok()
        });
        let cell = |sample: &Option<f64>| sample.map(|sample| sample.to_string()).unwrap_or_default();
        let mut row = format!("{at},{}", cell(usage));
        if *resource == Resource::Cpu {
            row = format!("{row},{}", cell(throttled));
        }
        let written = file.as_mut().map_or(Ok(()), |file| writeln!(file, "{row}"));
        if let Err(e) = written {
            tracing::error!(%resource, container = %structure, "no longer recorded: {e}");
            *file = None;
        }
    }
}

fn create(path: &Path, resource: Resource) -> io::Result<LineWriter<File>> {
    let mut file = LineWriter::new(File::create(path)?);
    let throttled = if resource == Resource::Cpu { ",cpu_throttled" } else { "" };
    writeln!(file, "timestamp,{resource}{throttled}")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_window_and_an_empty_cell_for_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(&dir.path().join("recorded")).unwrap();
        for (at, usage, throttled) in [(1_760_000_000.25, Some(12.5), Some(2.0)), (1_760_000_001.0, None, None)] {
            recorder.record(&Window { structure: "a/b".into(), resource: Resource::Cpu, at, usage, throttled });
        }
        let text = fs::read_to_string(dir.path().join("recorded/a_b.cpu.csv")).unwrap();
        assert_eq!(text, "timestamp,cpu,cpu_throttled\n1760000000.25,12.5,2\n1760000001,,\n");
    }
}
