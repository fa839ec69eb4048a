//! Asks an agent over HTTP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config;

/// An agent that takes longer is as good as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an agent may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A unix socket.
    Socket(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Target {
    /// The places that the settings name.
    pub(super) fn of(api: &config::Api) -> Vec<Self> {
        let socket = api.socket.clone().map(Self::Socket);
        let tcp = api.listen.map(|address| Self::Tcp(reachable(address).to_string()));
        socket.into_iter().chain(tcp).collect()
    }

    /// `http://host:port`, with or without a path.
    pub(super) fn url(url: &str) -> anyhow::Result<Self> {
        let expected = || anyhow!("{url:?} is no address of an agent; expected one such as http://127.0.0.1:8000");
        let uri: Uri = url.parse().map_err(|e| expected().context(format!("{e}")))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if authority.port().is_some() => Ok(Self::Tcp(authority.to_string())),
            (Some("http"), Some(authority)) => Ok(Self::Tcp(format!("{authority}:80"))),
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
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

/// The body that the first target to answer gives for `path`.
pub(super) async fn ask(targets: &[Target], path: &str) -> anyhow::Result<String> {
    let mut tried = Vec::new();
    for target in targets {
        match timeout(PATIENCE, get(target, path)).await {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(e)) => tried.push(format!("  {target}: {e:#}")),
            Err(_) => tried.push(format!("  {target}: no answer within {PATIENCE:?}")),
        }
    }
    bail!("no agent answers:\n{}\nIs it running? --config, --socket or --url say where to ask.", tried.join("\n"))
}

async fn get(target: &Target, path: &str) -> anyhow::Result<String> {
    match target {
        Target::Socket(socket) => exchange(UnixStream::connect(socket).await?, "localhost", path).await,
        Target::Tcp(authority) => exchange(TcpStream::connect(authority).await?, authority, path).await,
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
) -> anyhow::Result<String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let request = Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    driving.abort();
    let body = String::from_utf8(body.into()).context("the answer is no text")?;
    if status != StatusCode::OK {
        bail!("answers {status}: {body}");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn urls_name_an_agent() {
        let tcp = |authority: &str| Target::Tcp(authority.to_owned());
        assert_eq!(Target::url("http://127.0.0.1:8000").unwrap(), tcp("127.0.0.1:8000"));
        assert_eq!(Target::url("http://host0/").unwrap(), tcp("host0:80"));
        for url in ["", "127.0.0.1:8000", "https://host0:8000", "ftp://x", "http://"] {
            assert!(format!("{:#}", Target::url(url).unwrap_err()).contains("http://127.0.0.1:8000"), "{url}");
        }
    }
}
