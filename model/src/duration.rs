//! Lengths of time as people write them: `100ms`, `1.5 s`, `5min`.

/// The seconds in a number with a unit: `us`, `ms`, `s`, `min` (or `m`), `h`, `d`. `None` for everything else, also for a bare number.
pub fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (amount, unit) = text.split_at(unit_at);
    let factor = match unit.trim_start() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(amount.parse::<f64>().ok()? * factor).filter(|seconds| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        let all = [
            ("250us", 0.00025),
            ("100ms", 0.1),
            (" 1.5 s ", 1.5),
            ("2min", 120.0),
            ("2m", 120.0),
            ("1.5h", 5400.0),
            ("2d", 172_800.0),
            ("0s", 0.0),
        ];
        for (text, expected) in all {
            assert!((seconds(text).unwrap() - expected).abs() < 1e-12, "{text}");
        }
        for not in ["", "100", "s", "ms", "5 weeks", "-1s", "1.2.3s", "1e3s", "5 s s", "5 S"] {
            assert_eq!(seconds(not), None, "{not}");
        }
        assert_eq!(seconds(&("9".repeat(400) + "s")), None);
    }
}
