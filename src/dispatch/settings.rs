//! The settings of one tier: where it connects, how its pool behaves, what it does about failures.

use std::{sync::Arc, time::Duration};

use super::{hosts::Hosts, policy::Policy, shared_quotas::JsonQuota};
use crate::{
    pool,
    postgres::{Config, Dialer, LoginListener, Resolver},
};

/// What is recorded of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Monitoring {
    /// Nothing.
    Off,
    /// It is measured.
    Measured,
    /// It is measured, and its warnings are written to standard error unasked.
    Logged,
}

/// What JavaScript does for the connections of a tier.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeServices {
    /// It opens the streams.
    pub(super) dial: bool,
    /// It resolves names of hosts.
    pub(super) lookup: bool,
    /// It hears how each login goes.
    pub(super) tell_login: bool,
}

/// Where a tier connects, and how its pool behaves.
pub struct Settings {
    /// The name of the tier; none: a pool of its own.
    pub tier: Option<String>,
    pub(super) monitoring: Monitoring,
    /// Whether measuring is on from the start.
    pub(super) is_measured: bool,
    /// How long a query runs that is logged as slow; zero: none is.
    pub(super) slow_query: Duration,
    pub(super) node: NodeServices,
    pub(super) config: Config,
    pub(super) hosts: Hosts,
    pub(super) budget: Option<JsonQuota>,
    pub(super) pool: pool::PoolSettings,
    pub(super) policy: Policy,
}

/// Settings that make no sense, all of them at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct SettingsError(pub(super) Vec<String>);

impl SettingsError {
    /// One line per setting.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl Settings {
    /// The name of the tier in metrics: its own, else the address of its first host.
    pub fn name(&self) -> String {
        self.tier.clone().unwrap_or_else(|| {
            let database = self.config.database.as_ref().unwrap_or(&self.config.user);
            let host = self.hosts.first();
            host.map_or_else(|| database.clone(), |host| format!("{}:{}/{database}", host.name, host.port))
        })
    }

    /// Has streams opened by `dialer`: all, if the settings ask for that, else those whose TLS is beyond ours.
    pub fn dial_by(&mut self, dialer: Arc<dyn Dialer>) {
        if self.node.dial {
            self.config.dialer = Some(dialer);
        } else {
            self.config.tls_dialer = Some(dialer);
        }
    }

    /// Has names of hosts resolved by `resolver`, if the settings ask for that.
    pub fn resolve_by(&mut self, resolver: impl FnOnce() -> Arc<dyn Resolver>) {
        if self.node.lookup {
            self.config.resolver = Some(resolver());
        }
    }

    /// Has `login_listener` hear how each login goes, if the settings ask for that.
    pub fn tell_logins(&mut self, login_listener: impl FnOnce() -> Arc<dyn LoginListener>) {
        if self.node.tell_login {
            self.config.login_listener = Some(login_listener());
        }
    }
}
