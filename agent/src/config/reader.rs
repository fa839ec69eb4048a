//! Walks a TOML document key by key, and remembers what was asked for and what was wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;

/// The value as the file spells it is shown up to here.
const SHOWN: usize = 60;

/// A settings file that is being read.
pub(super) struct Sheet<'a> {
    text: &'a str,
    file: &'a str,
    problems: RefCell<Vec<Problem>>,
    /// Every key that was asked for, with its tables.
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, problems: RefCell::default(), asked: RefCell::default() }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text.as_bytes().iter().take(span.start).filter(|&&byte| byte == b'\n').count() + 1
    }

    pub(super) fn problem(&self, span: Range<usize>, key: &str, value: &str, message: String) {
        let line = self.line(&span);
        let (key, value) = (key.to_owned(), shown(value));
        self.problems.borrow_mut().push(Problem { file: self.file.to_owned(), line, key, value, message });
    }

    /// Everything that was wrong, in the file's order, and every key that was asked for.
    pub(super) fn close(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| p.line);
        (problems, self.asked.into_inner())
    }
}

fn shown(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(SHOWN).collect();
    if cut.len() < value.len() { cut + ".." } else { cut }
}

/// One table of the file; one that is missing reads as empty. Every section ends with [`Section::close`].
pub(super) struct Section<'a> {
    sheet: &'a Sheet<'a>,
    path: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    known: RefCell<BTreeSet<&'static str>>,
}

/// A key with its value.
type Entry<'a> = &'a Spanned<DeValue<'a>>;

/// Turns a value into what it means, or says what was expected.
pub(super) trait Kind<T>: FnOnce(&DeValue<'_>) -> Result<T, String> {}
impl<T, F: FnOnce(&DeValue<'_>) -> Result<T, String>> Kind<T> for F {}

impl<'a> Section<'a> {
    pub(super) fn root(sheet: &'a Sheet<'a>, root: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(sheet, String::new(), root.span(), Some(root.get_ref()))
    }

    fn new(sheet: &'a Sheet<'a>, path: String, span: Range<usize>, table: Option<&'a DeTable<'a>>) -> Self {
        Self { sheet, path, span, table, known: RefCell::default() }
    }

    fn entry(&self, key: &'static str) -> Option<Entry<'a>> {
        self.known.borrow_mut().insert(key);
        self.sheet.asked.borrow_mut().insert(self.full(key));
        self.table?.get(key)
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where it stands: `agent.toml:12`.
    pub(super) fn origin(&self) -> String {
        format!("{}:{}", self.sheet.file, self.sheet.line(&self.span))
    }

    /// Whether the file has this table.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has `key` in this table, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The value of `key`, if it is there and right; what is wrong with it is noted.
    pub(super) fn maybe<T>(&self, key: &'static str, kind: impl Kind<T>) -> Option<T> {
        let entry = self.entry(key)?;
        kind(entry.get_ref()).map_err(|message| self.wrong(key, message)).ok()
    }

    /// The value of `key`, or the default where it is missing or wrong (then the file is refused anyway).
    pub(super) fn or<T>(&self, key: &'static str, default: T, kind: impl Kind<T>) -> T {
        self.maybe(key, kind).unwrap_or(default)
    }

    /// The value of `key`, which has to be there.
    pub(super) fn need<T>(&self, key: &'static str, why: &str, kind: impl Kind<T>) -> Option<T> {
        if self.entry(key).is_none() {
            self.sheet.problem(self.span.clone(), &self.full(key), "", format!("is missing: {why}"));
        }
        self.maybe(key, kind)
    }

    /// The values of an array, each judged by itself.
    pub(super) fn list<T>(&self, key: &'static str, default: Vec<T>, kind: impl Fn(&DeValue<'_>) -> Result<T, String>) -> Vec<T> {
        let Some(entry) = self.entry(key) else { return default };
        let Some(items) = entry.get_ref().as_array() else {
            self.wrong(key, "expected a list, such as [\"a\", \"b\"]".to_owned());
            return default;
        };
        let note =
            |item: Entry<'_>, message| self.sheet.problem(item.span(), &self.full(key), &self.sheet.text[item.span()], message);
        items.iter().filter_map(|item| kind(item.get_ref()).map_err(|message| note(item, message)).ok()).collect()
    }

    /// Notes that the value of `key` is wrong.
    pub(super) fn wrong(&self, key: &'static str, message: String) {
        let found = self.table.and_then(|table| table.get(key));
        let span = found.map_or_else(|| self.span.clone(), Spanned::span);
        let value = found.map_or("", |entry| &self.sheet.text[entry.span()]);
        self.sheet.problem(span, &self.full(key), value, message);
    }

    /// The table `key` within this one.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let entry = self.entry(key);
        let table = entry.and_then(|entry| entry.get_ref().as_table());
        if entry.is_some() && table.is_none() {
            self.wrong(key, format!("expected a table, [{}]", self.full(key)));
        }
        Section::new(self.sheet, self.full(key), entry.map_or_else(|| self.span.clone(), Spanned::span), table)
    }

    /// The tables `[[key]]` within this one, in the file's order.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let Some(items) = entry.get_ref().as_array() else {
            self.wrong(key, format!("expected tables, each headed [[{}]]", self.full(key)));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => sections.push(Section::new(self.sheet, self.full(key), item.span(), Some(table))),
                None => self.wrong(key, format!("expected tables, each headed [[{}]]", self.full(key))),
            }
        }
        sections
    }

    /// Refuses what nobody asked for.
    pub(super) fn close(self) {
        let known = self.known.borrow();
        let Some(table) = self.table else { return };
        for key in table.keys().filter(|key| !known.contains(key.get_ref().as_ref())) {
            let near = known.iter().map(|name| (distance(key.get_ref(), name), name)).filter(|(d, _)| *d <= 2).min();
            let message = match near {
                Some((_, name)) => format!("unknown key; did you mean {name:?}?"),
                None => format!("unknown key; known here are {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.sheet.problem(key.span(), &self.full(key.get_ref()), "", message);
        }
    }
}

/// How many letters two words differ by (Levenshtein), without regard to case and to `-` for `_`.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| s.to_lowercase().replace('-', "_").chars().collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let step = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("windw", "window"), 1);
        assert_eq!(distance("on-death", "on_death"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
