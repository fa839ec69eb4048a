//! The secret that writes over TCP have to show.

use std::fmt;
use std::path::Path;

use super::{Api, Central, ConfigError, Problem};

/// Fewer letters than this are guessed too soon.
const SHORTEST: usize = 16;

/// A secret. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a secret of at least 16 visible ASCII letters; says what is wrong with another.
    pub fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let sound = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        sound.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!(
                "expected one token of at least {SHORTEST} letters or digits without spaces, such as `openssl rand -hex 32` makes"
            )
        })
    }

    /// To be shown to who asks for it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is the secret, in a time that does not tell how much of it is right.
    pub fn is(&self, shown: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differences = secret.iter().zip(shown.iter().chain(std::iter::repeat(&0))).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differences) == 0 && secret.len() == shown.len()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Api {
    /// Reads `token_file`, where there is one.
    pub fn token(&self) -> Result<Option<Token>, ConfigError> {
        self.token_file.as_deref().map(read).transpose()
    }
}

impl Api {
    /// Reads the certificate and the key of `[api.tls]`, where there is one: PEM texts.
    pub fn tls_files(&self) -> Result<Option<(String, String)>, ConfigError> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let read = |file: &Path| super::file::read("PEM file", file);
        Ok(Some((read(&tls.certificate)?, read(&tls.key)?)))
    }
}

impl Central {
    /// Reads `token_file`, where there is one.
    pub fn token(&self) -> Result<Option<Token>, ConfigError> {
        self.token_file.as_deref().map(read).transpose()
    }

    /// Reads `ca`, where there is one: PEM text.
    pub fn authorities(&self) -> Result<Option<String>, ConfigError> {
        self.ca.as_deref().map(certificates).transpose()
    }
}

/// Reads the authorities that are to be trusted: PEM text.
pub fn certificates(file: &Path) -> Result<String, ConfigError> {
    super::file::read("certificates", file)
}

fn read(file: &Path) -> Result<Token, ConfigError> {
    let text = super::file::read("token file", file)?;
    Token::new(&text).map_err(|message| {
        let file = file.display().to_string();
        ConfigError::Invalid { problems: vec![Problem { file, line: 1, key: String::new(), value: String::new(), message }] }
    })
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Token::new("0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "x123456789abcdef"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn short_and_odd_tokens_are_refused() {
        for text in ["", "secret", "two words are too many", "0123456789abcde\u{e9}"] {
            assert!(Token::new(text).unwrap_err().contains("at least 16"), "{text}");
        }
    }
}
