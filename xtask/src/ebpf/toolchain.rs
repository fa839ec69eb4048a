//! What can compile for the bpf target: Debian's compiler with its own core for it, or rustup's nightly with `rust-src`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

const BPF_TARGET: &str = "bpfel-unknown-none";

/// Where neither is there.
const ADVICE: &str = "\
nothing here compiles for the bpf target (only needed to change the kernel side). Either, on Debian:
  apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf llvm-22-dev
  LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.11.1 --locked --no-default-features --features llvm-22
or, anywhere:
  rustup toolchain install nightly --component rust-src
  cargo install bpf-linker";

/// What differs from one kind of toolchain to the other.
enum Kind {
    /// Debian's own `rustc` and `cargo`.
    System,
    /// `cargo +nightly`, core compiled on the way.
    Nightly,
}

/// A toolchain that was found whole.
pub(super) struct Toolchain {
    kind: Kind,
    /// The directory that `bpf-linker` is in.
    linker: PathBuf,
    /// One line each for compiler and linker: where they are the same, so are the object's bytes.
    pub(super) versions: String,
}

impl Toolchain {
    pub(super) fn find() -> Result<Self> {
        let (linker, linker_version) = find_linker().context(ADVICE)?;
        for (kind, rustc) in
            [(Kind::System, ["/usr/bin/rustc", "-vV"].as_slice()), (Kind::Nightly, &["rustc", "+nightly", "-vV"])]
        {
            let Some(version) = answer(rustc) else { continue };
            if !kind.has_core(rustc) {
                continue;
            }
            let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim();
            let (release, commit, llvm) = (field("release:"), field("commit-hash:"), field("LLVM version:"));
            let versions = format!("rustc {release} ({commit}), LLVM {llvm}\n{linker_version}");
            return Ok(Self { kind, linker, versions });
        }
        bail!(ADVICE)
    }

    /// Its `cargo`, in an environment of its own: we run inside another cargo's.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = match self.kind {
            Kind::System => {
                let mut cargo = Command::new("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc");
                // The intrinsics of atomics are not stable.
                cargo.env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Kind::Nightly => {
                let mut cargo = rustup("cargo");
                cargo.args(["+nightly", "-Zbuild-std=core"]).env_remove("RUSTC");
                cargo
            }
        };
        for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN"] {
            cargo.env_remove(name);
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.linker.clone()).chain(std::env::split_paths(&path)));
        if let Ok(path) = path {
            cargo.env("PATH", path);
        }
        cargo
    }
}

impl Kind {
    /// Whether there is a core for the target, compiled or as source.
    fn has_core(&self, rustc: &[&str]) -> bool {
        let mut ask = rustc[..rustc.len() - 1].to_vec();
        ask.extend(["--print", "sysroot"]);
        let Some(sysroot) = answer(&ask) else { return false };
        let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
        match self {
            Self::System => rustlib.join(BPF_TARGET).exists(),
            Self::Nightly => rustlib.join("src/rust/library/core").exists(),
        }
    }
}

/// `bpf-linker` on the path, or where `cargo install` puts it.
fn find_linker() -> Result<(PathBuf, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::home_dir().map(|home| home.join(".cargo/bin"));
    let found = std::env::split_paths(&path).chain(home).find(|dir| dir.join("bpf-linker").exists());
    let dir = found.context("there is no bpf-linker on the path")?;
    let program = dir.join("bpf-linker");
    let version =
        answer(&[&program.to_string_lossy(), "--version"]).with_context(|| format!("{} does not run", program.display()))?;
    Ok((dir, version.lines().next().unwrap_or_default().to_owned()))
}

/// A command's output, where it ends well.
fn answer(command: &[&str]) -> Option<String> {
    let (program, args) = command.split_first()?;
    let output = rustup(program).args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A program whose toolchain is not the one that we were started by.
fn rustup(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}
