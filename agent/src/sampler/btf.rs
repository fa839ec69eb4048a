//! A small reader of the kernel's BTF: offsets of struct members, values of enumerators, presence of tracepoints.
//!
//! The format is in the kernel's Documentation/bpf/btf.rst. The whole of it is a few MB, so it is read, asked a few
//! questions (each a scan), and dropped; nothing is indexed by name.

use std::path::{Path, PathBuf};

/// Where the running kernel shows its own.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why the BTF could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// There is none to be read.
    #[error("{path} cannot be read ({cause}): the kernel needs CONFIG_DEBUG_INFO_BTF=y")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        cause: std::io::Error,
    },
    /// It is not what the format says.
    #[error("the kernel's BTF is not understood at byte {at}: {what}")]
    Malformed {
        /// Where.
        at: usize,
        /// What was expected or found there.
        what: String,
    },
    /// This kernel has no such thing.
    #[error("the kernel's BTF has no {what}")]
    Missing {
        /// `struct.member`, enumerator or typedef.
        what: String,
    },
}

const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;

/// Bytes that every type begins with: name, info, size or type.
const TYPE_HEAD: usize = 12;

/// A BTF file in memory.
pub struct Btf {
    data: Vec<u8>,
    strings: usize,
    /// Where each type begins; the type with id 1 is the first.
    types: Vec<u32>,
}

/// One type of the file.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    info: u32,
}

impl Type {
    fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn entries(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// The bytes after the head, or what of them is not as every kind has it.
    fn body_len(self) -> Option<usize> {
        Some(match self.kind() {
            // Pointers, forwards, typedefs, qualifiers, functions, floats, type tags.
            2 | 7 | TYPEDEF..=12 | 16 | 18 => 0,
            // Integers, variables, declaration tags.
            1 | 14 | 17 => 4,
            ARRAY => 12,
            ENUM | 13 => 8 * self.entries(),
            STRUCT | UNION | 15 | 19 => 12 * self.entries(),
            _ => return None,
        })
    }
}

impl Btf {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        Self::parse(std::fs::read(path).map_err(|cause| BtfError::Read { path: path.to_owned(), cause })?)
    }

    /// Takes the bytes of a file, in this machine's byte order.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let mut btf = Self { data, strings: 0, types: Vec::new() };
        if btf.word(0)? & 0xffff != 0xeb9f {
            return Err(malformed(0, "no BTF magic"));
        }
        let [head, types, types_len, strings] = [btf.size(4)?, btf.size(8)?, btf.size(12)?, btf.size(16)?];
        btf.strings = head + strings;
        let (mut at, end) = (head + types, head + types + types_len);
        while at < end {
            let found = Type { at, info: btf.word(at + 4)? };
            let body = found.body_len().ok_or_else(|| malformed(at, format!("a type of unknown kind {}", found.kind())))?;
            btf.types.push(u32::try_from(at).map_err(|e| malformed(at, e.to_string()))?);
            at += TYPE_HEAD + body;
        }
        Ok(btf)
    }

    /// The offset of a member in its struct, in bytes. Members of anonymous structs inside count as the struct's own.
    pub fn member(&self, of: &str, member: &str) -> Result<u64, BtfError> {
        self.named(STRUCT, of)
            .find_map(|found| self.member_of(found, member, 4).transpose())
            .unwrap_or_else(|| Err(BtfError::Missing { what: format!("{of}.{member}") }))
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, of: &str, name: &str) -> Result<u64, BtfError> {
        for found in self.named(ENUM, of) {
            for entry in 0..found.entries() {
                let at = found.at + TYPE_HEAD + 8 * entry;
                if self.is_named(at, name) {
                    return Ok(self.word(at + 4)?.into());
                }
            }
        }
        Err(BtfError::Missing { what: format!("{of}::{name}") })
    }

    /// Whether programs can be attached to this tracepoint with its arguments' types.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.named(TYPEDEF, &format!("btf_trace_{name}")).next().is_some()
    }

    fn member_of(&self, of: Type, member: &str, depth: u32) -> Result<Option<u64>, BtfError> {
        let bit_fields = of.info >> 31 != 0;
        for entry in 0..of.entries() {
            let at = of.at + TYPE_HEAD + 12 * entry;
            let bits = self.word(at + 8)? & if bit_fields { 0x00ff_ffff } else { u32::MAX };
            let offset = u64::from(bits / 8);
            if self.is_named(at, member) {
                return Ok(Some(offset));
            }
            if self.is_named(at, "")
                && depth > 0
                && let Some(inner) = self.by_id(self.word(at + 4)?)
                && matches!(inner.kind(), STRUCT | UNION)
                && let Some(found) = self.member_of(inner, member, depth - 1)?
            {
                return Ok(Some(offset + found));
            }
        }
        Ok(None)
    }

    fn named<'a>(&'a self, kind: u32, name: &'a str) -> impl Iterator<Item = Type> + 'a {
        self.types
            .iter()
            .filter_map(|at| self.type_at(*at))
            .filter(move |found| found.kind() == kind && self.is_named(found.at, name))
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        self.type_at(*self.types.get(id.checked_sub(1)? as usize)?)
    }

    fn type_at(&self, at: u32) -> Option<Type> {
        let at = at as usize;
        Some(Type { at, info: self.word(at + 4).ok()? })
    }

    /// Whether the record at `at`, which begins with its name's place in the strings, has this name.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let Ok(place) = self.size(at) else { return false };
        let text = self.data.get(self.strings + place..).unwrap_or_default();
        text.get(name.len()) == Some(&0) && text.starts_with(name.as_bytes())
    }

    fn size(&self, at: usize) -> Result<usize, BtfError> {
        self.word(at).map(|word| word as usize)
    }

    fn word(&self, at: usize) -> Result<u32, BtfError> {
        let bytes = self.data.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(|| malformed(at, "the file ends here"))?;
        Ok(u32::from_ne_bytes(*bytes))
    }
}

fn malformed(at: usize, what: impl Into<String>) -> BtfError {
    BtfError::Malformed { at, what: what.into() }
}

#[cfg(test)]
mod tests;
