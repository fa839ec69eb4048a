//! The listeners, and serving on them until the agent ends.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connections::{self, Bounds};
use super::door::{Door, SharedDoor, Writes};
use super::{ApiState, app, tls};
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
    /// What TLS is served with cannot be had.
    #[error("{0}")]
    Tls(String),
    /// Off loopback everybody in the network could write.
    #[error(
        "api.listen = {0} is no loopback address, so api.token_file has to be set and api.open_writes to be off, unless api.insecure is true"
    )]
    OffLoopback(SocketAddr),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {cause}")]
    Tcp {
        /// `api.listen`.
        address: SocketAddr,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the socket {}: {cause}", path.display())]
    Unix {
        /// `api.socket`.
        path: PathBuf,
        /// The kernel's answer.
        cause: io::Error,
    },
}

/// Bound, not yet served: what cannot be had is known before anything starts.
pub struct Listeners {
    tcp: Option<(TcpListener, SharedDoor, Option<TlsAcceptor>)>,
    unix: Option<(UnixListener, SocketFile, SharedDoor)>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").field("tcp", &self.tcp_address()).finish_non_exhaustive()
    }
}

/// The doors of listeners that are served: who may come in can be changed, where is listened cannot.
#[derive(Clone, Debug)]
pub struct Doors {
    tcp: Option<(SocketAddr, SharedDoor)>,
    unix: Option<SharedDoor>,
}

impl Doors {
    /// Takes over `token_file` (which is read again), `open_writes` and `allowed_hosts`; all of them, or none with an error.
    pub fn set(&self, api: &config::Api) -> Result<(), ServeError> {
        if let Some((address, door)) = &self.tcp {
            door.store(Arc::new(tcp_door(*address, api)?));
        }
        if let Some(door) = &self.unix {
            door.store(Arc::new(Door::unix(&api.allowed_hosts)));
        }
        Ok(())
    }
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
                let bound = bind_unix(path).await.map_err(|cause| ServeError::Unix { path: path.clone(), cause })?;
                let door = Arc::new(ArcSwap::from_pointee(Door::unix(&api.allowed_hosts)));
                Some((bound, SocketFile(path.clone()), door))
            }
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    /// Where TCP is really listened on: with port 0 in the config, the kernel chose one.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|(listener, ..)| listener.local_addr().ok())
    }

    /// The doors of these listeners, to be changed while they are served.
    pub fn doors(&self) -> Doors {
        let tcp = self.tcp.as_ref().and_then(|(listener, door, _)| Some((listener.local_addr().ok()?, Arc::clone(door))));
        Doors { tcp, unix: self.unix.as_ref().map(|(_, _, door)| Arc::clone(door)) }
    }

    /// Serves until `shutdown` is ready, then lets requests in flight end for up to half a second and removes the socket.
    pub async fn serve(self, state: ApiState, shutdown: impl Future<Output = ()>) {
        let (ending, told) = watch::channel(false);
        let (tcp, unix) = (self.tcp, self.unix);
        let (tcp_told, tcp_state) = (told.clone(), state.clone());
        let over_tcp = async move {
            if let Some((listener, door, tls)) = tcp {
                connections::serve(listener, tls, app(tcp_state, door), Bounds::USUAL, tcp_told).await;
            }
        };
        let over_unix = async move {
            if let Some((listener, _removed_at_the_end, door)) = unix {
                connections::serve(listener, None, app(state, door), Bounds::USUAL, told).await;
            }
        };
        let mut served = std::pin::pin!(async { tokio::join!(over_tcp, over_unix) });
        tokio::pin!(shutdown);
        tokio::select! {
            // Nothing is listened on.
            _ = &mut served => shutdown.await,
            () = &mut shutdown => {
                ending.send_replace(true);
                // What is not answered by then is cut off.
                timeout(GRACE, served).await.ok();
            }
        }
    }
}

async fn bind_tcp(address: SocketAddr, api: &config::Api) -> Result<(TcpListener, SharedDoor, Option<TlsAcceptor>), ServeError> {
    let door = tcp_door(address, api)?;
    let tls = tls::acceptor(api)?;
    let listener = TcpListener::bind(address).await.map_err(|cause| ServeError::Tcp { address, cause })?;
    Ok((listener, Arc::new(ArcSwap::from_pointee(door)), tls))
}

fn tcp_door(address: SocketAddr, api: &config::Api) -> Result<Door, ServeError> {
    let token = api.token()?;
    if !address.ip().is_loopback() && !api.insecure && (token.is_none() || api.open_writes) {
        return Err(ServeError::OffLoopback(address));
    }
    let writes = match token {
        _ if api.open_writes => Writes::Open,
        None if api.insecure && !address.ip().is_loopback() => Writes::Open,
        Some(token) => Writes::Token(token),
        None => Writes::Closed,
    };
    Ok(Door::tcp(address, &api.allowed_hosts, writes))
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
