//! Text for a terminal: safe, wrapped, and in colour where there is one.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

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

/// What a terminal shows and does not obey: names come from elsewhere. Letters that take no room could hide something or turn the
/// line round, and are let through only as accents.
pub(super) fn safe(text: &str) -> String {
    let is_shown = |c: char| match c {
        '\u{2028}' | '\u{2029}' => false,
        '\u{300}'..='\u{36f}' => true,
        _ => c.width().is_some_and(|width| width > 0),
    };
    text.chars().map(|c| if is_shown(c) { c } else { '?' }).collect()
}

/// At most `width` columns; a cut shows as `..`.
pub(super) fn cut(text: &str, width: usize) -> String {
    let mut text = safe(text);
    if text.width() > width {
        while text.width() > width.saturating_sub(2) {
            text.pop();
        }
        text += "..";
    }
    text
}

/// Exactly `width` columns, cut or filled up.
pub(super) fn fit(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let room = width.saturating_sub(text.width());
    text + &" ".repeat(room)
}

/// Lines of at most `width` columns, broken at spaces where there are any.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in safe(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
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
        assert_eq!(safe("a\x1b[31mb\u{9b}\nc\u{7f}\u{85}"), "a?[31mb??c??");
        // Right-to-left override, isolate, zero-width joiner, byte order mark, tag, line separator.
        assert_eq!(safe("\u{202e}\u{2066}\u{200d}\u{feff}\u{e0041}\u{2028}"), "??????");
    }

    #[test]
    fn what_can_be_read_is_shown_in_the_columns_that_it_takes() {
        assert_eq!(safe("büro-東京-e\u{301}-Ω"), "büro-東京-e\u{301}-Ω");
        assert_eq!(cut("container", 6), "cont..");
        assert_eq!((cut("äää", 3), cut("ääää", 3)), ("äää".to_owned(), "ä..".to_owned()));
        assert_eq!((cut("東京", 4), cut("東京都", 5)), ("東京".to_owned(), "東..".to_owned()));
        assert_eq!((fit("東京", 6), fit("é", 3)), ("東京  ".to_owned(), "é  ".to_owned()));
    }

    #[test]
    fn lines_are_no_wider_than_asked_for() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 8), ["a-very..", "b"]);
        assert!(wrap("", 8).is_empty());
    }
}
