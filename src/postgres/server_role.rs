//! The role that a server reports: standby or primary, writable by default or not.
//!
//! Since PostgreSQL 14 both are reported at login and at every change, so that connections that live through
//! a promotion notice it. Older servers and poolers report nothing.

/// The role of a server, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Role {
    /// `in_hot_standby`.
    pub standby: Option<bool>,
    /// `default_transaction_read_only`, of the session.
    pub read_only: Option<bool>,
}

impl Role {
    pub(super) fn reported<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut role = Self::default();
        for (name, value) in parameters {
            role.note(name, value);
        }
        role
    }

    /// Notes a parameter that was reported.
    pub(super) fn note(&mut self, name: &str, value: &str) {
        match name {
            "in_hot_standby" => self.standby = Some(value == "on"),
            "default_transaction_read_only" => self.read_only = Some(value == "on"),
            _ => {}
        }
    }

    /// Whether a transaction may write by default.
    pub fn is_writable(self) -> Option<bool> {
        match (self.standby, self.read_only) {
            (Some(true), _) | (_, Some(true)) => Some(false),
            (Some(false), Some(false)) => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_writable_only_if_it_says_both() {
        let role = |pairs: &[(&str, &str)]| Role::reported(pairs.iter().copied()).is_writable();
        assert_eq!(role(&[]), None);
        assert_eq!(role(&[("in_hot_standby", "off")]), None);
        assert_eq!(role(&[("in_hot_standby", "on")]), Some(false));
        assert_eq!(role(&[("default_transaction_read_only", "on")]), Some(false));
        let both = [("in_hot_standby", "off"), ("default_transaction_read_only", "off")];
        assert_eq!(role(&both), Some(true));
    }
}
