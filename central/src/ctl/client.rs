//! Asks central over HTTP or HTTPS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::Failure;
use super::args::Cli;
use super::request::{Method, Request};
use crate::config::from_environment;

const USUAL: &str = "http://127.0.0.1:5000";

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// One central.
pub(super) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// As the command line and the environment say.
    pub(super) fn new(cli: &Cli) -> Result<Self, Failure> {
        let base = cli.central.clone().or_else(|| from_environment("HEADROOM_CENTRAL")).unwrap_or_else(|| USUAL.to_owned());
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Failure::Usage(format!("{base:?} is no address of central, expected one such as {USUAL}")));
        }
        let path = |given: &Option<PathBuf>, key: &str| given.clone().or_else(|| from_environment(key).map(PathBuf::from));
        let token = match path(&cli.token_file, "HEADROOM_TOKEN_FILE") {
            Some(file) => Some(read(&file)?.trim().to_owned()),
            None => from_environment("HEADROOM_TOKEN"),
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A token goes where it is meant to go, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(cli.timeout.into())));
        if let Some(file) = path(&cli.ca, "HEADROOM_CA") {
            config = config.tls_config(TlsConfig::builder().root_certs(authority(&file)?).build());
        }
        Ok(Self { agent: config.build().new_agent(), base: base.trim_end_matches('/').to_owned(), token })
    }

    /// The body of the answer to one request.
    pub(super) fn ask(&self, request: &Request) -> Result<String, Failure> {
        let url = format!("{}{}", self.base, request.path);
        let unreachable = |e: ureq::Error| match e {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::Usage(format!("{:?} cannot be asked: {e}", self.base)),
            e => Failure::Unreachable(format!("{} cannot be reached: {e}{}", self.base, self.hint(&e))),
        };
        let sent = match request.method {
            Method::Get => self.authorized(self.agent.get(&url)).call(),
            Method::Delete => self.authorized(self.agent.delete(&url)).call(),
            Method::Put => send(self.authorized(self.agent.put(&url)), request.body.as_ref()),
            Method::Post => send(self.authorized(self.agent.post(&url)), request.body.as_ref()),
        };
        let mut answer = sent.map_err(unreachable)?;
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string().map_err(unreachable)?;
        if answer.status().is_success() {
            return Ok(text);
        }
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = body.get("message").and_then(Value::as_str);
        Err(Failure::Refused(message.map_or_else(|| format!("{} answers {}", self.base, answer.status()), str::to_owned)))
    }

    /// What looks like the other of HTTP and HTTPS.
    fn hint(&self, error: &ureq::Error) -> &'static str {
        match error {
            ureq::Error::Protocol(_) if self.base.starts_with("http://") => {
                "; if it speaks TLS, its address begins with https://"
            }
            ureq::Error::Io(e) if e.to_string().contains("InvalidContentType") => {
                "; if it speaks no TLS, its address begins with http://"
            }
            _ => "",
        }
    }

    fn authorized<T>(&self, request: ureq::RequestBuilder<T>) -> ureq::RequestBuilder<T> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

type Sent = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn send(request: ureq::RequestBuilder<ureq::typestate::WithBody>, body: Option<&Value>) -> Sent {
    match body {
        Some(body) => request.send_json(body),
        None => request.send_empty(),
    }
}

fn authority(file: &Path) -> Result<RootCerts, Failure> {
    let text = read(file)?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(text.as_bytes()) {
        let item = item.map_err(|e| Failure::Usage(format!("{} is no PEM: {e}", file.display())))?;
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(Failure::Usage(format!("{} has no certificate, expected the authority's in PEM", file.display())));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|e| Failure::Usage(format!("cannot read {}: {e}", file.display())))
}
