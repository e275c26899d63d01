//! The watch on a transaction: whether the function of a transaction has ended it by itself. Then a part of
//! its work may be committed, and the function must not run again. The watch reads what is sent, since an
//! answer may be lost, and what the server answers.

use super::{
    Status,
    sql_text::{TransactionEffect, statements},
};

/// The watch on a connection's transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum TransactionWatch {
    /// Nobody watches.
    #[default]
    Off,
    /// The transaction is open.
    Open,
    /// The transaction was rolled back; nothing was sent since.
    RolledBack,
    /// A part of what was sent may be committed.
    Committed,
}

impl TransactionWatch {
    /// A text is sent.
    pub(super) fn on_sent(&mut self, text: &str) {
        if !self.is_undecided() {
            return;
        }
        for statement in statements(text) {
            *self = match (statement.transaction_effect(), *self) {
                (TransactionEffect::None, Self::RolledBack) | (TransactionEffect::Commits, _) => {
                    Self::Committed
                }
                (TransactionEffect::RollsBack, Self::Open) => Self::RolledBack,
                (TransactionEffect::Begins, Self::RolledBack) => Self::Open,
                (_, watch) => watch,
            };
        }
    }

    /// A statement is complete.
    pub(super) fn on_complete(&mut self, tag: &[u8]) {
        if self.is_undecided() && matches!(tag, b"COMMIT" | b"PREPARE TRANSACTION") {
            *self = Self::Committed;
        }
    }

    /// The server is ready for the next statement.
    pub(super) fn on_ready(&mut self, status: Status) {
        if *self == Self::Open && status == Status::Idle {
            *self = Self::Committed;
        }
    }

    fn is_undecided(self) -> bool {
        matches!(self, Self::Open | Self::RolledBack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> TransactionWatch {
        let mut watch = TransactionWatch::Open;
        for text in texts {
            watch.on_sent(text);
        }
        watch
    }

    #[test]
    fn a_commit_that_was_sent_may_have_committed() {
        for texts in [
            &["COMMIT"][..],
            &["INSERT INTO t VALUES (1); end; BEGIN"],
            &["COMMIT AND CHAIN"],
            &["PREPARE TRANSACTION 'x'", "BEGIN"],
            &["ROLLBACK", "INSERT INTO t VALUES (1)"],
            &["ROLLBACK; INSERT INTO t VALUES (1)"],
        ] {
            assert_eq!(after(texts), TransactionWatch::Committed, "{texts:?}");
        }
    }

    #[test]
    fn what_was_rolled_back_is_not_committed() {
        assert_eq!(after(&["ROLLBACK"]), TransactionWatch::RolledBack);
        assert_eq!(after(&["ROLLBACK", "ROLLBACK"]), TransactionWatch::RolledBack);
        for texts in [
            &["ROLLBACK; BEGIN", "INSERT INTO t VALUES (1)"][..],
            &["ROLLBACK AND CHAIN", "INSERT INTO t VALUES (1)"],
            &["SAVEPOINT a", "ROLLBACK TO a", "RELEASE a"],
            &["BEGIN"],
        ] {
            assert_eq!(after(texts), TransactionWatch::Open, "{texts:?}");
        }
    }

    #[test]
    fn what_the_server_says_counts_where_the_text_said_nothing() {
        let mut watch = TransactionWatch::Open;
        watch.on_complete(b"ROLLBACK");
        watch.on_ready(Status::Failed);
        assert_eq!(watch, TransactionWatch::Open);
        watch.on_ready(Status::Idle);
        assert_eq!(watch, TransactionWatch::Committed);
        let mut watch = TransactionWatch::Open;
        watch.on_complete(b"COMMIT");
        assert_eq!(watch, TransactionWatch::Committed);
        let mut unwatched = TransactionWatch::Off;
        unwatched.on_sent("COMMIT");
        unwatched.on_complete(b"COMMIT");
        unwatched.on_ready(Status::Idle);
        assert_eq!(unwatched, TransactionWatch::Off);
    }
}
