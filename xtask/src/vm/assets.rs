//! What a VM is made of: qemu, a static busybox, and kernels. Taken from the machine where it has them, else fetched once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Kernel;
use super::apt::{self, Apt, Source};
use crate::process::{run, which};

/// The programs that boot a guest.
pub(crate) struct Tools {
    /// `qemu-system-x86_64`.
    pub(crate) qemu: PathBuf,
    /// Below which fetched programs find their libraries and firmware; `None`: the machine's own qemu.
    pub(crate) root: Option<PathBuf>,
    /// A busybox that needs no libraries.
    pub(crate) busybox: PathBuf,
}

/// A kernel as its package has it.
pub(crate) struct KernelFiles {
    /// The image.
    pub(crate) image: PathBuf,
    /// `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
}

/// The machine's release.
struct Release {
    id: String,
    codename: String,
}

/// How the names of directories that are being filled begin.
pub(super) const PARTIAL: &str = ".partial-";
const DEBIAN_KEYRING: &str = "usr/share/keyrings/debian-archive-keyring.gpg";

/// Finds or fetches everything that booting `kernel` takes. Two at a time wait for each other.
pub(crate) fn prepare(vm: &Path, kernel: Kernel) -> Result<(Tools, KernelFiles)> {
    std::fs::create_dir_all(vm).with_context(|| format!("{}: cannot be made", vm.display()))?;
    let lock = File::create(vm.join("lock"))?;
    lock.lock()?;
    sweep(vm);
    let tools = tools(vm)?;
    let files = kernel_files(vm, kernel)?;
    Ok((tools, files))
}

/// Finds or fetches what guests boot with, of which this is a part.
pub(crate) fn busybox(vm: &Path) -> Result<PathBuf> {
    let lock = File::create(vm.join("lock"))?;
    lock.lock()?;
    Ok(tools(vm)?.busybox)
}

fn tools(vm: &Path) -> Result<Tools> {
    let root = vm.join("tools");
    let fetched = root.join("usr/bin/qemu-system-x86_64");
    let machines = which("qemu-system-x86_64");
    let busybox = if is_installed("busybox-static") { PathBuf::from("/bin/busybox") } else { root.join("bin/busybox") };
    if machines.is_none() && !fetched.exists() {
        whole(&root, |root| machine_apt(vm)?.unpack_with_dependencies(&["qemu-system-x86"], root))?;
    }
    if !busybox.exists() {
        machine_apt(vm)?.unpack(&["busybox-static"], &root)?;
    }
    let own = machines.is_none();
    Ok(Tools { qemu: machines.unwrap_or(fetched), root: own.then_some(root), busybox })
}

fn kernel_files(vm: &Path, kernel: Kernel) -> Result<KernelFiles> {
    let root = vm.join("kernels").join(kernel.name());
    if !root.exists() {
        let apt = kernel_apt(vm)?;
        let release = kernel.newest_of(&apt.names("linux-image-")?).with_context(|| {
            format!("the Debian archive has no kernel {}; remove {} to look again", kernel.name(), vm.join("apt").display())
        })?;
        // Sid splits the image from its modules; older releases have one package.
        let split = [format!("linux-binary-{release}"), format!("linux-modules-{release}")];
        let single = [format!("linux-image-{release}")];
        let packages = if apt.names(&split[0])?.contains(&split[0]) { &split[..] } else { &single[..] };
        let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
        whole(&root, |root| apt.unpack(&packages, root))?;
    }
    let modules = [root.join("usr/lib/modules"), root.join("lib/modules")]
        .into_iter()
        .find_map(|dir| std::fs::read_dir(dir).ok()?.next()?.ok())
        .with_context(|| format!("{}: holds no kernel modules; remove it to fetch the kernel again", root.display()))?;
    let release = modules.file_name().to_string_lossy().into_owned();
    let image =
        [modules.path().join("vmlinuz"), root.join(format!("boot/vmlinuz-{release}"))].into_iter().find(|file| file.exists());
    let image =
        image.with_context(|| format!("{}: holds no kernel image; remove it to fetch the kernel again", root.display()))?;
    Ok(KernelFiles { image, modules: modules.path() })
}

/// What tests with engines take: those, and what images and containers are made of.
const ENGINES: [&str; 10] = [
    "docker.io",
    "podman",
    "runc",
    "lxc",
    "lxd",
    "lxd-client",
    "containernetworking-plugins",
    "busybox-static",
    "squashfs-tools",
    "systemd",
];

/// Finds or fetches the packages of engines, to be laid over the machine's `/usr` and `/etc`: the directory, or none where this is no Debian.
pub(crate) fn engines(vm: &Path) -> Result<Option<PathBuf>> {
    if release()?.id != "debian" {
        return Ok(None);
    }
    std::fs::create_dir_all(vm).with_context(|| format!("{}: cannot be made", vm.display()))?;
    let lock = File::create(vm.join("lock"))?;
    lock.lock()?;
    let root = vm.join("engines");
    // One that an older version of this has fetched may lack some.
    let named = ENGINES.join("\n");
    if std::fs::read_to_string(root.join("packages")).ok().as_ref() != Some(&named) {
        sweep(vm);
        whole(&root, |root| {
            machine_apt(vm)?.unpack_with_dependencies(&ENGINES, root)?;
            std::fs::write(root.join("packages"), &named)?;
            // Packages still have files where links to /usr are now.
            for dir in ["bin", "lib", "sbin"].map(|dir| root.join(dir)) {
                if dir.exists() {
                    run(Command::new("cp").args(["--archive", "--link"]).arg(&dir).arg(root.join("usr")))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(Some(root))
}

/// Fills a directory beside `dir` and renames it, so that what is interrupted is not taken for the whole.
fn whole(dir: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    std::fs::create_dir_all(parent)?;
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(parent)?;
    fill(partial.path())?;
    let partial = partial.keep();
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::rename(&partial, dir).with_context(|| format!("{} to {}", partial.display(), dir.display()))
}

/// Removes what fetches that were interrupted left; nobody else fetches now.
fn sweep(vm: &Path) {
    for dir in [vm.to_owned(), vm.join("kernels"), vm.join("apt/machine"), vm.join("apt/kernels")] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                // What cannot be removed now is tried again next time.
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// apt with the sources of the machine's own release, so that what is fetched fits its libraries.
fn machine_apt(vm: &Path) -> Result<Apt> {
    let Release { id, codename } = release()?;
    let sources = apt::of_release(&apt::machine_sources()?, &codename);
    let components = if id == "ubuntu" { "main universe" } else { "main" };
    let keyring = Path::new("/usr/share/keyrings").join(format!("{id}-archive-keyring.gpg"));
    Apt::new(&vm.join("apt/machine"), &sources, components, &keyring)
}

/// apt with the suites of Debian that have the kernels.
fn kernel_apt(vm: &Path) -> Result<Apt> {
    let Release { id, codename } = release()?;
    let sources = match std::env::var("HEADROOM_DEBIAN_ARCHIVE") {
        Ok(archive) => apt::of_kernels(&[Source { archive, suite: codename.clone() }], &codename)?,
        Err(_) if id == "debian" => apt::of_kernels(&apt::machine_sources()?, &codename)?,
        Err(_) => {
            bail!("kernels are Debian's packages, and this is {id}: set HEADROOM_DEBIAN_ARCHIVE to the URL of a Debian archive")
        }
    };
    let mut keyring = Path::new("/").join(DEBIAN_KEYRING);
    if !keyring.exists() {
        let root = vm.join("keyring");
        keyring = root.join(DEBIAN_KEYRING);
        if !keyring.exists() {
            machine_apt(vm)?.unpack(&["debian-archive-keyring"], &root)?;
        }
    }
    Apt::new(&vm.join("apt/kernels"), &sources, "main", &keyring)
}

fn release() -> Result<Release> {
    let file = "/etc/os-release";
    let text = std::fs::read_to_string(file).with_context(|| format!("{file}: cannot be read"))?;
    parse_release(&text).with_context(|| format!("{file} names no ID and VERSION_CODENAME: this needs Debian or Ubuntu"))
}

fn parse_release(text: &str) -> Option<Release> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    Some(Release { id: value("ID")?, codename: value("VERSION_CODENAME")? })
}

fn is_installed(package: &str) -> bool {
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", package]).output();
    asked.is_ok_and(|answer| answer.stdout == b"installed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_os_release() {
        let release =
            parse_release("NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n").unwrap();
        assert_eq!((release.id.as_str(), release.codename.as_str()), ("debian", "bookworm"));
        assert!(parse_release("NAME=x\n").is_none());
    }

    #[test]
    fn what_fails_half_way_leaves_nothing() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("a/kernel");
        let failed = whole(&target, |partial| {
            std::fs::write(partial.join("half"), "")?;
            bail!("the network went away")
        });
        assert!(failed.is_err() && !target.exists());
        assert_eq!(std::fs::read_dir(dir.path().join("a"))?.count(), 0);
        whole(&target, |partial| Ok(std::fs::write(partial.join("all"), "")?))?;
        assert!(target.join("all").exists());
        Ok(())
    }
}
