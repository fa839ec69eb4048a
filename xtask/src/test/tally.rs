//! Counting what test programs say, and the summary.

use std::fmt::Write;

use super::{Outcome, Step};

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl Tally {
    /// Counts a test program's run: its `test result:` lines, and one failure when it ended badly without naming one.
    pub(crate) fn of_run(output: &str, success: bool) -> Self {
        let mut tally = Self::default();
        let mut results = 0;
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            results += 1;
            let count = |what: &str| {
                let (before, _) = line.split_once(&format!(" {what}"))?;
                before.rsplit(' ').next()?.parse::<u32>().ok()
            };
            tally.passed += count("passed").unwrap_or(0);
            tally.failed += count("failed").unwrap_or(0);
            tally.ignored += count("ignored").unwrap_or(0);
        }
        if tally.failed == 0 && (!success || results == 0) {
            tally.failed = 1;
        }
        tally
    }

    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed, ignored: self.ignored + other.ignored }
    }
}

/// A table of what ran where, and as the last line the counts over all; whether everything passed. A check counts as one.
pub(crate) fn summary(steps: &[Step]) -> (String, bool) {
    let mut total = Tally::default();
    let mut text = String::new();
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    for Step { name, outcome, seconds } in steps {
        let said = match outcome {
            Outcome::Tests(tally) => {
                total = total.plus(*tally);
                let Tally { passed, failed, ignored } = tally;
                format!("{passed} passed, {failed} failed, {ignored} ignored")
            }
            Outcome::Check { passed } => {
                let tally = Tally { passed: u32::from(*passed), failed: u32::from(!passed), ignored: 0 };
                total = total.plus(tally);
                if *passed { "clean".to_owned() } else { "FAILED".to_owned() }
            }
            Outcome::LeftOut(why) => format!("left out ({why})"),
        };
        // Writing to a String does not fail.
        drop(writeln!(text, "{name:<width$}  {said}  ({seconds:.0} s)"));
    }
    let passed = total.failed == 0;
    let Tally { passed: good, failed, ignored } = total;
    let word = if passed { "ok" } else { "FAILED" };
    drop(writeln!(text, "test result: {word}. {good} passed; {failed} failed; {ignored} ignored"));
    (text, passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "\nrunning 2 tests\ntest a ... ok\n\ntest result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.02s\n";

    #[test]
    fn results_are_counted() {
        assert_eq!(Tally::of_run(OK, true), Tally { passed: 12, failed: 0, ignored: 3 });
        assert_eq!(Tally::of_run(&format!("{OK}{OK}"), true).passed, 24);
        let failed = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(Tally::of_run(failed, false), Tally { passed: 1, failed: 2, ignored: 0 });
    }

    #[test]
    fn what_dies_or_says_nothing_has_failed() {
        assert_eq!(Tally::of_run("running 3 tests\n", false).failed, 1);
        assert_eq!(Tally::of_run("", true).failed, 1);
        assert_eq!(Tally::of_run(OK, false).failed, 1);
    }

    #[test]
    fn the_last_line_is_as_cargos_own() {
        let step = |outcome| Step { name: "here".to_owned(), outcome, seconds: 1.0 };
        let tests = Tally { passed: 12, failed: 0, ignored: 3 };
        let mut steps =
            vec![step(Outcome::Tests(tests)), step(Outcome::Check { passed: true }), step(Outcome::LeftOut("why".to_owned()))];
        let (text, passed) = summary(&steps);
        assert!(passed && text.contains("left out (why)"));
        assert_eq!(text.lines().last(), Some("test result: ok. 13 passed; 0 failed; 3 ignored"));
        steps.push(step(Outcome::Check { passed: false }));
        let (text, passed) = summary(&steps);
        assert!(!passed);
        assert_eq!(text.lines().last(), Some("test result: FAILED. 13 passed; 1 failed; 3 ignored"));
    }
}
