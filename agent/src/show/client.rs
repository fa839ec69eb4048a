//! Asks an agent over HTTP or HTTPS, or over its unix socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::{config, https};

/// An agent that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an agent may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A unix socket.
    Socket(PathBuf),
    /// `http://host:port` or `https://host:port`.
    Url(String),
}

impl Target {
    /// The places that the settings name.
    pub(super) fn of(api: &config::Api) -> Vec<Self> {
        let socket = api.socket.clone().map(Self::Socket);
        let scheme = if api.tls.is_some() { "https" } else { "http" };
        let tcp = api.listen.map(|address| Self::Url(format!("{scheme}://{}", reachable(address))));
        socket.into_iter().chain(tcp).collect()
    }

    /// `http://host:port` or `https://host:port`, with or without a path.
    pub(super) fn url(url: &str) -> anyhow::Result<Self> {
        let expected = || anyhow!("{url:?} is no address of an agent; expected one such as http://127.0.0.1:8000");
        let uri: Uri = url.parse().map_err(|e| expected().context(format!("{e}")))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("http" | "https")), Some(authority)) => Ok(Self::Url(format!("{scheme}://{authority}"))),
            _ => Err(expected()),
        }
    }
}

/// An agent that listens on all addresses is asked on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// The body that the first target to answer gives for `path`. Over HTTPS the authorities in the file `ca` are trusted, or the public ones.
pub(super) async fn ask(targets: &[Target], ca: Option<&Path>, path: &str) -> anyhow::Result<String> {
    let pem =
        ca.map(|file| Ok::<_, config::ConfigError>((config::certificates(file)?, file.display().to_string()))).transpose()?;
    let http = https::client(pem.as_ref().map(|(pem, file)| (pem.as_str(), file.as_str())))?.build()?;
    let mut tried = Vec::new();
    for target in targets {
        let asked = async {
            match target {
                Target::Socket(socket) => over_socket(socket, path).await,
                Target::Url(url) => over_tcp(&http, url, path).await,
            }
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(e)) => tried.push(format!("  {target}: {e:#}")),
            Err(_) => tried.push(format!("  {target}: no answer within {PATIENCE:?}")),
        }
    }
    bail!("no agent answers:\n{}\nIs it running? --config, --socket or --url say where to ask.", tried.join("\n"))
}

async fn over_tcp(http: &reqwest::Client, url: &str, path: &str) -> anyhow::Result<String> {
    let failed = |e: reqwest::Error| anyhow!(https::why(&e));
    let response = http.get(format!("{url}{path}")).send().await.map_err(failed)?;
    let status = response.status();
    text(status, response.bytes().await.map_err(failed)?)
}

async fn over_socket(socket: &Path, path: &str) -> anyhow::Result<String> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    driving.abort();
    text(status, body)
}

fn text(status: StatusCode, body: Bytes) -> anyhow::Result<String> {
    let body = String::from_utf8(body.into()).context("the answer is no text")?;
    if status != StatusCode::OK {
        bail!("answers {status}: {body}");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::Target;
    use crate::config::Config;

    #[test]
    fn the_settings_say_which_protocol() {
        let targets = |text: &str| Target::of(&Config::parse(&format!("[api]\nsocket = 'off'\n{text}"), "test").unwrap().api);
        let is = |url: &str| vec![Target::Url(url.to_owned())];
        assert_eq!(targets(""), is("http://127.0.0.1:8000"));
        let tls = "listen = '0.0.0.0:8443'\ntoken_file = '/t'\n[api.tls]\ncertificate = '/c'\nkey = '/k'";
        assert_eq!(targets(tls), is("https://127.0.0.1:8443"));
    }

    #[test]
    fn urls_name_an_agent() {
        let is = |url: &str| Target::Url(url.to_owned());
        assert_eq!(Target::url("http://127.0.0.1:8000").unwrap(), is("http://127.0.0.1:8000"));
        assert_eq!(Target::url("http://host0/").unwrap(), is("http://host0"));
        assert_eq!(Target::url("https://host0:8000/status").unwrap(), is("https://host0:8000"));
        for url in ["", "127.0.0.1:8000", "ftp://x", "http://"] {
            assert!(format!("{:#}", Target::url(url).unwrap_err()).contains("http://127.0.0.1:8000"), "{url}");
        }
    }
}
