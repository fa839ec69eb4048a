//! The tests that meet the kernel, in a VM: the programs that cargo built here, run there as they are.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Outcome;
use super::binaries::{Binary, LONGEST};
use super::show::{Show, Tee};
use super::tally::Program;
use crate::process::shell_word;
use crate::vm::{Ending, Guest, Hierarchy, Kernel};

/// Stands at the start of a line before and after each program's output.
const MARK: &str = "headroom-test-program:";

/// What is tested on this machine only: the program, and the part of a test's name in it. In a guest `phases` failed, the deaths and
/// the vanishing take many minutes, `full` passed but is slow, and so are the thousand lowerings; emulated CPUs do not get through the
/// forty loads of `storm` in a window, and the steady load of `late` is none there. A made-up kernel is the same anywhere.
const MACHINE_ONLY: [(&str, &str); 9] = [
    ("cgroup", "::on_fake_"),
    ("cgroup", "faults::"),
    ("daemon", "crash::killed_at_any_moment_it_takes_up_where_it_was"),
    ("daemon", "foreign::a_container_that_vanishes_is_no_failure"),
    ("daemon", "full::"),
    ("daemon", "late::"),
    ("daemon", "phases::"),
    ("daemon", "squeeze::a_thousand_lowerings"),
    ("daemon", "storm::"),
];

/// What is tested in guests only, since it would take something from this machine, or something that its kernel may lack, and only with
/// cgroup v2. These tests are `#[ignore]`d, with the reason: that is what a run on this machine says of them.
const GUEST_ONLY: [(&str, &str); 6] = [
    ("cgroup", "disks::"),
    ("daemon", "foreign::a_controller_that_is_taken"),
    ("daemon", "hotplug::"),
    ("daemon", "squeeze::swapped_"),
    ("daemon", "uplinks::policed_"),
    ("sampler", "net::a_program_that_leaves_no_room"),
];

/// A disk for those tests that write to one: it takes no more than they write.
const DISK_MIB: u32 = 256;

/// Boots one guest and runs every test program that meets the kernel.
pub(super) fn run(kernel: Kernel, cgroup: Hierarchy, binaries: &[Binary], show: Show) -> Result<Outcome> {
    let chosen: Vec<_> = binaries.iter().filter(|binary| binary.meets_kernel()).collect();
    if chosen.is_empty() {
        return Ok(Outcome::LeftOut("there are no tests in agent/tests".to_owned()));
    }
    let timeout = Duration::from_secs(60 + u64::from(LONGEST) * chosen.len() as u64);
    let guest = Guest { kernel, cgroup, cpus: 2, memory_mib: 2048, disk_mib: Some(DISK_MIB), timeout, systemd: false };
    let (text, _) = output(&guest, show, &["sh", "-c", &script(&chosen, cgroup)].map(OsString::from))?;
    let program = |(binary, run): (&&Binary, Option<(&str, bool)>)| match run {
        Some((output, success)) => Program::of_run(binary.name(), output, success),
        None => Program::unfinished(binary.name()),
    };
    Ok(Outcome::Tests(chosen.iter().zip(runs(&text, chosen.len())).map(program).collect()))
}

/// Boots and runs a command, its output shown meanwhile; gives what it wrote, and whether its exit code was 0.
pub(super) fn output(guest: &Guest, show: Show, words: &[OsString]) -> Result<(String, bool)> {
    let mut output = Tee::new(show, io::stdout());
    let ending = guest.run(words, &mut output)?;
    output.end()?;
    if let Some(trouble) = ending.trouble(guest) {
        eprintln!("test: {trouble}");
    }
    if ending == Ending::Interrupted {
        bail!("interrupted");
    }
    Ok((String::from_utf8_lossy(&output.kept).into_owned(), ending == Ending::Exited(0)))
}

/// Runs the programs one after the other, each between marks: its number, then its number and exit code.
fn script(binaries: &[&Binary], cgroup: Hierarchy) -> String {
    let run = |(number, binary): (usize, &&Binary)| {
        let mut command = binary.command();
        for test in of(binary, &MACHINE_ONLY) {
            command.args(["--skip", test]);
        }
        let mut run = line(&command);
        for test in of(binary, &GUEST_ONLY).filter(|_| cgroup == Hierarchy::V2) {
            let mut command = binary.command();
            command.args(["--ignored", test]);
            // Both run, and both have to end well.
            run = format!("{{ {run}; first=$?; {} && (exit $first); }}", line(&command));
        }
        format!("echo; echo '{MARK} {number} start'\n{run}\necho \"{MARK} {number} $?\"\n")
    };
    binaries.iter().enumerate().map(run).collect()
}

/// The entries of a list that are about a program.
fn of<'a>(binary: &Binary, list: &'a [(&str, &str)]) -> impl Iterator<Item = &'a str> {
    let name = binary.name();
    list.iter().filter(move |(program, _)| name.ends_with(&format!(" {program}"))).map(|(_, test)| *test)
}

/// A command as a line of shell, with its directory and variables.
pub(super) fn line(command: &Command) -> String {
    let word = |word: &OsStr| String::from_utf8_lossy(&shell_word(word.as_bytes())).into_owned();
    let directory = command.get_current_dir().map(|dir| word(dir.as_os_str())).unwrap_or_default();
    let variable = |(name, value): (&OsStr, Option<&OsStr>)| Some(format!("{}={}", name.to_string_lossy(), word(value?)));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(word);
    let words: Vec<_> = command.get_envs().filter_map(variable).chain(words).collect();
    format!("(cd {directory} && {})", words.join(" "))
}

/// Each program's output and whether it ended well; `None`: it never ran to its end.
fn runs(text: &str, count: usize) -> Vec<Option<(&str, bool)>> {
    let run = |number: usize| {
        let (_, rest) = text.split_once(&format!("{MARK} {number} start\n"))?;
        let (output, code) = rest.split_once(&format!("{MARK} {number} "))?;
        Some((output, code.lines().next() == Some("0")))
    };
    (0..count).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_command_as_a_line_of_shell_does_the_same() {
        let dir = tempfile::Builder::new().prefix("it's ").tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"$X\"; pwd; exit 3"]).env("X", "a 'b'").current_dir(dir.path());
        let ran = Command::new("sh").arg("-c").arg(line(&command)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), format!("a 'b'\n{}\n", dir.path().display()));
        assert_eq!(ran.status.code(), Some(3));
    }

    #[test]
    fn outputs_are_told_apart_by_their_marks() {
        let text = format!(
            "noise\n{MARK} 0 start\ntest result: ok. 2 passed; 0 failed; 0 ignored\n{MARK} 0 0\n\n{MARK} 1 start\nboom\n{MARK} 1 101\n\n{MARK} 2 start\nhalf"
        );
        let runs = runs(&text, 4);
        assert_eq!(runs[0], Some(("test result: ok. 2 passed; 0 failed; 0 ignored\n", true)));
        assert_eq!(runs[1], Some(("boom\n", false)));
        assert_eq!(&runs[2..], [None, None]);
    }
}
