//! A line of the table.

use std::fmt::Write as _;

/// What was measured, beside what it may be.
pub(super) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bound: Bound,
}

/// Which way is good.
enum Bound {
    /// Only told.
    None,
    /// Not even that: only kept in the JSON.
    Kept,
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    /// Something that explains another row.
    pub(super) fn told(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, bound: Bound::None }
    }

    /// One of many, which have a table of their own.
    pub(super) fn kept(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, bound: Bound::Kept }
    }

    pub(super) fn at_most(limit: f64, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, bound: Bound::AtMost(limit) }
    }

    pub(super) fn at_least(limit: f64, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, bound: Bound::AtLeast(limit) }
    }

    /// A value that is no number is over every limit.
    pub(super) fn is_ok(&self) -> bool {
        match self.bound {
            Bound::None | Bound::Kept => true,
            Bound::AtMost(limit) => self.value <= limit,
            Bound::AtLeast(limit) => self.value >= limit,
        }
    }
}

/// `{"<what>": {"value", "unit", "limit"}, ..}`, without `limit` for what is only told.
pub(super) fn json(rows: &[Row]) -> serde_json::Value {
    let row = |row: &Row| {
        let mut object = serde_json::json!({"value": row.value, "unit": row.unit});
        if let Bound::AtMost(limit) | Bound::AtLeast(limit) = row.bound {
            object["limit"] = limit.into();
        }
        (row.what.clone(), object)
    };
    serde_json::Value::Object(rows.iter().map(row).collect())
}

/// For people.
pub(super) fn table(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| !matches!(row.bound, Bound::Kept)).collect();
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let limit = match row.bound {
            Bound::None | Bound::Kept => String::new(),
            Bound::AtMost(limit) => format!("<= {limit}"),
            Bound::AtLeast(limit) => format!(">= {limit}"),
        };
        let verdict = match row.bound {
            Bound::None | Bound::Kept => "",
            _ if row.is_ok() => "ok",
            _ => "OVER",
        };
        let line = format!("{:<width$}  {:>12} {:<10} {limit:<11} {verdict}", row.what, number(row.value), row.unit);
        // A string takes everything.
        writeln!(text, "{}", line.trim_end()).ok();
    }
    text
}

/// Four digits that matter.
fn number(value: f64) -> String {
    let decimals = if value.abs() >= 1000.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_good_side() {
        assert!(Row::at_most(5.0, "a", 5.0, "%").is_ok() && !Row::at_most(5.0, "a", 5.1, "%").is_ok());
        assert!(Row::at_least(5.0, "a", 5.0, "x").is_ok() && !Row::at_least(5.0, "a", 4.9, "x").is_ok());
        assert!(Row::told("a", f64::NAN, "x").is_ok() && !Row::at_most(5.0, "a", f64::NAN, "x").is_ok());
    }

    #[test]
    fn results_have_the_shape_that_is_promised() {
        let rows = [Row::at_most(80.0, "net", 62.5, "ns"), Row::told("empty", 60.0, "ns"), Row::kept("one of many", 1.0, "s")];
        let expected = serde_json::json!({"net": {"value": 62.5, "unit": "ns", "limit": 80.0},
            "empty": {"value": 60.0, "unit": "ns"}, "one of many": {"value": 1.0, "unit": "s"}});
        assert_eq!(json(&rows), expected);
        let table = table(&rows);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["net", "62.5", "ns", "<=", "80", "ok"], vec!["empty", "60.0", "ns"]]);
    }
}
