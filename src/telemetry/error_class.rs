//! Classes of errors: few enough for a label of a metric, precise enough for the person on duty.

/// The class of the error that ended an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The connection was lost or could not be made.
    Connection,
    /// The certificate or the handshake did not verify.
    Tls,
    /// Wrong credentials, or missing rights.
    Authentication,
    /// The server shut down or starts up.
    Shutdown,
    /// The server lacks memory, disk or connections.
    Resource,
    /// No connection became free in time.
    AcquireTimeout,
    /// The statement exceeded its timeout.
    QueryTimeout,
    /// The statement was cancelled, by the caller or for it.
    Cancelled,
    /// A serialization failure or a deadlock.
    Serialization,
    /// A constraint was violated.
    Constraint,
    /// A value is out of range, or of the wrong form.
    Data,
    /// The statement is wrong, or names something that does not exist.
    Statement,
    /// The circuit breaker is open.
    CircuitOpen,
    /// Too many requests wait already.
    PoolFull,
    /// The server broke the protocol.
    Protocol,
    /// Anything else.
    Other,
}

impl FailureClass {
    /// Every class, in the order of its counters.
    pub const ALL: [Self; 16] = [
        Self::Connection,
        Self::Tls,
        Self::Authentication,
        Self::Shutdown,
        Self::Resource,
        Self::AcquireTimeout,
        Self::QueryTimeout,
        Self::Cancelled,
        Self::Serialization,
        Self::Constraint,
        Self::Data,
        Self::Statement,
        Self::CircuitOpen,
        Self::PoolFull,
        Self::Protocol,
        Self::Other,
    ];

    /// The value of the attribute `error.type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Authentication => "authentication",
            Self::Shutdown => "shutdown",
            Self::Resource => "resource",
            Self::AcquireTimeout => "acquire_timeout",
            Self::QueryTimeout => "query_timeout",
            Self::Cancelled => "cancelled",
            Self::Serialization => "serialization",
            Self::Constraint => "constraint",
            Self::Data => "data",
            Self::Statement => "statement",
            Self::CircuitOpen => "circuit_open",
            Self::PoolFull => "pool_full",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }

    /// Whether it counts against the health of a tier. Statements that the caller cancelled do not.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::FailureClass;

    #[test]
    fn every_class_stands_at_its_own_place() {
        for (place, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
        }
    }
}
