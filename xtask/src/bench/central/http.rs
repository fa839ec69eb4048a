//! The least of HTTP/1.1 that a load generator needs: one kept connection, no surprises.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Longer than anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).context("central does not take a connection")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request. Central ends a connection that was not used for a minute or so: then it goes over a new one.
    pub(super) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<()> {
        if self.is_ended()? {
            *self = Self::open(self.stream.peer_addr()?)?;
        }
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {length}\r\n\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        Ok(self.stream.write_all(&request)?)
    }

    fn is_ended(&self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        Ok(matches!(peeked, Ok(0)))
    }

    /// Waits for the answer: status and body.
    pub(super) fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(answer) = self.parse()? {
                return Ok(answer);
            }
            let n = self.stream.read(&mut chunk)?;
            ensure!(n > 0, "central ended a connection");
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    /// An answer that has come meanwhile: status and body.
    pub(super) fn answer_so_far(&mut self) -> Result<Option<(u16, Vec<u8>)>> {
        self.stream.set_nonblocking(true)?;
        let mut chunk = [0; 16 * 1024];
        let read = loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => break Err(anyhow::anyhow!("central ended a connection")),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(e) => break Err(e.into()),
            }
        };
        self.stream.set_nonblocking(false)?;
        read?;
        self.parse()
    }

    /// Takes a whole answer from what has been read. Central answers with a length, or in chunks.
    fn parse(&mut self) -> Result<Option<(u16, Vec<u8>)>> {
        let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let body = end + 4;
        if header("transfer-encoding:").is_some() {
            let Some(last) = self.buffer[body..].windows(5).position(|five| five == b"0\r\n\r\n") else { return Ok(None) };
            let whole = self.buffer[body..body + last].to_vec();
            self.buffer.drain(..body + last + 5);
            return Ok(Some((status, whole)));
        }
        let length = header("content-length:").map_or(Ok(0), str::parse::<usize>)?;
        if self.buffer.len() < body + length {
            return Ok(None);
        }
        let whole = self.buffer[body..body + length].to_vec();
        self.buffer.drain(..body + length);
        Ok(Some((status, whole)))
    }
}
