//! The texts of cgroupfs: pure, and without allocation where windows and writes need them.

use std::fmt;

use headroom_model::limit::Limit;

/// Bytes in a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;

/// From here on a number means "no limit": v1 shows the largest multiple of the page size, 9223372036854771712.
const BOUNDLESS: u64 = 1 << 62;

/// A line to be written, on the stack.
#[derive(Clone, Copy)]
pub(super) struct Line {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Line {
    /// Room for two numbers of 20 digits.
    const CAPACITY: usize = 48;

    /// What `text` formats to. What would not fit is cut, which no number does.
    pub(super) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; Self::CAPACITY], len: 0 };
        let _fits: fmt::Result = fmt::write(&mut line, text);
        line
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// A whole number to be written: rounded; `None` where it is negative, not a number, or past 2^53.
pub(super) fn whole(value: f64) -> Option<u64> {
    let rounded = value.round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the guard leaves what a u64 holds exactly")]
    (0.0..=9_007_199_254_740_992.0).contains(&rounded).then_some(rounded as u64)
}

/// The value of `key` in lines of `key value`.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Bytes as a limit in MiB: "max" and the boundless numbers of v1 are no limit.
pub(super) fn limit_mib(text: &str) -> Option<Limit> {
    match text.trim() {
        "max" | "-1" => Some(Limit::Unlimited),
        number => {
            let bytes: u64 = number.parse().ok()?;
            Some(if bytes >= BOUNDLESS { Limit::Unlimited } else { Limit::At(bytes as f64 / MIB) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_two_of_the_largest_numbers() {
        let line = Line::new(format_args!("{} {}", u64::MAX, u64::MAX));
        assert_eq!(line.as_str(), "18446744073709551615 18446744073709551615");
    }

    #[test]
    fn a_key_is_matched_whole() {
        let text = "usage_usec_total 9\nusage_usec 12\nuser_usec 7\n";
        assert_eq!(value_of(text, "usage_usec"), Some(12));
        assert_eq!(value_of(text, "usage"), None);
    }

    #[test]
    fn what_means_no_limit() {
        for text in ["max\n", "-1", "9223372036854771712\n", "9223372036854775807", "18446744073709551615"] {
            assert_eq!(limit_mib(text), Some(Limit::Unlimited), "{text}");
        }
        assert_eq!(limit_mib("0\n"), Some(Limit::At(0.0)));
        assert_eq!(limit_mib("67108864"), Some(Limit::At(64.0)));
        assert_eq!(limit_mib("lots"), None);
    }

    #[test]
    fn only_what_fits_becomes_a_whole_number() {
        assert_eq!(whole(1.5), Some(2));
        assert_eq!(whole(-0.2), Some(0));
        for none in [-1.0, f64::NAN, f64::INFINITY, 1e16] {
            assert_eq!(whole(none), None, "{none}");
        }
    }
}
