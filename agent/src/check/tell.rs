//! The report as a table for people.

use super::decide::{Finding, Level, Outcome, Report};

/// Columns of text, the whole table being narrower than most terminals.
const WIDTH: usize = 94;

/// Where the text begins, after the mark and the subject.
const INDENT: usize = 23;

/// The table, each line ended.
pub(super) fn table(report: &Report, colour: bool) -> String {
    let text: String = report.findings.iter().map(|finding| row(finding, colour)).collect();
    let (level, verdict) = match report.outcome {
        Outcome::Ebpf => (Level::Ok, "headroom-agent run would work here, counting CPU time by eBPF."),
        Outcome::Cgroupfs => (Level::Less, "headroom-agent run would work here, reading CPU time from cgroupfs."),
        Outcome::No => (Level::Bad, "headroom-agent run would not work here."),
    };
    text + "\n" + &paint(verdict, level, colour) + "\n"
}

fn row(finding: &Finding, colour: bool) -> String {
    let mark = match finding.level {
        Level::Ok => "  ok  ",
        Level::Less => " less ",
        Level::Bad => "  NO  ",
    };
    let head = format!("{} {:<width$}", paint(mark, finding.level, colour), finding.subject, width = INDENT - 7);
    let mut lines = wrap(&format!("{}; {}", finding.found, finding.means), WIDTH - INDENT);
    if let Some(todo) = &finding.todo {
        let todo = wrap(todo, WIDTH - INDENT - 3);
        lines.extend(todo.into_iter().enumerate().map(|(at, line)| format!("{} {line}", if at == 0 { "->" } else { "  " })));
    }
    head + &lines.join(&format!("\n{:INDENT$}", "")) + "\n"
}

/// Breaks what is longer than `width` at spaces; a word that is longer stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let fits = |line: &&str| line.chars().count() <= width;
    text.lines().flat_map(|line| if fits(&line) { vec![line.trim_end().to_owned()] } else { wrap_line(line, width) }).collect()
}

fn wrap_line(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn paint(text: &str, level: Level, colour: bool) -> String {
    let code = match level {
        Level::Ok => "32",
        Level::Less => "33",
        Level::Bad => "1;31",
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, found: &str, todo: Option<&str>) -> Finding {
        Finding { subject: "real time", level, found: found.into(), means: "it means this".into(), todo: todo.map(str::to_owned) }
    }

    #[test]
    fn text_is_aligned_and_wrapped() {
        let long = "word ".repeat(30);
        let findings = vec![finding(Level::Ok, "fine", None), finding(Level::Less, &long, Some(&long))];
        let text = table(&Report { outcome: Outcome::Cgroupfs, findings }, false);
        assert!(text.starts_with("  ok   real time       fine; it means this\n less  real time       word word"), "{text}");
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let hanging = text.lines().filter(|line| line.starts_with(&" ".repeat(INDENT)));
        assert!(hanging.clone().count() >= 4 && hanging.clone().any(|line| line.trim().starts_with("-> word")), "{text}");
        assert!(text.ends_with("\nheadroom-agent run would work here, reading CPU time from cgroupfs.\n"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn colours_only_where_asked_for_and_on_marks_only() {
        let report = Report { outcome: Outcome::No, findings: vec![finding(Level::Bad, "none", None)] };
        let text = table(&report, true);
        assert!(text.starts_with("\x1b[1;31m  NO  \x1b[0m real time"), "{text:?}");
    }
}
