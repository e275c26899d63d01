//! The text of a statement as a log may show it: without values, without comments, and not long.

use super::sql_tokens::{Token, Tokens};

/// The most bytes of a text that are shown.
const LONGEST: usize = 1000;
/// The end of a text that was cut.
const CUT: &str = "...";

/// The text with `?` for each string and number that is written in it, and one space for each gap.
pub fn sanitized(text: &str) -> String {
    let mut shown = String::new();
    let mut tokens = Tokens::of(text);
    let mut is_parameter = false;
    loop {
        let has_gap = tokens.skip_blank();
        let Some((token, source)) = tokens.next_written() else { return shown };
        let is_value = match token {
            Token::Text(_) => true,
            Token::Word(word) => word.starts_with(|c: char| c.is_ascii_digit()) && (has_gap || !is_parameter),
            Token::Symbol(_) | Token::Other => false,
        };
        let written = if is_value { "?" } else { source };
        let gap = if has_gap && !shown.is_empty() { " " } else { "" };
        if shown.len() + gap.len() + written.len() + CUT.len() > LONGEST {
            return shown + CUT;
        }
        shown.push_str(gap);
        shown.push_str(written);
        is_parameter = written == "$";
        // Where strings do not conform to the standard, it ends elsewhere.
        if is_value && source.starts_with('\'') && source.contains("\\'") {
            return shown + CUT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_comments_are_not_shown() {
        for (text, shown) in [
            ("SELECT 1", "SELECT ?"),
            (
                "SELECT a1, \"b 2\" FROM t3 WHERE c = $1 AND d=$22",
                "SELECT a1, \"b 2\" FROM t3 WHERE c = $1 AND d=$22",
            ),
            ("ALTER ROLE x PASSWORD 'secret'", "ALTER ROLE x PASSWORD ?"),
            ("SELECT 'it''s', E'it\\'s secret', $tag$ secret $tag$, 1.5e3", "SELECT ?, ?, ?, ?.?"),
            ("/* secret */ SELECT -- secret\n\t2", "SELECT ?"),
            ("SELECT 'a\\' secret '", "SELECT ?..."),
            ("SELECT 'a\\'', 'secret'", "SELECT ?..."),
            ("SELECT 'secret", "SELECT ?"),
            ("SELECT $ 5", "SELECT $ ?"),
            ("", ""),
        ] {
            assert_eq!(sanitized(text), shown, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "é ".repeat(1000);
        let shown = sanitized(&text);
        assert!(shown.len() <= LONGEST && shown.ends_with("é..."), "{shown}");
        assert_eq!(sanitized(&"x".repeat(2000)), CUT);
    }
}
