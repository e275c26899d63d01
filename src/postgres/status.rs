//! Whether a connection is inside a transaction, as `ReadyForQuery` says.

/// The transaction status the server reports when it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No transaction.
    Idle,
    /// Inside one.
    Transaction,
    /// Inside a failed one.
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
