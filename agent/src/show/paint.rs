//! Text for a terminal: safe, wrapped, and in colour where there is one.

/// Colours on, or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

/// What a colour is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Heading,
    Quiet,
    Good,
    Caution,
    Bad,
    Low,
}

impl Paint {
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    /// The text in its tone. Its width must be right before: escape sequences have none but count as letters.
    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Heading => "1",
            Tone::Quiet => "2",
            Tone::Good => "32",
            Tone::Caution => "33",
            Tone::Bad => "31",
            Tone::Low => "36",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Printable ASCII alone: names come from elsewhere and could hold what a terminal obeys.
pub(super) fn safe(text: &str) -> String {
    text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// At most `width` letters; a cut shows as `..`.
pub(super) fn cut(text: &str, width: usize) -> String {
    let text = safe(text);
    if text.len() <= width { text } else { format!("{}..", &text[..width.saturating_sub(2)]) }
}

/// Lines of at most `width` letters, broken at spaces where there are any.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in safe(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(cut(word, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        assert_eq!(safe("a\x1b[31mb\u{9b}\nä"), "a?[31mb???");
        assert_eq!(cut("container", 6), "cont..");
        assert_eq!(cut("\u{e4}\u{e4}\u{e4}", 3), "???");
    }

    #[test]
    fn lines_are_no_wider_than_asked_for() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 8), ["a-very..", "b"]);
        assert!(wrap("", 8).is_empty());
    }
}
