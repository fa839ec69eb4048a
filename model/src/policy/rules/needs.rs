//! How many events a condition on the counts asks for, found in its text.

use serde_json::Value;

/// The least counts with which a condition can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Counts {
    /// Those that a condition asks for, as far as it says so plainly.
    pub(super) fn of(condition: &Value) -> Self {
        let Some((operator, arguments)) = condition.as_object().filter(|m| m.len() == 1).and_then(|m| m.iter().next()) else {
            return Self::default();
        };
        let parts = arguments.as_array().map_or(&[][..], Vec::as_slice);
        match (operator.as_str(), parts) {
            ("and", parts) => parts.iter().map(Self::of).fold(Self::default(), Self::both),
            ("or", [first, others @ ..]) => others.iter().map(Self::of).fold(Self::of(first), Self::cheaper),
            (">=" | "==" | "===", [var, Value::Number(n)]) | ("<=" | "==" | "===", [Value::Number(n), var]) => {
                Self::asked(var, n, 0.0)
            }
            (">", [var, Value::Number(n)]) | ("<", [Value::Number(n), var]) => Self::asked(var, n, 1.0),
            _ => Self::default(),
        }
    }

    fn asked(var: &Value, n: &serde_json::Number, more: f64) -> Self {
        let n = n.as_f64().map_or(0.0, |n| n.floor() + more).max(0.0);
        match var.get("var").and_then(Value::as_str) {
            Some("events.scale.up") => Self { up: n, down: 0.0 },
            Some("events.scale.down") => Self { up: 0.0, down: n },
            _ => Self::default(),
        }
    }

    fn both(self, other: Self) -> Self {
        Self { up: self.up.max(other.up), down: self.down.max(other.down) }
    }

    fn cheaper(self, other: Self) -> Self {
        if other.up + other.down < self.up + self.down { other } else { self }
    }

    /// How many windows it takes when each gives so many events; `None` if a direction that is needed gives none.
    pub(super) fn windows(self, per_window: Self) -> Option<u32> {
        Some(windows(self.up, per_window.up)?.saturating_add(windows(self.down, per_window.down)?))
    }
}

fn windows(needed: f64, each: f64) -> Option<u32> {
    if needed <= 0.0 {
        return Some(0);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a float cast saturates")]
    (each > 0.0).then(|| (needed / each).ceil() as u32)
}
