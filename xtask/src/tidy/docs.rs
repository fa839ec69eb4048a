//! Links in documents lead somewhere.

use super::Finding;
use super::source::Source;

/// Every link in Markdown to a file of the repository, and to a heading in one. `read` gives a file's text, `exists` knows directories too.
pub(super) fn links(source: &Source<'_>, read: impl Fn(&str) -> Option<String>, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    if !source.has_suffix(&["md"]) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, target) in targets(source.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
        let path = if file.is_empty() { Some(source.path.to_owned()) } else { resolve(source.path, file) };
        let Some(path) = path.filter(|path| exists(path)) else {
            findings.push(source.finding(line, format!("links to {target}, which is not there")));
            continue;
        };
        if let Some(heading) = heading
            && !read(&path).is_some_and(|text| headings(&text).any(|slug| slug == heading))
        {
            findings.push(source.finding(line, format!("links to {target}, and {path} has no such heading")));
        }
    }
    findings
}

/// The targets of `[text](target)` outside code, with their lines.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        for (at, _) in prose.match_indices("](") {
            // In a code span: an odd number of backticks before it.
            if prose[..at].matches('`').count() % 2 == 0
                && let Some((target, _)) = prose[at + 2..].split_once([')', ' '])
            {
                found.push((line, target));
            }
        }
    }
    found
}

/// Lines outside fenced code, from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// `target` as seen from the directory of `from`, relative to the repository; `None` when it leads out.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What headings are linked as: lower case, punctuation dropped, spaces as dashes.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(text: &str) -> Vec<String> {
        let files = [("docs/testing.md", "# Tests\n\n## What runs where, and why\n"), ("README.md", "# Headroom\n")];
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        let exists = |path: &str| path == "docs" || path == "configs/agent.toml" || read(path).is_some();
        links(&Source { path: "docs/guide.md", text }, read, exists).into_iter().map(|finding| finding.why).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "[a](testing.md) [b](../README.md) [c](../configs/agent.toml) [d](https://example.org/x) [e](testing.md#what-runs-where-and-why) ![f](../docs)";
        assert_eq!(broken(text), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        assert_eq!(broken("see [x](missing.md)"), ["links to missing.md, which is not there"]);
        assert_eq!(broken("see [x](../../out.md)"), ["links to ../../out.md, which is not there"]);
        assert_eq!(
            broken("see [x](testing.md#nowhere)"),
            ["links to testing.md#nowhere, and docs/testing.md has no such heading"]
        );
    }

    #[test]
    fn code_has_no_links() {
        assert_eq!(broken("`[x](missing.md)`\n```\n[x](missing.md)\n```\n"), Vec::<String>::new());
    }
}
