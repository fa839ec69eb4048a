//! Who may do what: bearer tokens with roles, and the names that the Host header may have.
//!
//! A token is 256 random bits, shown once; the file `tokens.json` in the state directory keeps its SHA-256. Nothing slower is needed, since
//! there is nothing to guess. While there is no token and the listener is open (loopback, or `insecure`), everybody may do everything.

mod door;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

pub use door::{Door, check};
pub use tokens::{Role, Token, Tokens};

/// How often the file of tokens is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody has to say who they are.
    Anyone,
    /// The holder of a token.
    Holder {
        /// The token's name.
        name: String,
        /// What it is good for.
        role: Role,
    },
}

impl Caller {
    /// For the audit.
    pub fn name(&self) -> &str {
        match self {
            Self::Anyone => "anyone",
            Self::Holder { name, .. } => name,
        }
    }

    /// Whether it may speak for this host.
    pub fn is_agent_of(&self, host: &str) -> bool {
        match self {
            Self::Anyone => true,
            Self::Holder { role: Role::Agent { host: own }, .. } => own == host,
            Self::Holder { .. } => false,
        }
    }
}

/// The tokens that are good now.
#[derive(Debug)]
pub struct Access {
    path: PathBuf,
    open: bool,
    tokens: ArcSwap<Tokens>,
}

impl Access {
    /// Reads the tokens of a state directory. `open`: who has no token is let in, as long as there are none.
    pub fn load(state_dir: &Path, open: bool) -> anyhow::Result<Self> {
        let path = Tokens::path(state_dir);
        let tokens = Tokens::read(&path)?;
        Ok(Self { path, open, tokens: ArcSwap::from_pointee(tokens) })
    }

    /// Whether there is a token at all.
    pub fn has_tokens(&self) -> bool {
        !self.tokens.load().is_empty()
    }

    /// Who shows this token. `None`: nobody that is known.
    pub fn caller(&self, shown: Option<&str>) -> Option<Caller> {
        let tokens = self.tokens.load();
        match shown {
            _ if tokens.is_empty() && self.open => Some(Caller::Anyone),
            Some(shown) => tokens.holder(shown).map(|(name, role)| Caller::Holder { name: name.to_owned(), role: role.clone() }),
            None => None,
        }
    }

    /// Takes over what `headroom-central token` changes, for ever.
    pub async fn follow(self: Arc<Self>) {
        let mut seen = self.stamp();
        loop {
            tokio::time::sleep(LOOK).await;
            let stamp = self.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match Tokens::read(&self.path) {
                Ok(tokens) => self.tokens.store(Arc::new(tokens)),
                Err(e) => tracing::error!("the tokens stay as they were: {e:#}"),
            }
        }
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let found = std::fs::metadata(&self.path).ok()?;
        Some((found.modified().ok()?, found.len()))
    }
}
