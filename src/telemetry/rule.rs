//! The alert rules by name and unit. The limits of each are in [`thresholds`](super::thresholds).

/// A rule: the value that is compared with thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Requests that wait for a connection.
    Waiting,
    /// Time to get a connection, in milliseconds.
    Acquire,
    /// Share of operations that fail.
    ErrorRate,
    /// Share of the connections that is used.
    Utilisation,
}

impl Rule {
    /// Every rule, in the order of its state.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Acquire, Self::ErrorRate, Self::Utilisation];

    /// The name in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Acquire => "acquire",
            Self::ErrorRate => "error_rate",
            Self::Utilisation => "utilisation",
        }
    }

    /// The name in settings.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::ErrorRate => "errorRate",
            _ => self.name(),
        }
    }

    /// The unit of its values.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Waiting => "requests",
            Self::Acquire => "ms",
            Self::ErrorRate | Self::Utilisation => "ratio",
        }
    }
}
