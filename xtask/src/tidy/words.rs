//! What no file says: where somebody's machine keeps things, and which servers packages come from.

use super::Finding;
use super::source::Source;

/// Top directories that are somebody's own.
const OWN: [&str; 4] = ["home", "root", "tmp", "work"];
/// Hosts of package registries, without what follows the last dot: clients and lock files know them.
const REGISTRIES: [&str; 5] = ["deb.debian", "registry.npmjs", "files.pythonhosted", "static.crates", "index.crates"];

/// Paths and hosts that only one machine has.
pub(super) fn places(source: &Source<'_>) -> Vec<Finding> {
    if source.path.ends_with(".lock") || source.path.ends_with("-lock.json") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        if let Some(dir) = OWN.iter().find(|dir| has_own_path(line, dir)) {
            findings.push(source.finding(
                at + 1,
                format!("an absolute path below /{dir} is one machine's: take it from an argument or tempfile"),
            ));
        }
        if let Some(host) = REGISTRIES.iter().find(|host| line.contains(&format!("{host}."))) {
            findings.push(source.finding(at + 1, format!("{host}..: which registry is asked is the machine's settings' to say")));
        }
    }
    findings
}

/// `/<dir>/` at the start of a path: nothing that could be a part of one stands before it.
fn has_own_path(line: &str, dir: &str) -> bool {
    let in_path = |c: char| c.is_alphanumeric() || "._-/*}{)]>$%~".contains(c);
    line.match_indices(&format!("/{dir}/")).any(|(at, _)| !line[..at].ends_with(in_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(line: &str) -> bool {
        !places(&Source { path: "docs/a.md", text: line }).is_empty()
    }

    #[test]
    fn own_paths_are_found_and_parts_of_paths_are_not() {
        for dir in OWN {
            assert!(broken(&format!("see /{dir}/x")), "{dir}");
            assert!(broken(&format!("\"/{dir}/x\"")), "{dir}");
            assert!(!broken(&format!("target/{dir}/x")), "{dir}");
            assert!(!broken(&format!("$OUT/{dir}/x and {{out}}/{dir}/x")), "{dir}");
        }
        assert!(!broken("/var/lib/headroom/, /etc/headroom/, /sys/fs/cgroup/"));
    }

    #[test]
    fn registries_are_for_lock_files() {
        let line = format!("http://{}.org/debian", REGISTRIES[0]);
        assert!(broken(&line));
        assert!(places(&Source { path: "Cargo.lock", text: &line }).is_empty());
    }
}
