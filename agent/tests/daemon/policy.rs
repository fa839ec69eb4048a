//! The classic rules' arithmetic, as a reader of the log would check it.

use crate::agent::Decided;

/// What a decision did is what its rule in the classic profile makes of the numbers in its reason; min, max and boundary are the
/// container's.
pub(crate) fn assert_follows(decided: &Decided, [min, max, boundary]: [u32; 3]) {
    let (from, to) = (decided.from.unwrap(), decided.to.unwrap());
    let (_, counted) = decided.why.split_once("): ").unwrap();
    let count =
        |word| counted.split([',', ';']).find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u32>().ok()).unwrap();
    assert_eq!(decided.outcome, "applied", "{decided:?}");
    match decided.action.as_str() {
        "CpuRescaleUp" => {
            assert!(
                decided.why.starts_with("CpuRescaleUp (amount 75): ") && count("up") >= 2 && count("down") <= 2,
                "{decided:?}"
            );
            assert_eq!(decided.to, Some((from + 75.0).min(f64::from(max))), "{decided:?}");
        }
        "CpuRescaleDown" => {
            assert!(decided.why.starts_with("CpuRescaleDown (fit_to_usage): 0 up, ") && count("down") >= 6, "{decided:?}");
            // trunc(usage + max(trunc(m / 2), 1) + m), to the two digits that are shown of the usage, and no less than min + 2 * m.
            let fit = |usage: f64| (usage + f64::from(boundary / 2 + boundary)).trunc().max(f64::from(min + 2 * boundary));
            let usage = decided.usage();
            assert!((fit(usage - 0.005)..=fit(usage + 0.005)).contains(&to) && to < from, "{decided:?}");
        }
        _ => panic!("{decided:?}"),
    }
}
