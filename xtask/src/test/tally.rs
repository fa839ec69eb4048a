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
    /// Counts a test program's run: its summaries, and one failure when it ended badly without naming one.
    pub(crate) fn of_run(output: &str, success: bool) -> Self {
        let summaries = Self::of_summaries(output);
        let mut tally = summaries.unwrap_or_default();
        if tally.failed == 0 && (!success || summaries.is_none()) {
            tally.failed = 1;
        }
        tally
    }

    /// The sum of its `test result:` lines; `None` where there is none.
    fn of_summaries(output: &str) -> Option<Self> {
        let lines = output.lines().filter_map(|line| line.strip_prefix("test result: "));
        let tally = |line: &str| {
            let count = |what: &str| {
                let (before, _) = line.split_once(&format!(" {what}"))?;
                before.rsplit(' ').next()?.parse::<u32>().ok()
            };
            let [passed, failed, ignored] = ["passed", "failed", "ignored"].map(|what| count(what).unwrap_or(0));
            Self { passed, failed, ignored }
        };
        lines.map(tally).reduce(Self::plus)
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
    /// Its summaries count other tests than its lines name: what is known of each by name is not to be relied on.
    names_are_off: Option<String>,
}

impl Program {
    /// Of what it wrote.
    pub(crate) fn of_run(name: String, output: &str, success: bool) -> Self {
        let tests = named(output);
        let passed = tests.iter().filter(|(_, passed)| *passed).count();
        let failed = tests.len() - passed;
        let counted = Tally::of_summaries(output).filter(|sum| (sum.passed as usize, sum.failed as usize) != (passed, failed));
        let names_are_off = counted.map(|sum| {
            format!(
                "its lines name {passed} tests that passed and {failed} that failed, its summaries count {} and {}: expected the same; \
                 look in its output for a test's line that other output has got into",
                sum.passed, sum.failed
            )
        });
        let mut tally = Tally::of_run(output, success);
        if names_are_off.is_some() {
            tally.failed = tally.failed.max(1);
        }
        Self { name, tally, tests, names_are_off }
    }

    /// One that was not run to its end: one failure.
    pub(crate) fn unfinished(name: String) -> Self {
        Self { name, tally: Tally { failed: 1, ..Tally::default() }, tests: Vec::new(), names_are_off: None }
    }
}

/// Each test that ran, by name, and whether it passed. One that began and never said what came of it has not.
fn named(output: &str) -> Vec<(String, bool)> {
    let mut tests: Vec<(&str, Option<Verdict>)> = Vec::new();
    let mut is_open = false;
    let mut is_report = false;
    for line in output.lines() {
        // What failed tests wrote, which may be such lines, stands between these.
        is_report = line == "failures:" || (is_report && !line.starts_with("test result: "));
        let begun = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")).filter(|_| !is_report);
        if let Some((test, _)) = begun {
            tests.push((test, None));
        }
        is_open = (is_open || begun.is_some()) && !is_report && !line.starts_with("test result: ");
        // With one test at a time its result comes after everything that its processes wrote meanwhile: the last one counts.
        if let Some((_, verdict)) = tests.last_mut().filter(|_| is_open) {
            *verdict = Verdict::at_end_of(begun.map_or(line, |(_, rest)| rest)).or(*verdict);
        }
    }
    let ran = tests.into_iter().filter(|(_, verdict)| *verdict != Some(Verdict::Ignored));
    let name = |test: &str| test.split_once(" - ").map_or(test, |(test, _)| test).to_owned();
    ran.map(|(test, verdict)| (name(test), verdict == Some(Verdict::Passed))).collect()
}

/// What a test program says of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Ignored,
}

impl Verdict {
    /// `ok`, `ok (5 s)`, `FAILED`, `ignored, why`; before the first and the third there may be half a line of something else.
    fn at_end_of(line: &str) -> Option<Self> {
        match line.split([' ', ',']).next()? {
            "ok" => Some(Self::Passed),
            "FAILED" => Some(Self::Failed),
            "ignored" => Some(Self::Ignored),
            _ if line.ends_with("ok") => Some(Self::Passed),
            _ if line.ends_with("FAILED") => Some(Self::Failed),
            _ => None,
        }
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
        let why = |program: &Program| program.names_are_off.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        failed.map(|program| format!("FAILED on {}: {}{}\n", step.name, program.name, why(program))).collect::<Vec<_>>()
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

    /// Each test that ran in one whose summary counts so many that passed and failed; and whether names and summary agree.
    fn names(lines: &str, passed: u32, failed: u32) -> (Vec<(String, bool)>, bool) {
        let output = format!("\nrunning 9 tests\n{lines}\ntest result: ok. {passed} passed; {failed} failed; 1 ignored\n");
        let program = Program::of_run("p".to_owned(), &output, failed == 0);
        (program.tests, program.names_are_off.is_none())
    }

    fn expected<const N: usize>(tests: [(&str, bool); N]) -> Vec<(String, bool)> {
        tests.map(|(name, passed)| (name.to_owned(), passed)).to_vec()
    }

    #[test]
    fn each_test_is_known_by_name() {
        let lines = "test a::b ... ok (5 s)\ntest a::c - should panic ... FAILED\ntest d ... ignored, why\ntest e ... ignored\n";
        assert_eq!(names(lines, 1, 1), (expected([("a::b", true), ("a::c", false)]), true));
    }

    #[test]
    fn what_a_tests_processes_write_does_not_hide_its_result() {
        // Docker says it on stdout, and ends the line as a terminal wants it.
        let lines = "test again::docker ... OCI runtime exec failed: exec failed: unable to start container process: ok to go\r\nok\n\
                     test again::lxc ... half a lineok\n\
                     test again::lxd ... one line\nand another\nFAILED\n\
                     test again::podman ... ok\n";
        let tests = [("again::docker", true), ("again::lxc", true), ("again::lxd", false), ("again::podman", true)];
        assert_eq!(names(lines, 3, 1), (expected(tests), true));
    }

    #[test]
    fn what_failed_tests_wrote_is_none_of_their_lines() {
        let lines = "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\ntest b ... ok\nok\n\nfailures:\n    a\n";
        assert_eq!(names(lines, 0, 1), (expected([("a", false)]), true));
        let twice = format!("{lines}\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n\nrunning 1 test\ntest c ... ok\n");
        assert_eq!(names(&twice, 1, 0).0, expected([("a", false), ("c", true)]));
    }

    #[test]
    fn a_program_whose_names_are_not_those_it_counted_has_failed() {
        for (lines, passed, failed) in
            [("test a ... ok\n", 2, 0), ("noisetest a ... ok\n", 1, 0), ("test a ... ok\n", 0, 1), ("test a ... noise\n", 1, 0)]
        {
            assert!(!names(lines, passed, failed).1, "{lines}");
        }
        let program = Program::of_run("agent engines".to_owned(), "test result: ok. 1 passed; 0 failed; 0 ignored\n", true);
        assert_eq!(program.tally, Tally { passed: 1, failed: 1, ignored: 0 });
        let step = Step { name: "here".to_owned(), ground: None, outcome: Outcome::Tests(vec![program]), seconds: 1.0 };
        let (text, passed) = summary(&[step]);
        let told =
            "FAILED on here: agent engines: its lines name 0 tests that passed and 0 that failed, its summaries count 1 and 0";
        assert!(!passed && text.contains(told), "{text}");
    }

    #[test]
    fn a_test_that_took_its_program_down_has_failed() {
        let program = Program::of_run("p".to_owned(), "running 2 tests\ntest a ... ok\ntest b ... ", false);
        assert_eq!(program.tests, expected([("a", true), ("b", false)]));
        assert!(program.tally.failed > 0);
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
            Program { tally: Tally { passed: 12, failed: 0, ignored: 3 }, ..Program::unfinished("agent sampler".to_owned()) };
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
