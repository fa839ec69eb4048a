//! `cargo xtask ebpf`: compiles the kernel side. The object is checked in, so that nobody needs this to build the agent.

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use self::toolchain::Toolchain;

/// Compile the kernel side anew into `agent-ebpf/object/`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Change nothing: fail where the object is not of the sources, or, with the toolchain that made it, not the same bytes.
    #[arg(long)]
    check: bool,
}

/// The object, and what is kept beside it.
struct Place {
    root: PathBuf,
    object: PathBuf,
    made_by: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?.join("agent-ebpf");
        let object = root.join("object");
        Ok(Self { object: object.join("headroom.bpf.o"), made_by: object.join("made-by.txt"), root })
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let place = Place::new()?;
    let sources = format!("sources {:016x}", digest(&place.root)?);
    if !args.check {
        let toolchain = Toolchain::find()?;
        let object = build(&place.root, &toolchain)?;
        write(&place.object, &object)?;
        write(&place.made_by, format!("{}\n{sources}\n", toolchain.versions).as_bytes())?;
        eprintln!("{}: {} bytes, made by\n{}", place.object.display(), object.len(), toolchain.versions);
        return Ok(());
    }
    let made_by = fs::read_to_string(&place.made_by).with_context(|| format!("reading {}", place.made_by.display()))?;
    let current = made_by.lines().any(|line| line == sources);
    ensure!(current, "{} was made of other sources than those here: run `cargo xtask ebpf`", place.object.display());
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            eprintln!("the object is of these sources; its bytes were not compared: {missing:#}");
            return Ok(());
        }
    };
    let rebuilt = build(&place.root, &toolchain)?;
    if !made_by.starts_with(&format!("{}\n", toolchain.versions)) {
        let made_by = made_by.trim_end();
        eprintln!(
            "the object is of these sources, and they compile; not compared, because the toolchain is another one:\n{}\nnot\n{made_by}",
            toolchain.versions
        );
        return Ok(());
    }
    let kept = fs::read(&place.object).with_context(|| format!("reading {}", place.object.display()))?;
    ensure!(kept == rebuilt, "{} is not what its sources and toolchain give: run `cargo xtask ebpf`", place.object.display());
    eprintln!("{}: the same {} bytes", place.object.display(), kept.len());
    Ok(())
}

/// Compiles, and gives the object's bytes.
fn build(root: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let target = root.join("target");
    // What the compiler writes of paths must not depend on where the sources lie.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec!["-Ctarget-cpu=v3".to_owned(), remap(root, "agent-ebpf")];
    flags.extend(cargo_home().map(|home| remap(&home, "cargo")));
    let mut cargo: Command = toolchain.cargo();
    cargo.args(["build", "--locked", "--release", "--target", "bpfel-unknown-none"]).current_dir(root);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("CARGO_TARGET_DIR", &target);
    let status = cargo.status().with_context(|| format!("running {cargo:?}"))?;
    if !status.success() {
        bail!("compiling the kernel side failed ({status}), with\n{}", toolchain.versions);
    }
    let object = target.join("bpfel-unknown-none/release/headroom");
    fs::read(&object).with_context(|| format!("reading {}", object.display()))
}

fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// FNV-1a over all that the object is made of: names and contents, in the order of their names.
fn digest(root: &Path) -> Result<u64> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    for dir in ["src", "records/src"] {
        let dir = root.join(dir);
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let mut hash = Fnv::default();
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        hash.add(name.as_bytes());
        hash.add(&text);
    }
    Ok(hash.0)
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Bytes, and their end, so that two pieces are not the same as one.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied().map(u64::from).chain([0x100]) {
            self.0 = (self.0 ^ byte).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_of_the_sources_here() {
        let place = Place::new().unwrap();
        let made_by = fs::read_to_string(&place.made_by).unwrap();
        let sources = format!("sources {:016x}", digest(&place.root).unwrap());
        assert!(made_by.lines().any(|line| line == sources), "run `cargo xtask ebpf`: {sources} is not in\n{made_by}");
    }

    #[test]
    fn the_digest_tells_pieces_apart() {
        let of = |pieces: &[&str]| {
            let mut hash = Fnv::default();
            for piece in pieces {
                hash.add(piece.as_bytes());
            }
            hash.0
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }
}
