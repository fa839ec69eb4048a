//! Counting what test programs say, and the summary.

use std::fmt;

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

/// What came of one test program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// For people: `headroom-agent sampler`.
    pub(crate) name: String,
    pub(crate) tally: Tally,
    /// Each test that ran, by name, and whether it passed.
    pub(crate) tests: Vec<(String, bool)>,
}

impl Program {
    /// Of what it wrote.
    pub(crate) fn of_run(name: String, output: &str, success: bool) -> Self {
        let test = |line: &str| {
            let (test, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
            let passed = match outcome.split(' ').next()? {
                "ok" => true,
                "FAILED" => false,
                _ => return None,
            };
            let name = test.split_once(" - ").map_or(test, |(test, _)| test);
            Some((name.to_owned(), passed))
        };
        Self { name, tally: Tally::of_run(output, success), tests: output.lines().filter_map(test).collect() }
    }

    /// One that was not run to its end: one failure.
    pub(crate) fn unfinished(name: String) -> Self {
        Self { name, tally: Tally { failed: 1, ..Tally::default() }, tests: Vec::new() }
    }
}

/// A table of what ran where, and as the last line the counts over all; whether everything passed. A check counts as one.
pub(crate) fn summary(steps: &[Step]) -> (String, bool) {
    let total = steps.iter().map(|step| step.outcome.tally()).fold(Tally::default(), Tally::plus);
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let line = |Step { name, outcome, seconds, .. }: &Step| format!("{name:<width$}  {outcome}  ({seconds:.0} s)\n");
    let table: String = steps.iter().map(line).collect();
    let bad = |step: &Step| {
        let failed = step.outcome.programs().iter().filter(|program| program.tally.failed > 0);
        failed.map(|program| format!("FAILED on {}: {}\n", step.name, program.name)).collect::<Vec<_>>()
    };
    let bad: String = steps.iter().flat_map(bad).collect();
    let Tally { passed, failed, ignored } = total;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    (format!("{table}{bad}test result: {word}. {passed} passed; {failed} failed; {ignored} ignored\n"), failed == 0)
}

impl Outcome {
    /// The test programs that ran.
    pub(crate) fn programs(&self) -> &[Program] {
        match self {
            Self::Tests(programs) => programs,
            Self::Check { .. } | Self::LeftOut(_) => &[],
        }
    }

    /// What it adds to the counts: a check is one.
    fn tally(&self) -> Tally {
        match self {
            Self::Tests(programs) => programs.iter().map(|program| program.tally).fold(Tally::default(), Tally::plus),
            Self::Check { passed } => Tally { passed: u32::from(*passed), failed: u32::from(!passed), ignored: 0 },
            Self::LeftOut(_) => Tally::default(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tests(_) => {
                let Tally { passed, failed, ignored } = self.tally();
                write!(f, "{passed} passed, {failed} failed, {ignored} ignored")
            }
            Self::Check { passed: true } => f.write_str("clean"),
            Self::Check { passed: false } => f.write_str("FAILED"),
            Self::LeftOut(why) => write!(f, "left out: {why}"),
        }
    }
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
    fn each_test_is_known_by_name() {
        let output = "test a::b ... ok (5 s)\ntest a::c - should panic ... FAILED\ntest d ... ignored, why\ntest e ... noise\n";
        let program = Program::of_run("p".to_owned(), output, false);
        assert_eq!(program.tests, [("a::b".to_owned(), true), ("a::c".to_owned(), false)]);
    }

    #[test]
    fn what_dies_or_says_nothing_has_failed() {
        assert_eq!(Tally::of_run("running 3 tests\n", false).failed, 1);
        assert_eq!(Tally::of_run("", true).failed, 1);
        assert_eq!(Tally::of_run(OK, false).failed, 1);
    }

    #[test]
    fn the_last_line_is_as_cargos_own() {
        let step = |outcome| Step { name: "here".to_owned(), ground: None, outcome, seconds: 1.0 };
        let tests =
            Program { name: "agent sampler".to_owned(), tally: Tally { passed: 12, failed: 0, ignored: 3 }, tests: Vec::new() };
        let mut steps = vec![
            step(Outcome::Tests(vec![tests])),
            step(Outcome::Check { passed: true }),
            step(Outcome::LeftOut("why".to_owned())),
        ];
        let (text, passed) = summary(&steps);
        assert!(passed && text.contains("left out: why") && !text.contains("FAILED on"));
        assert_eq!(text.lines().last(), Some("test result: ok. 13 passed; 0 failed; 3 ignored"));
        steps.push(step(Outcome::Tests(vec![Program::unfinished("agent sampler".to_owned())])));
        let (text, passed) = summary(&steps);
        assert!(!passed && text.contains("FAILED on here: agent sampler\n"));
        assert_eq!(text.lines().last(), Some("test result: FAILED. 13 passed; 1 failed; 3 ignored"));
    }
}
