//! Writes the Prometheus text format.

use std::fmt::Write;

/// What kind of numbers a family has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// A page of metrics in the making.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// One family, whose samples follow. A family without samples leaves nothing behind.
pub(super) struct Family<'a> {
    page: &'a mut Exposition,
    name: &'a str,
    start: usize,
    headed: usize,
}

impl Exposition {
    pub(super) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let start = self.text.len();
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let headed = self.text.len();
        Family { page: self, name, start, headed }
    }

    /// One number without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Writing to a `String` cannot fail.
    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).unwrap_or_default();
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.suffixed("", labels, value);
    }

    /// A histogram's `_bucket`, `_sum` and `_count`.
    pub(super) fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.page.push(format_args!("{}{suffix}", self.name));
        for (i, (label, text)) in labels.iter().enumerate() {
            let opening = if i == 0 { '{' } else { ',' };
            self.page.push(format_args!("{opening}{label}=\"{}\"", escaped(text)));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        if value.is_infinite() {
            self.page.push(format_args!("{closing} {}Inf\n", if value > 0.0 { '+' } else { '-' }));
        } else {
            self.page.push(format_args!("{closing} {value}\n"));
        }
    }
}

impl Drop for Family<'_> {
    fn drop(&mut self) {
        if self.page.text.len() == self.headed {
            self.page.text.truncate(self.start);
        }
    }
}

/// A label's value: backslash, quote and line end are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
