//! Running programs, with errors that say which one failed and what it said.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs to the end, its output on our stderr only when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs to the end and gives its stdout.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done =
        command.stdin(Stdio::null()).output().with_context(|| format!("{program} could not be started: is it installed?"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{program} failed ({}): {}", done.status, said.trim());
    }
    Ok(done.stdout)
}

/// Where a program of this name is, among the directories of `PATH`.
pub(crate) fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// As one word for a shell.
pub(crate) fn shell_word(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        if byte == b'\'' { quoted.extend(b"'\\''") } else { quoted.push(byte) }
    }
    quoted.push(b'\'');
    quoted
}
