//! Text helpers: cutting on character boundaries, quoting untrusted text in messages, and hexadecimal digits.

/// The longest beginning of `text` that is at most `bytes` long.
pub(crate) fn truncated(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Shortens and escapes untrusted text for a message: no control characters remain.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let shown: String = truncated(text, SHOWN).escape_debug().collect();
    if text.len() > SHOWN { format!("{shown}… ({} bytes)", text.len()) } else { shown }
}

/// Returns whether a character shows nothing by itself, or changes how the text around it shows: controls, marks of direction, spaces
/// without width, fillers and tags. Joiners are none, since emoji and words of some languages need them.
pub(crate) fn is_unseen(letter: char) -> bool {
    // The format characters of Unicode (Cf) save U+200C and U+200D, line and paragraph separators, and letters that are blank.
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text without characters that are not seen or turn the direction of the text around them. Line breaks and tabs stay.
pub(crate) fn seen(text: &str) -> String {
    text.chars().filter(|letter| matches!(letter, '\n' | '\t') || !is_unseen(*letter)).collect()
}

/// Two lower-case hexadecimal digits for each byte.
pub(crate) fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let digits = bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_on_character_boundaries() {
        assert_eq!(truncated("aüb", 2), "a");
        assert_eq!(truncated("aüb", 3), "aü");
        assert_eq!(truncated("aüb", 99), "aüb");
    }

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quoted("a\nb"), "a\\nb");
        let long = quoted(&"x".repeat(10_000_000));
        assert!(long.len() < 100 && long.ends_with("… (10000000 bytes)"), "{long}");
    }

    #[test]
    fn a_text_for_people_loses_what_they_cannot_see() {
        assert_eq!(seen("pay\u{202e}daol\u{200b}\n\tü\u{7}"), "paydaol\n\tü");
    }

    #[test]
    fn hex_has_two_digits_for_each_byte() {
        assert_eq!(hex([0, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }
}
