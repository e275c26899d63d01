//! The settings of one pool, parsed and validated already by whoever builds them.

use std::sync::Arc;
use std::time::Duration;

use super::Quota;

/// pg's default for the number of connections.
const DEFAULT_MAX: usize = 10;
/// pg's default idle timeout.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the idle limits of firewalls and load balancers, and soon enough to find a dead link before a
/// query does.
const DEFAULT_KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Well within the time that orchestrators leave between the signal and the kill.
const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// The settings of one pool. `None` means "no limit" or "never".
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The most connections at a time, those being made included; at least 1. Default 10.
    pub max: usize,
    /// Connections the idle timeout leaves alone; with `prefill`, also made ahead. Default 0.
    pub min: usize,
    /// Closes a connection nobody used for this long. Default 10 s.
    pub idle_timeout: Option<Duration>,
    /// Bounds one attempt to connect and, without `acquire_timeout`, the wait of a claim. Default
    /// none.
    pub connect_timeout: Option<Duration>,
    /// Bounds the wait of a claim. Default none.
    pub acquire_timeout: Option<Duration>,
    /// Closes a connection when it is returned for the n-th time. Default none.
    pub max_uses: Option<u64>,
    /// Closes a connection of this age: at once if idle, else when returned. Default none.
    pub max_lifetime: Option<Duration>,
    /// Shortens each lifetime by a random part of at most this share, 0 to 0.25, so that
    /// connections made together do not end together. Default 0.
    pub lifetime_jitter: f64,
    /// The most claims that may wait without a connection being made for them. Default none.
    pub max_waiting: Option<usize>,
    /// Checks a connection before it is leased, if nothing was heard of it for this long. It costs whoever
    /// waits a round trip. Default none: idle connections are checked in the background.
    pub check_after: Option<Duration>,
    /// The time that [`super::Pool::end`] waits for leased connections. Default 10 s.
    pub drain: Option<Duration>,
    /// Makes `min` connections ahead of any claim and replaces them when lost. Default false.
    pub prefill: bool,
    /// Checks an idle connection of which nothing was heard for this long. Default 30 s.
    pub keepalive_after: Option<Duration>,
    /// Reports a lease held for this long. Default none.
    pub leak_after: Option<Duration>,
    /// Whether a failed attempt to connect refuses the oldest claim at once, as pg does. Otherwise
    /// claims wait to their deadline while attempts are repeated with backoff. Default true.
    pub fail_fast: bool,
    /// A limit shared with other pools, within `max`. Default none.
    pub quota: Option<Arc<dyn Quota>>,
}

/// What may change while a pool runs. `None`: as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolChanges {
    /// As [`PoolSettings::max`]. Above a lowered `max` idle connections close now, leased ones when they are
    /// returned.
    pub max: Option<usize>,
    /// As [`PoolSettings::min`]; the guarantee in a shared quota follows.
    pub min: Option<usize>,
    /// As [`PoolSettings::fail_fast`].
    pub fail_fast: Option<bool>,
}

/// A limit of leases below `max`, for as long as somebody else is to be spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseLimit {
    /// The most connections leased at a time. Leases above a lowered limit go on; what comes back is not leased
    /// again.
    pub most: usize,
    /// Closes connections above it, idle ones at once, others when they are returned. Else they stay idle, subject
    /// to the idle timeout.
    pub closes_surplus: bool,
}

impl LeaseLimit {
    /// No limit but `max`.
    pub const NONE: Self = Self { most: usize::MAX, closes_surplus: false };
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            max: DEFAULT_MAX,
            min: 0,
            idle_timeout: Some(DEFAULT_IDLE_TIMEOUT),
            connect_timeout: None,
            acquire_timeout: None,
            max_uses: None,
            max_lifetime: None,
            lifetime_jitter: 0.0,
            max_waiting: None,
            check_after: None,
            drain: Some(DEFAULT_DRAIN),
            prefill: false,
            keepalive_after: Some(DEFAULT_KEEPALIVE_AFTER),
            leak_after: None,
            fail_fast: true,
            quota: None,
        }
    }
}

impl PoolSettings {
    /// The time that a claim may wait, unless its own deadline is earlier.
    pub(super) fn longest_wait(&self) -> Option<Duration> {
        self.acquire_timeout.or(self.connect_timeout)
    }
}
