//! The statements in a text of SQL, and the kind of each. Comments, strings and quoted names are skipped as
//! the server skips them. This is no parser: a text that is not well-formed is refused by the server.

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword or a name.
    Word(&'a str),
    /// A character of punctuation, or an operator's.
    Symbol(u8),
    /// A string, a quoted name or a parameter.
    Other,
}

impl Token<'_> {
    fn is(self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_one_of(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

/// The tokens of a text.
#[derive(Debug, Clone)]
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    const fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// Cuts `length` bytes off; past the end, or within a character, all that is left.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Cuts off everything up to the end of `delimiter`.
    fn take_through(&mut self, delimiter: &str) {
        let length = self.rest.find(delimiter).map_or(self.rest.len(), |at| at + delimiter.len());
        self.take(length);
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
    fn take_quoted(&mut self, quote: char, escapes: bool) {
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
    fn take_dollar(&mut self) {
        let tag = self.rest.get(1..).unwrap_or_default().find('$').and_then(|end| self.rest.get(..end + 2));
        let is_tag = |tag: &&str| {
            let name = tag.trim_matches('$');
            !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word)
        };
        match tag.filter(is_tag) {
            Some(tag) => {
                self.take(tag.len());
                self.take_through(tag);
            }
            None => {
                self.take(1);
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            match first {
                '-' if self.rest.starts_with("--") => self.take_through("\n"),
                '/' if self.rest.starts_with("/*") => self.take_comment(),
                '\'' | '"' => {
                    self.take_quoted(first, false);
                    return Some(Token::Other);
                }
                '$' => {
                    self.take_dollar();
                    return Some(Token::Other);
                }
                first if is_word(first) => {
                    let end = self.rest.find(|c| !is_word(c) && c != '$').unwrap_or(self.rest.len());
                    let word = self.take(end);
                    if word.eq_ignore_ascii_case("e") && self.rest.starts_with('\'') {
                        self.take_quoted('\'', true);
                        return Some(Token::Other);
                    }
                    return Some(Token::Word(word));
                }
                symbol => {
                    self.take(symbol.len_utf8());
                    return Some(Token::Symbol(u8::try_from(symbol).unwrap_or(b'?')));
                }
            }
        }
    }
}

/// A statement of a text, from its first token on that is no parenthesis.
#[derive(Debug, Clone)]
pub struct SqlStatement<'a> {
    first: Token<'a>,
    rest: Tokens<'a>,
}

impl<'a> SqlStatement<'a> {
    /// The tokens behind the first one, to the end of the statement.
    fn tokens(&self) -> impl Iterator<Item = Token<'a>> + use<'a> {
        self.rest.clone().take_while(|token| *token != Token::Symbol(b';'))
    }

    /// Whether an error of the server means that nothing of it is committed, since all of it runs in one
    /// transaction.
    pub fn leaves_nothing_behind(&self) -> bool {
        const KINDS: &[&str] = &["select", "values", "table", "with", "insert", "update", "delete", "merge"];
        self.first.is_one_of(KINDS)
    }

    /// Whether all of it runs in one transaction. Another statement may have committed a part before it
    /// fails.
    pub fn is_one_transaction(&self) -> bool {
        const KINDS: &[&str] =
            &["call", "do", "execute", "explain", "vacuum", "cluster", "reindex", "repack"];
        !self.first.is_one_of(KINDS) && !self.tokens().any(|token| token.is("concurrently"))
    }

    /// The effect on the transaction it is sent in.
    pub fn transaction_effect(&self) -> TransactionEffect {
        let next_is = |keyword| self.tokens().next().is_some_and(|token| token.is(keyword));
        let mut tokens = self.tokens().filter(|token| !token.is_one_of(&["work", "transaction"]));
        if self.first.is_one_of(&["begin", "start"]) {
            TransactionEffect::Begins
        } else if self.first.is_one_of(&["commit", "end"])
            || (self.first.is("prepare") && next_is("transaction"))
        {
            TransactionEffect::Commits
        } else if self.first.is_one_of(&["rollback", "abort"]) {
            match (tokens.next(), tokens.next()) {
                // Back to a savepoint, or on into the next transaction.
                (Some(to), _) if to.is("to") => TransactionEffect::None,
                (Some(and), Some(chain)) if and.is("and") && chain.is("chain") => TransactionEffect::None,
                _ => TransactionEffect::RollsBack,
            }
        } else {
            TransactionEffect::None
        }
    }
}

/// The effect of a statement on the transaction it is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionEffect {
    /// None: the session is inside or outside of a transaction as before, and nothing was committed.
    None,
    /// Begins one.
    Begins,
    /// Commits it, now or later by its name.
    Commits,
    /// Rolls it back, and leaves the session outside of a transaction.
    RollsBack,
}

/// The statements of a text.
pub fn statements(text: &str) -> impl Iterator<Item = SqlStatement<'_>> {
    let mut rest = Tokens::of(text);
    let mut begun = false;
    std::iter::from_fn(move || {
        if begun {
            rest.find(|token| *token == Token::Symbol(b';'))?;
        }
        begun = true;
        let first = rest.find(|token| !matches!(token, Token::Symbol(b';' | b'(')))?;
        Some(SqlStatement { first, rest: rest.clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> SqlStatement<'_> {
        let mut statements = statements(text);
        let first = statements.next().unwrap();
        assert!(statements.next().is_none(), "{text}");
        first
    }

    #[test]
    fn queries_and_changes_of_rows_leave_nothing_behind() {
        for text in [
            "SELECT 1;",
            " \n-- x\n select 1 -- ; call p()",
            "/* a /* b; */ c */ Select ';' || E'\\';' || $$;$$ || $tag$ $$; $tag$ AS \"a;\"\"b\"",
            "((VALUES (1)))",
            "(TABLE t)",
            "WITH x AS (SELECT 1) SELECT $1 FROM x",
            "INSERT INTO call VALUES (1)",
            "update do set a = $1",
            ";;DELETE FROM t;",
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
        ] {
            assert!(only(text).leaves_nothing_behind(), "{text}");
            assert!(only(text).is_one_transaction(), "{text}");
        }
    }

    #[test]
    fn whatever_may_commit_a_part_is_known_by_its_first_word_or_by_concurrently() {
        for text in [
            "CALL p()",
            "-- SELECT\ncall p()",
            "/* SELECT */ do $$ begin; end $$",
            "VACUUM t",
            "cluster t",
            "REINDEX TABLE t",
            "EXECUTE p",
            "EXPLAIN ANALYZE EXECUTE p",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
            "DROP INDEX /* */ concurrently i",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY",
        ] {
            assert!(!only(text).is_one_transaction(), "{text}");
            assert!(!only(text).leaves_nothing_behind(), "{text}");
        }
        for text in
            ["CREATE TABLE concurrent (a int)", "ALTER TABLE t ADD a int", "COPY t FROM STDIN", "LOCK t"]
        {
            assert!(only(text).is_one_transaction(), "{text}");
            assert!(!only(text).leaves_nothing_behind(), "{text}");
        }
        assert!(statements("").next().is_none());
        assert!(statements("/* open SELECT 1").next().is_none());
        assert!(only("document").is_one_transaction());
    }

    #[test]
    fn the_ends_of_transactions_are_told_from_savepoints() {
        let effect = |text| only(text).transaction_effect();
        for text in
            ["COMMIT", "end transaction", "Commit work and chain", "PREPARE TRANSACTION 'x'", "--\nCOMMIT"]
        {
            assert_eq!(effect(text), TransactionEffect::Commits, "{text}");
        }
        for text in ["ROLLBACK", "abort work", "ROLLBACK AND NO CHAIN", "ROLLBACK PREPARED 'x'"] {
            assert_eq!(effect(text), TransactionEffect::RollsBack, "{text}");
        }
        for text in ["BEGIN", "start transaction isolation level serializable"] {
            assert_eq!(effect(text), TransactionEffect::Begins, "{text}");
        }
        for text in [
            "ROLLBACK TO x",
            "rollback work to savepoint x",
            "ROLLBACK TRANSACTION AND CHAIN",
            "SAVEPOINT commit",
            "PREPARE commit AS SELECT 1",
            "SELECT 'a; COMMIT'",
            "RELEASE x",
        ] {
            assert_eq!(effect(text), TransactionEffect::None, "{text}");
        }
        let effects: Vec<_> = statements("ROLLBACK; INSERT INTO t VALUES (';'); BEGIN;")
            .map(|statement| statement.transaction_effect())
            .collect();
        let expected = [TransactionEffect::RollsBack, TransactionEffect::None, TransactionEffect::Begins];
        assert_eq!(effects, expected);
    }

    #[test]
    fn a_text_that_is_cut_anywhere_ends() {
        let text = "é$é$ /* é /* */ 'é''' E'\\é' \"é\" -- é\n$1 é;";
        for (at, _) in text.char_indices() {
            assert!(Tokens::of(&text[..at]).count() <= at);
        }
    }
}
