//! Cutting and quoting text for people and agents. Text is cut on character boundaries, never within one.

/// The longest beginning of `text` that is at most `bytes` long.
pub(crate) fn truncated(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// A text of unknown length and content as it may stand in a message: short, and without control characters.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let shown: String = truncated(text, SHOWN).escape_debug().collect();
    if text.len() > SHOWN { format!("{shown}… ({} bytes)", text.len()) } else { shown }
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
}
