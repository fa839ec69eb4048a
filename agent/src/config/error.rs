//! What is wrong with a settings file, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// Why there is no [`super::Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read the {what} {}: {cause}", file.display())]
    Unreadable {
        /// What it is for: the settings, the rules, the token.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// The kernel's answer.
        cause: std::io::Error,
    },
    /// What it says is not right.
    #[error("{}", Problem::list(problems))]
    Invalid {
        /// In the file's order; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong: shown as `agent.toml:12: guardian.window.cpu = "5 parsecs": expected a duration, ..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The key with the tables it is in (`guardian.window.cpu`); empty where the text is no TOML.
    pub key: String,
    /// The value as the file spells it; empty where there is none.
    pub value: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    fn list(problems: &[Self]) -> String {
        problems.iter().map(Self::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match (self.key.as_str(), self.value.as_str()) {
            ("", _) => {}
            (key, "") => write!(f, "{key}: ")?,
            (key, value) => write!(f, "{key} = {value}: ")?,
        }
        f.write_str(&self.message)
    }
}
