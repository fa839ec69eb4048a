//! The beginning of TLS. Who begins with plain HTTP instead is told so.

use std::io::{self, Cursor};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, join, sink, split};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS handshake; a request of HTTP begins with a letter.
const HANDSHAKE: u8 = 0x16;

const REFUSAL: &str =
    "{\"message\": \"this address speaks TLS: ask https://, and trust the authority that its certificate is from\"}";

/// More of a plain request than this is not read.
const LONGEST: u64 = 1 << 16;

/// Shakes hands.
pub(super) async fn shake_hands<Io>(tls: &TlsAcceptor, io: Io) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut reader, mut writer) = split(io);
    let first = reader.read_u8().await?;
    if first == HANDSHAKE {
        return tls.accept(join(Cursor::new([first]).chain(reader), writer)).await;
    }
    if first.is_ascii_alphabetic() {
        let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
        writer.write_all(format!("{head} {}\r\n\r\n{REFUSAL}", REFUSAL.len()).as_bytes()).await?;
        writer.shutdown().await?;
        // What is closed with something unread is reset, and the answer lost.
        copy(&mut reader.take(LONGEST), &mut sink()).await?;
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is plain"))
}
