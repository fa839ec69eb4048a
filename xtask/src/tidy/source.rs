//! A file as the rules see it.

use super::Finding;

/// A text file of the repository.
pub(super) struct Source<'a> {
    /// Relative to the repository.
    pub(super) path: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Source<'a> {
    /// Whether this is Rust that ships: below a `src`, and no test.
    pub(super) fn is_shipped_rust(&self) -> bool {
        let stem = self.path.rsplit('/').next().unwrap_or_default();
        self.is_rust() && self.path.contains("src/") && stem != "tests.rs" && !self.path.contains("/tests/")
    }

    pub(super) fn is_rust(&self) -> bool {
        self.has_suffix(&["rs"])
    }

    pub(super) fn has_suffix(&self, suffixes: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, suffix)| suffixes.contains(&suffix))
    }

    /// Whether the file is `<module>.rs` or in the directory `<module>/`.
    pub(super) fn is_of(&self, module: &str) -> bool {
        self.path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// The lines of code with their numbers: without comments, and without what follows `#[cfg(test)] mod tests`.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let lines: Vec<&'a str> = self.text.lines().collect();
        let tests =
            lines.windows(2).position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod "));
        let code = lines.into_iter().take(tests.unwrap_or(usize::MAX)).enumerate();
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(at, line)| (at + 1, line.split(" // ").next().unwrap_or(line)))
    }

    /// A finding at each line of code in which one of these stands as whole words.
    pub(super) fn findings(&self, phrases: &[&str], why: &str) -> Vec<Finding> {
        self.code()
            .filter_map(|(line, code)| {
                let phrase = phrases.iter().find(|phrase| has_phrase(&without_strings(code), phrase))?;
                Some(self.finding(line, format!("`{phrase}`: {why}")))
            })
            .collect()
    }

    pub(super) fn finding(&self, line: usize, why: impl Into<String>) -> Finding {
        Finding { path: self.path.to_owned(), line, why: why.into() }
    }
}

/// A line of code with what its string literals say left out.
fn without_strings(code: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    let keep = |&c: &char| {
        let quote = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        inside ^= quote;
        quote || !inside
    };
    code.chars().filter(keep).collect()
}

/// Whether `phrase` is in `code` with no letter, digit or underscore next to it.
fn has_phrase(code: &str, phrase: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + phrase.len()..]);
        let open = !phrase.starts_with(is_name) || !before.ends_with(is_name);
        open && (!phrase.ends_with(is_name) || !after.starts_with(is_name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_whole_words() {
        assert!(has_phrase("use aya::Ebpf;", "aya"));
        assert!(!has_phrase("let ayale = 1; my_aya", "aya"));
        assert!(has_phrase("std::env::var(\"X\")", "env::var"));
        assert!(!has_phrase("env::vary()", "env::var"));
    }

    #[test]
    fn code_is_without_comments_and_tests() {
        let text = "//! docs\nuse a; // why\n#[cfg(test)]\nuse b;\nfn f() {}\n#[cfg(test)]\nmod tests {\n use c;\n}\n";
        let code: Vec<_> = Source { path: "x/src/a.rs", text }.code().collect();
        assert_eq!(code, [(2, "use a;"), (3, "#[cfg(test)]"), (4, "use b;"), (5, "fn f() {}")]);
    }

    #[test]
    fn what_strings_say_is_no_code() {
        assert_eq!(without_strings(r#"f("a \" b", x, "")"#), r#"f("", x, "")"#);
    }

    #[test]
    fn tests_are_not_shipped() {
        let shipped = |path| Source { path, text: "" }.is_shipped_rust();
        assert!(shipped("agent/src/cgroup.rs") && shipped("xtask/src/main.rs"));
        assert!(
            !shipped("agent/src/cgroup/tests.rs")
                && !shipped("agent/tests/x.rs")
                && !shipped("agent/benches/b.rs")
                && !shipped("a/src/x.md")
        );
    }

    #[test]
    fn a_module_is_its_file_and_its_directory() {
        let is_of = |path| Source { path, text: "" }.is_of("agent/src/cgroup");
        assert!(is_of("agent/src/cgroup.rs") && is_of("agent/src/cgroup/v2.rs"));
        assert!(!is_of("agent/src/cgroups.rs") && !is_of("agent/src/scaler.rs"));
    }
}
