//! Questions to the kernel about its network (rtnetlink), and how its answers are laid out (`linux/netlink.h`).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// The kernel fills at most 32 KiB at a time.
const ROOM: usize = 64 * 1024;
/// Of a message: its length, type, flags, sequence and port.
const HEADER: usize = 16;
/// Messages and attributes begin at multiples of it.
const ALIGNMENT: usize = 4;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Without the flags for nested attributes and the network's byte order.
const NLA_TYPE_MASK: u16 = 0x3FFF;

/// A socket for questions. After an error it may have a rest of an answer: then a new one is to be opened.
pub(super) struct Netlink {
    socket: OwnedFd,
    room: Vec<u8>,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        Ok(Self { socket, room: vec![0; ROOM] })
    }

    /// Everything that there is of what `kind` asks for: `each` gets the messages without their headers. `Interrupted` where it has changed
    /// meanwhile.
    pub(super) fn all(&mut self, kind: u16, body: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.ask(kind, NLM_F_DUMP, body)?;
        loop {
            for message in self.receive()? {
                let Message { kind, flags, body } = message?;
                if kind == NLMSG_DONE {
                    return Ok(());
                }
                if flags & NLM_F_DUMP_INTR != 0 {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                each(body);
            }
        }
    }

    /// The one message that answers.
    pub(super) fn one(&mut self, kind: u16, body: &[u8]) -> io::Result<&[u8]> {
        self.ask(kind, 0, body)?;
        let answer = self.receive()?.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        Ok(answer.body)
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER + body.len()).map_err(io::Error::other)?;
        let mut request = Vec::with_capacity(HEADER + body.len());
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        // No sequence, since there is one question at a time, and no port: the kernel's.
        request.extend([0; 8]);
        request.extend(body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<impl Iterator<Item = io::Result<Message<'_>>>> {
        let length = recv(self.socket.as_raw_fd(), &mut self.room, MsgFlags::MSG_TRUNC)?;
        let too_long = || io::Error::other(format!("an answer has {length} bytes, more than {ROOM}"));
        Ok(messages(self.room.get(..length).ok_or_else(too_long)?))
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// The messages of one answer, or the error that it tells.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let (kind, flags) = (u16_at(rest, 4)?, u16_at(rest, 6)?);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        let code = if matches!(kind, NLMSG_ERROR | NLMSG_DONE) { i32_at(body, 0) } else { None };
        Some(match code {
            Some(code) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
            _ => Ok(Message { kind, flags, body }),
        })
    })
}

/// The attributes in a message from `at` on, or in an attribute that nests others: type and value of each.
pub(super) fn attributes(bytes: &[u8], at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes.get(at..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of one of them.
pub(super) fn attribute(bytes: &[u8], at: usize, kind: u16) -> Option<&[u8]> {
    attributes(bytes, at).find(|(known, _)| *known == kind).map(|(_, value)| value)
}

/// An attribute of four bytes, for a question.
pub(super) fn attribute_of(kind: u16, value: [u8; 4]) -> [u8; 8] {
    let ([l0, l1], [k0, k1], [a, b, c, d]) = (8_u16.to_ne_bytes(), kind.to_ne_bytes(), value);
    [l0, l1, k0, k1, a, b, c, d]
}

/// Text ends with a 0.
pub(super) fn text(value: &[u8]) -> &str {
    let text = value.split(|&byte| byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}
