//! What was found at the places that a configuration names. Pure.

use std::fmt::Display;
use std::path::Path;

use super::super::places::{Listening, Places};
use super::{Finding, Level};

/// One finding for each place.
pub(super) fn findings(places: &Places) -> Vec<Finding> {
    let (state_dir, written) = &places.state_dir;
    let mut findings = vec![
        path("state dir", state_dir, written, "what was found before the first touch is kept there")
            .todo_unless_ok("let the agent's user write there, or name another directory in agent.state_dir"),
    ];
    findings.extend(places.token.as_ref().map(|(file, read)| {
        path("token", file, read, "writes over TCP have to show it")
            .todo_unless_ok("put one line there, such as `openssl rand -hex 32` makes, for the agent's user to read")
    }));
    findings.extend(places.listen.as_ref().map(|(address, found)| listening("API port", address, found, "api.listen")));
    findings.extend(places.socket.as_ref().map(|(path, found)| listening("API socket", &path.display(), found, "api.socket")));
    findings
}

fn path(subject: &'static str, path: &Path, tried: &Result<(), String>, means: &str) -> Finding {
    match tried {
        Ok(()) => Finding::new(subject, Level::Ok, path.display().to_string(), means),
        Err(why) => {
            // What is wrong may begin with the path itself.
            let names_it = why.contains(&path.display().to_string());
            let found = if names_it { why.clone() } else { format!("{}: {why}", path.display()) };
            Finding::new(subject, Level::Bad, found, "the agent would not start with it")
        }
    }
}

fn listening(subject: &'static str, place: &dyn Display, found: &Listening, key: &str) -> Finding {
    match found {
        Listening::Free => Finding::new(subject, Level::Ok, place.to_string(), "can be listened on"),
        Listening::Agent => Finding::new(
            subject,
            Level::Ok,
            format!("{place}: a headroom-agent answers there"),
            "one that runs already; a second one would need a place of its own",
        ),
        Listening::Not(why) => Finding::new(subject, Level::Bad, format!("{place}: {why}"), "the agent would not start")
            .todo(format!("name another place in {key}, or \"off\"")),
    }
}

impl Finding {
    fn todo_unless_ok(self, todo: &str) -> Self {
        if self.level == Level::Ok { self } else { self.todo(todo) }
    }
}
