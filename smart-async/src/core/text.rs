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
    fn hex_has_two_digits_for_each_byte() {
        assert_eq!(hex([0, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }
}
