//! Debian packages, downloaded and unpacked, never installed: apt with a configuration, a state and a cache of its own.
//!
//! The machine's apt is asked where its archive is and how it gets there (proxies), and otherwise left alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{output, run};

/// One line of a sources list: an archive and a suite in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The archive's URL, as the machine's own sources have it.
    pub(crate) archive: String,
    /// `bookworm`, `sid`.
    pub(crate) suite: String,
}

/// A private apt below a directory.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Sets one up in `dir` for these sources, signed by what is in `keyring`; lists are fetched when they are not there yet.
    pub(crate) fn new(dir: &Path, sources: &[Source], components: &str, keyring: &Path) -> Result<Self> {
        let apt = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir.join("lists/partial"))?;
        std::fs::create_dir_all(dir.join("cache/archives/partial"))?;
        std::fs::write(dir.join("sources.list"), sources_list(sources, components, keyring))?;
        let machine = output(Command::new("apt-config").args(["dump", "Acquire"]))?;
        std::fs::write(dir.join("apt.conf"), configuration(dir, &String::from_utf8_lossy(&machine)))?;
        if !dir.join("lists-complete").exists() {
            apt.update()?;
        }
        Ok(apt)
    }

    /// Fetches the package lists again.
    pub(crate) fn update(&self) -> Result<()> {
        eprintln!("vm: fetching package lists");
        run(self.command("apt-get").args(["--quiet", "--error-on=any", "update"]))?;
        std::fs::write(self.dir.join("lists-complete"), "")?;
        Ok(())
    }

    /// The names of all packages that begin so.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect())
    }

    /// Unpacks these packages into `root`. Lists that name what the archive no longer has are fetched anew, once.
    pub(crate) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        self.fetch(root, packages, |apt, dir| {
            run(apt.command("apt-get").args(["--quiet", "download"]).args(packages).current_dir(dir))
        })
    }

    /// Unpacks these packages, and what they depend on and the machine does not have, into `root`.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], root: &Path) -> Result<()> {
        self.fetch(root, packages, |apt, dir| {
            let archives = format!("Dir::Cache::archives={}", dir.display());
            let install = ["--quiet", "--yes", "--download-only", "--no-install-recommends", "-o", &archives, "install"];
            run(apt.command("apt-get").args(install).args(packages))
        })
    }

    fn fetch(&self, root: &Path, packages: &[&str], download: impl Fn(&Self, &Path) -> Result<()>) -> Result<()> {
        eprintln!("vm: fetching {}", packages.join(", "));
        let debs = tempfile::tempdir_in(&self.dir)?;
        std::fs::create_dir(debs.path().join("partial"))?;
        if download(self, debs.path()).is_err() {
            self.update()?;
            download(self, debs.path()).with_context(|| format!("fetching {} from the Debian archive", packages.join(", ")))?;
        }
        std::fs::create_dir_all(root)?;
        for entry in std::fs::read_dir(debs.path())? {
            let deb = entry?.path();
            if deb.extension().is_some_and(|suffix| suffix == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(root))?;
            }
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.dir.join("apt.conf")).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}

/// The sources of this machine: what its apt would fetch lists from. Works on a machine that never fetched any.
pub(crate) fn machine_sources() -> Result<Vec<Source>> {
    let uris = output(Command::new("apt-get").args(["update", "--print-uris"]))
        .context("kernels and qemu are fetched with apt: this needs a Debian or Ubuntu machine")?;
    Ok(parse_uris(&String::from_utf8_lossy(&uris)))
}

/// Lines like `'<archive>/dists/<suite>/InRelease' name 0`.
fn parse_uris(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| line.strip_prefix('\'')?.split_once("/InRelease'"))
        .filter_map(|(url, _)| url.rsplit_once("/dists/"))
        .map(|(archive, suite)| Source { archive: archive.to_owned(), suite: suite.to_owned() })
        .collect()
}

/// The machine's own release, of all that it has sources for: the suite and its updates.
pub(crate) fn of_release(sources: &[Source], codename: &str) -> Vec<Source> {
    let suites = ["", "-updates", "-security"].map(|suffix| format!("{codename}{suffix}"));
    sources.iter().filter(|source| suites.contains(&source.suite)).cloned().collect()
}

/// Where Debian's kernels are: 6.1 and 6.12 in bookworm and its security archive, the newest in sid.
pub(crate) fn of_kernels(own: &[Source], codename: &str) -> Result<Vec<Source>> {
    let archive = |suite: &str| own.iter().find(|source| source.suite == suite).map(|source| source.archive.clone());
    let Some(main) = archive(codename) else { bail!("this machine's apt has no source for its own release, {codename}") };
    // Mirrors have the two side by side under these names.
    let security = archive(&format!("{codename}-security")).unwrap_or_else(|| format!("{main}-security"));
    let source = |archive: &str, suite: &str| Source { archive: archive.to_owned(), suite: suite.to_owned() };
    Ok(vec![source(&main, "bookworm"), source(&security, "bookworm-security"), source(&main, "sid")])
}

fn sources_list(sources: &[Source], components: &str, keyring: &Path) -> String {
    let signed = keyring.display();
    sources.iter().map(|Source { archive, suite }| format!("deb [signed-by={signed}] {archive} {suite} {components}\n")).collect()
}

/// apt's settings. `Dir::Etc::parts` is ours too, so that hooks of the machine do not run; its proxies are taken over.
fn configuration(dir: &Path, machine: &str) -> String {
    const CARRIED: [&str; 4] = ["Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries"];
    let dir = dir.display();
    let own = format!(
        r#"Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{dir}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Debug::NoLocking "true";
"#
    );
    let carried = machine.lines().filter(|line| CARRIED.iter().any(|key| line.starts_with(key)));
    own + &carried.map(|line| format!("{line}\n")).collect::<String>() + "Acquire::Check-Valid-Until \"false\";\n"
}

#[cfg(test)]
mod tests;
