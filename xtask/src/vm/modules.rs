//! Which kernel modules the guest's init loads, and in which order.
//!
//! Debian's packages carry no `modules.dep` (it is made at installation), so the order comes from what each module says of itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// What the guest needs before its root is mounted, a disk with ext4, and cables between networks, with limits on them. What a kernel does
/// not have as a module is built in.
const WANTED: [&str; 18] = [
    "virtio_pci",
    "virtio_rng",
    "9pnet_virtio",
    "9p",
    "overlay",
    "crc32c_generic",
    "crc32c_cryptoapi",
    "virtio_blk",
    "ext4",
    "veth",
    "ifb",
    "sch_tbf",
    "sch_htb",
    "sch_ingress",
    "cls_u32",
    "cls_matchall",
    "act_police",
    "act_mirred",
];

/// A module: its file's name without suffixes, and its content.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// Reads the modules that the guest needs, in the order in which they load.
pub(crate) fn collect(tree: &Path, busybox: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(tree, &mut files)?;
    let mut loaded: Vec<Module> = Vec::new();
    for name in WANTED {
        load(name, &files, busybox, &mut loaded)?;
    }
    Ok(loaded)
}

/// Depth first, so that what a module depends on stands before it.
fn load(name: &str, files: &BTreeMap<String, PathBuf>, busybox: &Path, loaded: &mut Vec<Module>) -> Result<()> {
    let Some(file) = files.get(name).filter(|_| loaded.iter().all(|module| module.name != name)) else { return Ok(()) };
    let content = read(file, busybox)?;
    for dependency in depends(&content) {
        load(&dependency, files, busybox, loaded)?;
    }
    loaded.push(Module { name: name.to_owned(), content });
    Ok(())
}

/// Every `*.ko`, `*.ko.xz` below `dir`, by the name that the kernel knows it under.
fn index(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}: no kernel modules", dir.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(canonical(name), path);
        }
    }
    Ok(())
}

fn read(file: &Path, busybox: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|suffix| suffix == "xz") {
        return process::output(std::process::Command::new(busybox).arg("xzcat").arg(file));
    }
    std::fs::read(file).with_context(|| format!("{}", file.display()))
}

/// File names have dashes where the kernel has underscores.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The names in a module's `.modinfo`: NUL-terminated texts, one of them `depends=a,b`.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    module
        .split(|&byte| byte == 0)
        .find_map(|text| text.strip_prefix(KEY))
        .map(|list| String::from_utf8_lossy(list).split(',').filter(|name| !name.is_empty()).map(canonical).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_from_modinfo() {
        assert_eq!(depends(b"\x7fELF\0license=GPL\0depends=netfs,9pnet\0name=9p\0"), ["netfs", "9pnet"]);
        assert_eq!(depends(b"\x7fELF\0depends=jbd2,crc-16\0"), ["jbd2", "crc_16"]);
        assert!(depends(b"\x7fELF\0depends=\0").is_empty());
        assert!(depends(b"\x7fELF").is_empty());
    }

    #[test]
    fn what_a_module_depends_on_is_loaded_before_it_and_once() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let deep = dir.path().join("fs/9p");
        std::fs::create_dir_all(&deep)?;
        for (name, depends) in [("9p", "netfs,9pnet"), ("9pnet-virtio", "9pnet"), ("9pnet", ""), ("netfs", "")] {
            std::fs::write(deep.join(format!("{name}.ko")), format!("\0depends={depends}\0"))?;
        }
        let names: Vec<_> = collect(dir.path(), Path::new("busybox"))?.into_iter().map(|module| module.name).collect();
        assert_eq!(names, ["9pnet", "9pnet_virtio", "netfs", "9p"]);
        Ok(())
    }
}
