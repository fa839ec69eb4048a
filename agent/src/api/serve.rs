//! The listeners, and serving on them until the agent ends.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::connections::Bounded;
use super::{ApiState, Door, Writes, app};
use crate::config;

/// How long requests in flight may go on once the agent ends.
const GRACE: Duration = Duration::from_millis(500);

/// Owner and group may use the socket.
const SOCKET_MODE: u32 = 0o660;

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The token could not be had.
    #[error(transparent)]
    Token(#[from] config::ConfigError),
    /// Off loopback everybody in the network could write.
    #[error("api.listen = {0} is no loopback address, so api.token_file has to be set and api.open_writes to be off")]
    OffLoopback(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}")]
    Tcp {
        /// `api.listen`.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the socket {}: {source}", path.display())]
    Unix {
        /// `api.socket`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Accepting failed for good.
    #[error("serving the API failed: {0}")]
    Serve(io::Error),
}

/// Bound, not yet served: what cannot be had is known before anything starts.
#[derive(Debug)]
pub struct Listeners {
    tcp: Option<(TcpListener, Door)>,
    unix: Option<(UnixListener, SocketFile, Door)>,
}

impl Listeners {
    /// Binds what the config asks for. A socket that a dead agent left is replaced, one that answers is not.
    pub async fn bind(api: &config::Api) -> Result<Self, ServeError> {
        let tcp = match api.listen {
            Some(address) => Some(bind_tcp(address, api).await?),
            None => None,
        };
        let unix = match &api.socket {
            Some(path) => {
                let bound = bind_unix(path).await.map_err(|source| ServeError::Unix { path: path.clone(), source })?;
                Some((bound, SocketFile(path.clone()), Door::unix(&api.allowed_hosts)))
            }
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    /// Where TCP is really listened on: with port 0 in the config, the kernel chose one.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `shutdown` is ready, then lets requests in flight end for up to half a second and removes the socket.
    pub async fn serve(self, state: ApiState, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (ending, told) = watch::channel(false);
        let ended = |mut told: watch::Receiver<bool>| async move { told.wait_for(|ends| *ends).await.map_or((), |_| ()) };
        let (tcp, unix) = (self.tcp, self.unix);
        let (tcp_told, tcp_state) = (told.clone(), state.clone());
        let over_tcp = async move {
            match tcp {
                Some((listener, door)) => {
                    axum::serve(Bounded::new(listener), app(tcp_state, door)).with_graceful_shutdown(ended(tcp_told)).await
                }
                None => Ok(()),
            }
        };
        let over_unix = async move {
            match unix {
                Some((listener, _removed_at_the_end, door)) => {
                    axum::serve(Bounded::new(listener), app(state, door)).with_graceful_shutdown(ended(told)).await
                }
                None => Ok(()),
            }
        };
        let mut served = std::pin::pin!(async { tokio::try_join!(over_tcp, over_unix) });
        tokio::pin!(shutdown);
        let failed = tokio::select! {
            outcome = &mut served => {
                if outcome.is_ok() {
                    // Nothing is listened on.
                    shutdown.await;
                }
                outcome.err()
            }
            () = &mut shutdown => {
                ending.send_replace(true);
                timeout(GRACE, served).await.ok().and_then(Result::err)
            }
        };
        failed.map_or(Ok(()), |source| Err(ServeError::Serve(source)))
    }
}

/// [`Listeners::bind`] and [`Listeners::serve`] in one.
pub async fn serve(state: ApiState, api: &config::Api, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    Listeners::bind(api).await?.serve(state, shutdown).await
}

async fn bind_tcp(address: SocketAddr, api: &config::Api) -> Result<(TcpListener, Door), ServeError> {
    let token = api.token()?;
    if !address.ip().is_loopback() && (token.is_none() || api.open_writes) {
        return Err(ServeError::OffLoopback(address));
    }
    let writes = match token {
        _ if api.open_writes => Writes::Open,
        Some(token) => Writes::Token(token),
        None => Writes::Closed,
    };
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Tcp { address, source })?;
    Ok((listener, Door::tcp(address, &api.allowed_hosts, writes)))
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there"));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|left| left.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    // The usual umask makes it stricter until its mode is set: connecting needs the right to write.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// The socket in the file system; goes when it is no longer listened on.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_file(&self.0) {
            tracing::debug!(socket = %self.0.display(), "could not remove the socket: {e}");
        }
    }
}
