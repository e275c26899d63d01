//! `target_session_attrs` of libpq: the kind of server that is wanted, and how it is recognized.

use crate::postgres::Role;

/// `target_session_attrs`: the kind of server that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum TargetSessionAttrs {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby where there is one, else any.
    PreferStandby,
}

impl TargetSessionAttrs {
    pub(super) const NAMES: &str = "any, read-write, read-only, primary, standby or prefer-standby";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// What the server's reports say; none: it has to be asked.
    pub(super) fn suits(self, role: Role) -> Option<bool> {
        match self {
            Self::Any => Some(true),
            Self::ReadWrite => role.is_writable(),
            Self::ReadOnly => role.is_writable().map(|is_writable| !is_writable),
            Self::Primary => role.standby.map(|is_standby| !is_standby),
            Self::Standby | Self::PreferStandby => role.standby,
        }
    }

    /// The question that decides it, and the answer that suits.
    pub(super) fn question(self) -> (&'static str, &'static str) {
        const READ_ONLY: &str = "SHOW transaction_read_only";
        const STANDBY: &str = "SELECT pg_catalog.pg_is_in_recovery()";
        match self {
            Self::Any | Self::ReadWrite => (READ_ONLY, "off"),
            Self::ReadOnly => (READ_ONLY, "on"),
            Self::Primary => (STANDBY, "f"),
            Self::Standby | Self::PreferStandby => (STANDBY, "t"),
        }
    }

    /// libpq's words for a server that does not suit.
    pub(super) fn complaint(self) -> &'static str {
        match self {
            Self::Any | Self::ReadWrite => "session is read-only",
            Self::ReadOnly => "session is not read-only",
            Self::Primary => "server is in hot standby mode",
            Self::Standby | Self::PreferStandby => "server is not in hot standby mode",
        }
    }

    /// Whether its users mean to write.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::Any | Self::ReadWrite | Self::Primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_knows_the_reports_that_suit_it() {
        let standby = Role { standby: Some(true), read_only: Some(false) };
        let primary = Role { standby: Some(false), read_only: Some(false) };
        let quiet = Role::default();
        let verdicts = |name| {
            let target = TargetSessionAttrs::named(name).unwrap();
            [standby, primary, quiet].map(|role| target.suits(role))
        };
        assert_eq!(verdicts("any"), [Some(true), Some(true), Some(true)]);
        assert_eq!(verdicts("read-write"), [Some(false), Some(true), None]);
        assert_eq!(verdicts("read-only"), [Some(true), Some(false), None]);
        assert_eq!(verdicts("primary"), [Some(false), Some(true), None]);
        assert_eq!(verdicts("standby"), [Some(true), Some(false), None]);
        assert_eq!(verdicts("prefer-standby"), [Some(true), Some(false), None]);
        assert_eq!(TargetSessionAttrs::named("master"), None);
    }
}
