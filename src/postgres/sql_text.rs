//! The statements in a text of SQL, and the kind of each. Comments, strings and quoted names are skipped as
//! the server skips them. This is no parser: a text that is not well-formed is refused by the server.

use super::sql_tokens::{Token, Tokens, is_word};

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

    /// Whether texts may mean something else after it: their names, literals or operators.
    fn changes_meanings(&self) -> bool {
        const KINDS: &[&str] = &["create", "alter", "drop", "import", "discard", "do", "call"];
        if self.first.is_one_of(&["set", "reset"]) {
            return !self.sets_something_harmless();
        }
        self.first.is_one_of(KINDS) || self.creates_a_table()
    }

    /// Whether SET or RESET is about a variable of the application, the role, a time limit or the transaction.
    fn sets_something_harmless(&self) -> bool {
        const NAMES: &[&str] = &["role", "application_name", "transaction", "constraints", "characteristics"];
        let mut tokens = self.tokens().filter(|token| !token.is_one_of(&["session", "local"]));
        let (name, behind) = (tokens.next(), tokens.next());
        let Some(Token::Word(word)) = name else { return false };
        let is_harmless =
            Token::Word(word).is_one_of(NAMES) || word.to_ascii_lowercase().ends_with("_timeout");
        is_harmless || behind == Some(Token::Symbol(b'.'))
    }

    /// Whether it is a SELECT INTO, or an EXPLAIN of one or of a CREATE TABLE AS.
    fn creates_a_table(&self) -> bool {
        let explains = self.first.is("explain");
        if !(explains || self.first.is_one_of(&["select", "with"]) && self.rest.mentions("into")) {
            return false;
        }
        let mut last = self.first;
        self.tokens().any(|token| {
            let before = std::mem::replace(&mut last, token);
            (token.is("into") && !before.is_one_of(&["insert", "merge"])) || (explains && token.is("create"))
        })
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

/// Whether the text is one statement that neither ends nor begins a transaction, and takes no data of the client's: it does
/// the same in the extended protocol as in the simple one, behind others and before others.
pub fn may_go_with_others(text: &str) -> bool {
    let mut statements = statements(text);
    let is_known = |only: &SqlStatement<'_>| only.leaves_nothing_behind() || only.first.is("savepoint");
    statements.next().is_some_and(|only| is_known(&only)) && statements.next().is_none()
}

/// Whether texts may mean something else after one of the statements of this text.
pub fn changes_meanings(text: &str) -> bool {
    let mut statements = statements(text);
    if text.contains(';') {
        statements.any(|statement| statement.changes_meanings())
    } else {
        statements.next().is_some_and(|only| only.changes_meanings())
    }
}

/// Whether the text holds a quoted word that stands for a moment and is read when the text is parsed.
pub fn has_words_read_once(text: &str) -> bool {
    const WORDS: &[&str] = &["now", "today", "tomorrow", "yesterday"];
    let is_one = |word: &str| WORDS.iter().any(|once| word.eq_ignore_ascii_case(once));
    Tokens::of(text).any(|token| match token {
        Token::Text(quoted) => quoted.split(|c: char| !is_word(c)).any(is_one),
        _ => false,
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
    fn what_goes_with_others_is_one_statement_that_leaves_the_transaction_as_it_is() {
        for text in
            ["SELECT 1;", "insert into t values ($1)", "WITH x AS (SELECT 1) DELETE FROM t", "SAVEPOINT a"]
        {
            assert!(may_go_with_others(text), "{text}");
        }
        for text in [
            "",
            "-- nothing",
            "SELECT 1; SELECT 2",
            "COMMIT",
            "ROLLBACK TO a",
            "BEGIN",
            "PREPARE TRANSACTION 'x'",
            "COPY t FROM STDIN",
            "CALL p()",
            "SET LOCAL a = 1",
            "CREATE TABLE t (a int)",
            "EXECUTE p",
            "LISTEN a",
        ] {
            assert!(!may_go_with_others(text), "{text}");
        }
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
    fn what_changes_the_meanings_of_texts_is_told_from_what_does_not() {
        for text in [
            "CREATE TEMP TABLE x (a int)",
            "/* */ alter table x add b int",
            "DROP FUNCTION f",
            "IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y",
            "SELECT a INTO x FROM t",
            "WITH c AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * INTO x FROM c",
            "EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1",
            "SET timezone = 'UTC'",
            "SET LOCAL TIME ZONE 'UTC'",
            "SET SESSION search_path TO a, b",
            "SET SESSION AUTHORIZATION x",
            "SET \"TimeZone\" = 'UTC'",
            "RESET ALL",
            "reset datestyle",
            "DISCARD TEMP",
            "DO $$ BEGIN CREATE TEMP TABLE x (a int); END $$",
            "CALL p()",
        ] {
            assert!(only(text).changes_meanings(), "{text}");
        }
        for text in [
            "SELECT 'create into'",
            "SELECT \"into\" FROM t",
            "INSERT INTO t VALUES (1)",
            "WITH c AS (INSERT INTO t VALUES (1)) MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE",
            "SET app.tenant = '1'",
            "SET LOCAL app.tenant TO '1'",
            "SET ROLE x",
            "SET SESSION ROLE x",
            "RESET ROLE",
            "SET statement_timeout = 0",
            "SET LOCAL lock_timeout = '1s'",
            "SET TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET application_name = 'x'",
            "COMMENT ON TABLE x IS 'create'",
        ] {
            assert!(!only(text).changes_meanings(), "{text}");
        }
    }

    #[test]
    fn words_that_are_read_once_are_found_in_strings_only() {
        for text in [
            "INSERT INTO t VALUES ('now', $1)",
            "SELECT date 'TODAY' + $1",
            "SELECT E' tomorrow\\n'::date, '[now,infinity)'::tsrange, $$yesterday$$::date",
            "SELECT 'it''s now'",
        ] {
            assert!(has_words_read_once(text), "{text}");
        }
        for text in
            ["SELECT now(), $1", "SELECT 'nowhere', \"now\" -- 'now'", "SELECT 'knows today_' /* 'now' */"]
        {
            assert!(!has_words_read_once(text), "{text}");
        }
    }
}
