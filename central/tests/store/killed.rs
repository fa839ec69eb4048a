//! A process that is killed right after an answer: what was answered is there.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;

/// Where the child's store is.
const PLACE: &str = "HEADROOM_TEST_STORE";

/// Answers that the parent waits for.
const ANSWERS: usize = 200;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the child does: each write that was answered is told.
#[tokio::test]
#[ignore = "the test below runs it in a process of its own"]
async fn child_writes_until_it_is_killed() {
    let Some(place) = std::env::var_os(PLACE) else { panic!("{PLACE} says where the store is") };
    let store = Arc::new(Sqlite::open(Path::new(&place)).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut rev = None;
            // Bounded, should nobody kill it.
            for n in 0..100_000 {
                rev = Some(done(&*store, write(&format!("w{writer}"), rev.as_ref(), numbered(n))).await);
                done(&*store, write(&format!("w{writer}-{n}"), None, numbered(n))).await;
                let mut out = std::io::stdout();
                if writeln!(out, "answered {writer} {n}").and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        });
    }
    writers.join_all().await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("state.db");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "killed::child_writes_until_it_is_killed", "--nocapture"]);
    let mut child = Killed(child.env(PLACE, &place).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let answered = |line: String| {
        let mut words = line.strip_prefix("answered ")?.split(' ').map(|word| word.parse::<u64>().unwrap());
        words.next().zip(words.next())
    };
    let answers: Vec<(u64, u64)> = lines.filter_map(answered).take(ANSWERS).collect();
    child.0.kill().unwrap();
    drop(child);
    assert_eq!(answers.len(), ANSWERS);
    let store = Sqlite::open(&place).unwrap();
    for (writer, n) in answers {
        let found = read(&store, &format!("w{writer}-{n}")).await;
        assert!(found.is_some(), "writer {writer}, number {n}, was answered");
        let last = number(&read(&store, &format!("w{writer}")).await.unwrap());
        assert!(last >= n, "writer {writer} had an answer for {n}, and the store has {last}");
    }
    done(&store, write("after", None, numbered(1))).await;
}
