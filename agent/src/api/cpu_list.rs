//! The kernel's list form of CPUs: `0-3,8`.

/// More CPUs than any kernel is built for.
const MOST: u32 = 65_536;

/// The CPUs of a list, ascending, each once; says what is wrong with another text. The empty list is the empty text.
pub(super) fn parse(text: &str) -> Result<Vec<u32>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last && cpus.len() < MOST as usize => cpus.extend(first..=last),
            _ => return Err(format!("{part:?} is no CPU; expected a list such as \"0,1\" or \"0-3\"")),
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|cpu| digits && *cpu < MOST)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_are_read_as_the_kernel_reads_them() {
        assert_eq!(parse("0-2,5, 4"), Ok(vec![0, 1, 2, 4, 5]));
        assert_eq!(parse("1,1,0-1"), Ok(vec![0, 1]));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["a", "1-", "-1", "3-1", "0,,1", "0x1", "+1", "0-4294967295", "1-2-3", ","] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
