//! How files are cut and what every package opts into.

use super::Finding;
use super::source::Source;

/// The longest that a file of code may be, in lines. Most are a third of it.
const LONGEST: usize = 500;

/// Code that one reads in one sitting.
pub(super) fn length(source: &Source<'_>) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let long = source.has_suffix(&["rs", "sh", "js", "py", "html", "css"]) && lines > LONGEST;
    let why = || format!("{lines} lines, and {LONGEST} is the most: split it by what its parts are about");
    long.then(|| source.finding(0, why())).into_iter().collect()
}

/// `foo.rs` stands beside `foo/`, so that an editor's tabs have names.
pub(super) fn no_mod_rs(source: &Source<'_>) -> Vec<Finding> {
    let broken = source.path == "mod.rs" || source.path.ends_with("/mod.rs");
    broken.then(|| source.finding(0, "name it after its module, beside the module's directory")).into_iter().collect()
}

/// Every member of the workspace takes the workspace's lints. The eBPF side is none: it has a workspace of its own.
pub(super) fn lints(source: &Source<'_>) -> Vec<Finding> {
    let member = source.path.ends_with("/Cargo.toml") && source.path != "agent-ebpf/Cargo.toml";
    if !member || !source.text.lines().any(|line| line.trim() == "[package]") {
        return Vec::new();
    }
    let mut lines = source.text.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    let opted = lines.find(|line| !line.is_empty()) == Some("workspace = true");
    if opted { Vec::new() } else { vec![source.finding(0, "lacks `[lints] workspace = true`")] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source<'a>(path: &'a str, text: &'a str) -> Source<'a> {
        Source { path, text }
    }

    #[test]
    fn a_file_of_500_lines_is_not_too_long() {
        assert!(length(&source("a/src/x.rs", &"x\n".repeat(500))).is_empty());
        assert_eq!(length(&source("a/src/x.rs", &"x\n".repeat(501))).len(), 1);
        assert!(length(&source("Cargo.lock", &"x\n".repeat(2000))).is_empty());
    }

    #[test]
    fn mod_rs_is_refused_and_its_likes_are_not() {
        assert_eq!(no_mod_rs(&source("agent/src/scaler/mod.rs", "")).len(), 1);
        assert!(no_mod_rs(&source("agent/src/scaler/amod.rs", "")).is_empty());
    }

    #[test]
    fn members_opt_into_the_lints() {
        let with = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";
        assert!(lints(&source("x/Cargo.toml", with)).is_empty());
        assert_eq!(lints(&source("x/Cargo.toml", "[package]\nname = \"x\"\n")).len(), 1);
        assert_eq!(lints(&source("x/Cargo.toml", "[package]\n[lints]\nworkspace = false\n")).len(), 1);
        assert!(lints(&source("Cargo.toml", "[workspace]\n")).is_empty());
        assert!(lints(&source("agent-ebpf/Cargo.toml", "[package]\n")).is_empty());
    }
}
