//! The transaction status of a connection, as `ReadyForQuery` reports it.

/// Whether the session is inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No transaction.
    Idle,
    /// Inside a transaction.
    Transaction,
    /// Inside a failed transaction.
    Failed,
}

impl Status {
    /// The letter of the protocol.
    pub fn letter(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Transaction => b'T',
            Self::Failed => b'E',
        }
    }
}
