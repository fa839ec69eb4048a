//! The file of tokens: who has one, what it is good for, and its hash.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Role {
    /// Looking.
    Read,
    /// Looking and changing.
    Operate,
    /// Reporting for one host, and taking its orders.
    Agent {
        /// The host's name.
        host: String,
    },
    /// Being another central on the same State Database.
    Central,
}

/// A secret, shown once.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the kernel gives no random bytes: {e}"))?;
        Ok(Self(hex(&bytes)))
    }

    /// To be told to its holder.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Everybody who has a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tokens {
    tokens: Vec<Holder>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    name: String,
    sha256: String,
    #[serde(flatten)]
    role: Role,
}

impl Tokens {
    /// Where they are.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("tokens.json")
    }

    /// Reads the file; one that is not there has none.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is no file of tokens", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the file whole or not at all, for its owner only.
    pub fn write(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("json.new");
        let write = || -> Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            Ok(std::fs::rename(&new, path)?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Gives a new token to somebody who has none.
    pub fn add(&mut self, name: &str, role: Role) -> Result<Token> {
        if name.is_empty() || name.contains(char::is_control) {
            bail!("{name:?} is no name; expected who holds the token, as the audit is to show it");
        }
        if self.tokens.iter().any(|holder| holder.name == name) {
            bail!("{name:?} has a token already; remove it first, or give this one another name");
        }
        let token = Token::random()?;
        self.tokens.push(Holder { name: name.to_owned(), sha256: hash(token.secret()), role });
        Ok(token)
    }

    /// Takes somebody's token away.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let before = self.tokens.len();
        self.tokens.retain(|holder| holder.name != name);
        if self.tokens.len() == before {
            bail!("there is no token of the name {name:?}");
        }
        Ok(())
    }

    /// Who has this token, and what it is good for.
    pub fn holder(&self, shown: &str) -> Option<(&str, &Role)> {
        // Hashes are compared, so what the comparison takes tells nothing of a token.
        let shown = hash(shown);
        self.tokens.iter().find(|holder| holder.sha256 == shown).map(|holder| (holder.name.as_str(), &holder.role))
    }

    /// Everybody, with what their token is good for.
    pub fn holders(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.tokens.iter().map(|holder| (holder.name.as_str(), &holder.role))
    }
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.trim().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = Tokens::path(directory.path());
        let mut tokens = Tokens::read(&path).unwrap();
        let secret = tokens.add("host0", Role::Agent { host: "host0".into() }).unwrap();
        assert!(tokens.add("host0", Role::Read).is_err());
        for name in ["", "a\nb"] {
            assert!(tokens.add(name, Role::Read).unwrap_err().to_string().contains("is no name"), "{name:?}");
        }
        tokens.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret.secret()) && !format!("{secret:?}").contains(secret.secret()));
        let mut read = Tokens::read(&path).unwrap();
        assert_eq!(read.holder(secret.secret()), Some(("host0", &Role::Agent { host: "host0".into() })));
        assert_eq!(read.holder("0123"), None);
        read.remove("host0").unwrap();
        assert!(read.is_empty() && read.remove("host0").is_err());
    }
}
