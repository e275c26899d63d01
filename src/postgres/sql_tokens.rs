//! The tokens of a text of SQL, cut where the server cuts them: comments are left out, strings and quoted names are
//! whole.

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A character of punctuation, or an operator's.
    Symbol(u8),
    /// A string, in its quotes.
    Text(&'a str),
    /// A quoted name or a parameter.
    Other,
}

impl Token<'_> {
    pub(super) fn is(self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_one_of(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

/// The tokens of a text.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Whether the word is there at all, be it in a string or a comment.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.rest.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Cuts `length` bytes off; past the end, or within a character, all that is left.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Cuts off everything up to the end of `delimiter`.
    fn take_through(&mut self, delimiter: &str) -> &'a str {
        let length = self.rest.find(delimiter).map_or(self.rest.len(), |at| at + delimiter.len());
        self.take(length)
    }

    /// Cuts off a comment, which may hold others.
    fn take_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.take(self.rest.find(['*', '/']).unwrap_or(usize::MAX));
            if self.rest.is_empty() {
                return;
            }
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(1);
            }
        }
    }

    /// Cuts off what is quoted by `quote`, doubled inside; with `escapes` a backslash hides the next
    /// character.
    fn take_quoted(&mut self, quote: char, escapes: bool) -> &'a str {
        let begin = self.rest;
        self.skip_quoted(quote, escapes);
        begin.strip_suffix(self.rest).unwrap_or(begin)
    }

    fn skip_quoted(&mut self, quote: char, escapes: bool) {
        self.take(1);
        while let Some(at) = self.rest.find([quote, '\\']) {
            self.take(at);
            if self.rest.starts_with('\\') {
                self.take(1);
                let hidden = self.rest.chars().next().filter(|_| escapes).map_or(0, char::len_utf8);
                self.take(hidden);
                continue;
            }
            self.take(1);
            if !self.rest.starts_with(quote) {
                return;
            }
            self.take(1);
        }
        self.take(usize::MAX);
    }

    /// Cuts off `$1`, or a text quoted by `$tag$`.
    fn take_dollar(&mut self) -> Token<'a> {
        let tag = self.rest.get(1..).unwrap_or_default().find('$').and_then(|end| self.rest.get(..end + 2));
        let is_tag = |tag: &&str| {
            let name = tag.trim_matches('$');
            !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word)
        };
        let Some(tag) = tag.filter(is_tag) else {
            self.take(1);
            return Token::Other;
        };
        self.take(tag.len());
        Token::Text(self.take_through(tag))
    }
}

/// Whether the character may be part of a word.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

impl<'a> Tokens<'a> {
    /// Cuts off what stands before the next token. True: there was something.
    pub(super) fn skip_blank(&mut self) -> bool {
        let before = self.rest.len();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("--") {
                self.take_through("\n");
            } else if self.rest.starts_with("/*") {
                self.take_comment();
            } else {
                return self.rest.len() < before;
            }
        }
    }

    /// The next token, and how it is written.
    pub(super) fn next_written(&mut self) -> Option<(Token<'a>, &'a str)> {
        self.skip_blank();
        let begin = self.rest;
        let token = self.take_token()?;
        Some((token, begin.strip_suffix(self.rest).unwrap_or(begin)))
    }

    fn take_token(&mut self) -> Option<Token<'a>> {
        Some(match self.rest.chars().next()? {
            '\'' => Token::Text(self.take_quoted('\'', false)),
            '"' => {
                self.take_quoted('"', false);
                Token::Other
            }
            '$' => self.take_dollar(),
            first if is_word(first) => {
                let end = self.rest.find(|c| !is_word(c) && c != '$').unwrap_or(self.rest.len());
                let word = self.take(end);
                if word.eq_ignore_ascii_case("e") && self.rest.starts_with('\'') {
                    return Some(Token::Text(self.take_quoted('\'', true)));
                }
                Token::Word(word)
            }
            symbol => {
                self.take(symbol.len_utf8());
                Token::Symbol(u8::try_from(symbol).unwrap_or(b'?'))
            }
        })
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.next_written().map(|(token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_anywhere_ends() {
        let text = "é$é$ /* é /* */ 'é''' E'\\é' \"é\" -- é\n$1 é;";
        for (at, _) in text.char_indices() {
            assert!(Tokens::of(&text[..at]).count() <= at);
        }
    }
}
