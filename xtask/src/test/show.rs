//! What tests say, as people see it.

use std::io::{self, Write};

use super::compatibility::Ground;

/// How the output of what may run beside another is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    AsItComes,
    /// Beside that of another: whole lines, the ground's name before each.
    LinesOf(Ground),
}

/// Shows and keeps what is written.
pub(super) struct Tee<W> {
    show: Show,
    to: W,
    pub(super) kept: Vec<u8>,
    /// How much of it has been shown.
    shown: usize,
}

impl<W: Write> Tee<W> {
    pub(super) fn new(show: Show, to: W) -> Self {
        Self { show, to, kept: Vec::new(), shown: 0 }
    }

    /// Shows what is left, be it half a line.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.shown < self.kept.len() {
            self.write_all(b"\n")?;
        }
        self.flush()
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        let Show::LinesOf(ground) = self.show else {
            self.shown = self.kept.len();
            return self.to.write_all(bytes).map(|()| bytes.len());
        };
        while let Some(length) = self.kept[self.shown..].iter().position(|byte| *byte == b'\n') {
            let line = self.shown..=self.shown + length;
            self.to.write_all(&[format!("{ground}: ").as_bytes(), &self.kept[line.clone()]].concat())?;
            self.shown = line.end() + 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_another_guest_each_line_says_whose_it_is() {
        let (mut plain, mut named) = (Vec::new(), Vec::new());
        for (show, to) in [(Show::AsItComes, &mut plain), (Show::LinesOf(Ground::Systemd), &mut named)] {
            let mut tee = Tee::new(show, to);
            for part in ["a te", "st\nanother", "\n\nhalf"] {
                tee.write_all(part.as_bytes()).unwrap();
            }
            tee.end().unwrap();
            assert!(tee.kept.starts_with(b"a test\nanother\n\nhalf"));
        }
        assert_eq!(String::from_utf8(plain).unwrap(), "a test\nanother\n\nhalf");
        assert_eq!(String::from_utf8(named).unwrap(), "systemd: a test\nsystemd: another\nsystemd: \nsystemd: half\n");
    }
}
