//! Bounds what connections cost: so many at once, and none that just sits there.
//!
//! A listener that is full makes others wait in the kernel's queue; each listener has its own bound, so a crowd on TCP does not
//! shut out who uses the unix socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once.
const MOST: usize = 64;

/// A connection on which nothing moves for so long is closed; the longest write is answered sooner.
const IDLE: Duration = Duration::from_mins(1);

/// A listener with bounds.
pub(super) struct Bounded<L> {
    listener: L,
    free: Arc<Semaphore>,
    idle: Duration,
}

impl<L> Bounded<L> {
    pub(super) fn new(listener: L) -> Self {
        Self::with(listener, MOST, IDLE)
    }

    fn with(listener: L, most: usize, idle: Duration) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(most)), idle }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let (io, address) = self.listener.accept().await;
        (Connection { io, idle: self.idle, deadline: Box::pin(sleep(self.idle)), _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that holds its place until it ends.
pub(super) struct Connection<Io> {
    io: Io,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<Io> Connection<Io> {
    /// What moves puts the deadline off; what waits has it.
    fn judge<T>(&mut self, moved: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.deadline.as_mut().reset(Instant::now() + self.idle);
            return moved;
        }
        self.deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Connection<Io> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.io).poll_read(context, buffer);
        self.judge(moved, context)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Connection<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(moved, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.judge(moved, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn one_too_many_waits_for_a_place() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("s");
            let mut listener = Bounded::with(UnixListener::bind(&path).unwrap(), 2, IDLE);
            let _clients = [UnixStream::connect(&path).await.unwrap(), UnixStream::connect(&path).await.unwrap()];
            let (first, second) = (listener.accept().await, listener.accept().await);
            let mut third = UnixStream::connect(&path).await.unwrap();
            third.write_all(b"x").await.unwrap();
            assert_eq!(listener.free.available_permits(), 0);
            drop(first);
            let (mut io, _) = listener.accept().await;
            assert_eq!(io.read_u8().await.unwrap(), b'x');
            drop((second, io));
            assert_eq!(listener.free.available_permits(), 2);
        });
    }

    #[test]
    fn what_sits_there_is_closed_and_what_moves_is_not() {
        run(async {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("s");
            let mut listener = Bounded::with(UnixListener::bind(&path).unwrap(), 2, Duration::from_millis(50));
            let mut client = UnixStream::connect(&path).await.unwrap();
            let (mut io, _) = listener.accept().await;
            client.write_all(b"x").await.unwrap();
            assert_eq!(io.read_u8().await.unwrap(), b'x');
            assert_eq!(io.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }
}
