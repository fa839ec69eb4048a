use super::*;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_shell_reads_quoted_words_as_they_were() {
    assert_eq!(text(&shell_word(b"it's $HOME")), r"'it'\''s $HOME'");
    let words = ["a b", "it's", "$HOME", "*", "new\nline", ""];
    let mut script = b"printf '%s|'".to_vec();
    for word in words {
        script.push(b' ');
        script.extend(shell_word(word.as_bytes()));
    }
    let said = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script)).output().unwrap().stdout;
    assert_eq!(text(&said), "a b|it's|$HOME|*|new\nline||");
}

#[test]
fn the_script_runs_the_command_in_its_directory_and_keeps_its_code() {
    let dir = tempfile::Builder::new().prefix("it's here ").tempdir().unwrap();
    let words = ["sh", "-c", "pwd; exit 7"].map(OsString::from);
    let ran = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&script(&words, dir.path()))).output().unwrap();
    assert_eq!(text(&ran.stdout).trim(), dir.path().to_string_lossy());
    assert_eq!(ran.status.code(), Some(7));
}

#[test]
fn commas_in_paths_are_doubled_for_qemu() {
    assert_eq!(with_path("local,path=", Path::new("/a,b/c")), "local,path=/a,,b/c");
}

#[test]
fn endings_have_the_codes_that_shells_give() {
    assert_eq!(Ending::Exited(3).code(), 3);
    assert_eq!(Ending::TimedOut.code(), 124);
    assert_eq!(Ending::Broken(String::new()).code(), 125);
    assert_eq!(Ending::Interrupted.code(), 130);
}

#[test]
fn the_share_is_gone_when_dropped_and_stale_ones_are_swept() {
    let home = tempfile::tempdir().unwrap();
    // No process has a number this large.
    let stale = home.path().join("run/99999999-abc");
    fs::create_dir_all(&stale).unwrap();
    let share = Share::new(home.path()).unwrap();
    let dir = share.0.clone();
    assert!(dir.is_dir() && !stale.exists());
    drop(share);
    assert!(!dir.exists());
}

#[test]
fn an_exit_code_counts_and_a_console_without_one_is_a_broken_guest() {
    let home = tempfile::tempdir().unwrap();
    let share = Share::new(home.path()).unwrap();
    let mut child = Command::new("true").spawn().unwrap();
    let status = child.wait().unwrap();
    assert!(share.ending(status, &mut child).unwrap_err().to_string().contains("before the guest's kernel said anything"));
    fs::write(share.file("console"), "booting\r\n\nno root\r\n").unwrap();
    assert_eq!(share.ending(status, &mut child).unwrap(), Ending::Broken("booting\nno root".to_owned()));
    fs::write(share.file("rc"), "42\n").unwrap();
    assert_eq!(share.ending(status, &mut child).unwrap(), Ending::Exited(42));
}

#[test]
fn a_panic_is_told_from_its_first_line() {
    let trace = "trace\n".repeat(100);
    let told = tail(&format!("booting\nKernel panic - not syncing: x\n{trace}"));
    assert!(told.starts_with("Kernel panic") && told.lines().count() == CONSOLE_TAIL);
    let told = tail("booting\nBUG: unable to handle page fault\nRIP: x\nKernel panic - not syncing: y\n");
    assert_eq!(told.lines().count(), 3);
    let quiet = tail(&trace);
    assert_eq!(quiet.lines().count(), CONSOLE_TAIL);
}
