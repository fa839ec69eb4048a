//! Tries the places that a configuration names: files, directories, addresses. Nothing is left behind, and nothing waits for long.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

use crate::config::{Api, Config};
use crate::show;

/// The longest path of a unix socket, in bytes: the kernel's 108, less the zero at the end.
const LONGEST_SOCKET: usize = 107;

/// What was found at the places of a configuration.
#[derive(Clone, Debug)]
pub struct Places {
    /// `agent.state_dir`, and why it cannot be written in.
    pub state_dir: (PathBuf, Result<(), String>),
    /// `api.token_file`, where there is one, and what is wrong with it.
    pub token: Option<(PathBuf, Result<(), String>)>,
    /// `api.listen`, unless it is off.
    pub listen: Option<(SocketAddr, Listening)>,
    /// `api.socket`, unless it is off.
    pub socket: Option<(PathBuf, Listening)>,
}

/// Whether an address can be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listening {
    /// It can.
    Free,
    /// An agent answers there already.
    Agent,
    /// It cannot, and why.
    Not(String),
}

impl Places {
    /// Tries them.
    pub fn try_out(config: &Config) -> Self {
        let api = &config.api;
        let token = |file: &PathBuf| (file.clone(), api.token().map(drop).map_err(|e| e.to_string()));
        Self {
            state_dir: (config.agent.state_dir.clone(), writable(&config.agent.state_dir)),
            token: api.token_file.as_ref().map(token),
            listen: api.listen.map(|address| (address, listen(address, api))),
            socket: api.socket.as_ref().map(|path| (path.clone(), socket(path, api))),
        }
    }
}

/// Whether files can be made in a directory, which itself may still have to be made.
fn writable(dir: &Path) -> Result<(), String> {
    let nearest = dir.ancestors().find(|dir| fs::symlink_metadata(dir).is_ok()).unwrap_or(dir);
    let says = |why: &dyn std::fmt::Display| format!("{}: {why}", nearest.display());
    match fs::metadata(nearest) {
        Ok(found) if !found.is_dir() => Err(says(&"is no directory")),
        Ok(_) => eaccess(nearest, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| says(&errno.desc())),
        Err(e) => Err(says(&e)),
    }
}

fn listen(address: SocketAddr, api: &Api) -> Listening {
    match TcpListener::bind(address) {
        Ok(_) => Listening::Free,
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            // Whom its certificate is for is not known here: where TLS is spoken, one that answers on the socket is taken for the same.
            let socket = api.socket.clone().filter(|_| api.tls.is_some());
            if show::agent_answers(&Api { socket, ..api.clone() }) {
                return Listening::Agent;
            }
            Listening::Not("something else listens there, which is no headroom-agent".to_owned())
        }
        Err(e) => Listening::Not(e.to_string()),
    }
}

fn socket(path: &Path, api: &Api) -> Listening {
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET {
        return Listening::Not(format!("its path has {length} bytes, and the kernel takes no more than {LONGEST_SOCKET}"));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Listening::Not("something is there that is no socket".to_owned()),
        Ok(_) if show::agent_answers(&Api { listen: None, ..api.clone() }) => Listening::Agent,
        Ok(_) if UnixStream::connect(path).is_ok() => {
            Listening::Not("something else listens there, which is no headroom-agent".to_owned())
        }
        // One that a dead agent left, or none.
        _ => path.parent().map_or(Ok(()), writable).map_or_else(Listening::Not, |()| Listening::Free),
    }
}
