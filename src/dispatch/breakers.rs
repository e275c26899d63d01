//! The circuit breakers of a tier, one for each of its hosts.
//!
//! A breaker that is open bars new connections to its host, and requests that only a new connection could
//! serve and that cannot wait. Connections that are there go on serving. Probes in the background find out
//! when the host answers again.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, OnceLock, Weak},
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use super::{hosts::Hosts, observer::BreakerNotice, policy::Policy, tier_context::TierContext};
use crate::{
    pool::Patience,
    postgres::{self, Action, Error, Host},
    resilience::{Breaker, Change, Limits, Mode, Probes, Stage},
    telemetry::{BreakerReport, BreakerState, PoolMetrics},
};

/// A probe under way.
pub(super) type Probing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The pool whose connects the breakers guard.
pub(super) trait GuardedPool: Send + Sync {
    /// Whether it has a connection that is idle or may come back.
    fn has_connection(&self) -> bool;
    /// Connects again without waiting for the backoff.
    fn resume(&self);
    /// Retires the connections to hosts for which `is_meant` holds.
    fn retire(&self, is_meant: &dyn Fn(&Arc<Host>) -> bool);
    /// Makes a connection to a host, and asks it something. None: the pool is gone.
    fn probe(&self, host: usize) -> Option<Probing>;
}

pub(super) struct HostBreakers {
    hosts: Arc<Hosts>,
    /// In the order of the hosts.
    all: Box<[HostBreaker]>,
    bypasses: bool,
    tier: Arc<TierContext>,
    pool: OnceLock<Box<dyn GuardedPool>>,
    /// Rings when somebody sets another mode: a probe under way is not wanted any more.
    mode_set: Notify,
}

struct HostBreaker {
    breaker: Breaker,
    /// The failure that was counted last.
    last_failure: Mutex<Option<Error>>,
}

impl HostBreaker {
    fn is_open(&self) -> bool {
        self.breaker.bars()
    }
}

impl HostBreakers {
    pub(super) fn new(policy: &Policy, hosts: &Arc<Hosts>, tier: &Arc<TierContext>) -> Self {
        let bypasses = policy.bypasses_breaker;
        let mode = mode_for(policy.breaker, bypasses);
        report_mode(tier.metrics.as_ref(), mode);
        let host_breaker = |_: &Arc<Host>| HostBreaker {
            breaker: Breaker::new(mode, policy.limits, Instant::now()),
            last_failure: Mutex::new(None),
        };
        let breakers = Self {
            hosts: Arc::clone(hosts),
            all: hosts.all().map(host_breaker).collect(),
            bypasses,
            tier: Arc::clone(tier),
            pool: OnceLock::new(),
            mode_set: Notify::new(),
        };
        if let Some(metrics) = &tier.metrics {
            metrics.set_hosts(hosts.all().map(|host| (host.name.clone(), host.port)));
            (0..breakers.all.len()).for_each(|index| breakers.report(index));
        }
        breakers
    }

    /// Sets the pool. It is to be held weakly: it owns the connector, which owns this.
    pub(super) fn attach(&self, pool: impl GuardedPool + 'static) {
        let _ = self.pool.set(Box::new(pool));
    }

    // What may pass. One relaxed load for each host while all are closed.

    /// Whether a request may go to the pool, and how patient it is there. Where no host may serve it, it
    /// waits for the probes, if it can, or for a connection that is there. One that passes is to be sent: it
    /// may be the one that finds out what an unsuitable host has turned into.
    pub(super) fn admit(&self, patience: Patience) -> Result<Patience, Error> {
        if !self.is_any_open() || self.has_host(|index, now| self.hosts.may_probe(index, now)) {
            return Ok(patience);
        }
        match patience {
            _ if self.is_forced_open() => Err(self.open_error()),
            Patience::For(_) | Patience::ToDeadline => Ok(patience),
            Patience::AsPool if self.has_connection() => Ok(Patience::ToDeadline),
            Patience::AsPool => Err(self.open_error()),
        }
    }

    /// Whether a connect may be tried at all. Unlike a request it finds out what a host turned into.
    pub(super) fn admit_connect(&self) -> Result<(), Error> {
        if self.all.iter().all(HostBreaker::is_open) { Err(self.open_error()) } else { Ok(()) }
    }

    /// Whether no connection is to be made to this host.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.all[index].is_open()
    }

    pub(super) fn is_any_open(&self) -> bool {
        self.all.iter().any(HostBreaker::is_open)
    }

    fn is_forced_open(&self) -> bool {
        self.all.iter().any(|host| host.breaker.mode() == Mode::ForcedOpen)
    }

    /// Whether to avoid this host's connections: its breaker is open and another host is available.
    pub(super) fn is_avoided(&self, host: &Arc<Host>) -> bool {
        self.is_any_open()
            && self.hosts.position(host).is_some_and(|index| self.is_open(index))
            && self.has_host(|index, now| self.hosts.may_serve(index, now))
    }

    /// Whether the breaker of a host that suits is closed.
    fn has_host(&self, suits: impl Fn(usize, Instant) -> bool) -> bool {
        let now = Instant::now();
        (0..self.all.len()).any(|index| !self.is_open(index) && suits(index, now))
    }

    fn has_connection(&self) -> bool {
        self.pool.get().is_some_and(|pool| pool.has_connection())
    }

    /// The error of what may not pass; it names the host that is probed next.
    pub(super) fn open_error(&self) -> Error {
        let now = Instant::now();
        let open = self.all.iter().enumerate().filter(|(_, host)| host.is_open());
        let probes = open.map(|(index, host)| match host.breaker.stage() {
            Stage::Open { next_probe } => (next_probe, index),
            // It has closed in this moment.
            Stage::Closed => (Some(now), index),
        });
        // One without a time is forced open, and so are the others.
        let (next_probe, index) = probes.min().unwrap_or((Some(now), 0));
        // An unsuitable host may have become suitable before that.
        let others = (0..self.all.len()).filter(|&index| !self.is_open(index));
        let next_look = others.filter_map(|index| self.hosts.unsuitable_until(index)).min();
        let next = next_probe.map(|probe| wall_clock(next_look.map_or(probe, |look| look.min(probe))));
        let cause = self.all[index].last_failure.lock().clone();
        Error::BreakerOpen(Arc::new(postgres::BreakerOpen {
            host: self.hosts.address(index),
            next_probe: next,
            cause,
        }))
    }

    // What is counted. With every breaker off, nothing.

    /// A statement was answered by this host; an SQL error is an answer.
    pub(super) fn answered(self: &Arc<Self>, host: &Arc<Host>) {
        if let Some(index) = self.hosts.position(host) {
            self.count(index, Breaker::call_answered);
        }
    }

    /// A statement failed on this host.
    pub(super) fn call_failed(self: &Arc<Self>, host: &Arc<Host>, error: &Error) {
        let Some(index) = self.hosts.position(host) else { return };
        if error.action().counts_for_breaker() {
            self.count_failure(index, error, Breaker::call_failed);
        } else if matches!(error, Error::Database(_)) {
            self.count(index, Breaker::call_answered);
        }
    }

    /// A connect to a host begins.
    pub(super) fn connecting(self: &Arc<Self>, index: usize) -> Connecting<'_> {
        Connecting { breakers: self, index, begun: Instant::now(), is_probe: false, is_over: false }
    }

    fn count_failure(
        self: &Arc<Self>,
        index: usize,
        error: &Error,
        result: impl FnOnce(&Breaker, Instant) -> Option<Change>,
    ) {
        let host = &self.all[index];
        if host.breaker.mode() == Mode::Off {
            return;
        }
        *host.last_failure.lock() = Some(error.clone());
        self.count(index, result);
    }

    fn count(self: &Arc<Self>, index: usize, result: impl FnOnce(&Breaker, Instant) -> Option<Change>) {
        let breaker = &self.all[index].breaker;
        if breaker.mode() != Mode::Off {
            self.changed(index, result(breaker, Instant::now()));
        }
    }

    // What changes.

    /// Sets the mode of all of them.
    pub(super) fn set_mode(self: &Arc<Self>, mode: Mode) {
        let mode = mode_for(mode, self.bypasses);
        report_mode(self.tier.metrics.as_ref(), mode);
        // All of them before the first change is reported: in between no host takes the place of another.
        let changes: Vec<_> =
            self.all.iter().map(|host| host.breaker.set_mode(mode, Instant::now())).collect();
        if changes.iter().any(Option::is_some) {
            self.mode_set.notify_waiters();
        }
        for (index, change) in changes.into_iter().enumerate() {
            self.changed(index, change);
        }
    }

    /// Sets the limits of all of them.
    pub(super) fn set_limits(&self, limits: Limits) {
        for host in &self.all {
            host.breaker.set_limits(limits, Instant::now());
        }
    }

    /// From now on they bar nothing.
    pub(super) fn end(&self) {
        for host in &self.all {
            host.breaker.set_mode(Mode::Off, Instant::now());
        }
        self.mode_set.notify_waiters();
    }

    /// Reports a change, and begins the probes that it asks for.
    fn changed(self: &Arc<Self>, index: usize, change: Option<Change>) {
        let Some(change) = change else { return };
        if change.to == Stage::Closed {
            self.all[index].last_failure.lock().take();
        }
        self.notify(index, change);
        if let Some(pool) = self.pool.get() {
            if change.to == Stage::Closed {
                pool.resume();
            }
            pool.retire(&|host| self.is_avoided(host));
        }
        if let Some(probes) = change.probes {
            self.tier.runtime.spawn(run_probes(Arc::downgrade(self), index, probes));
        }
    }

    fn notify(&self, index: usize, Change { from, to, .. }: Change) {
        let host = self.hosts.address(index);
        let cause = self.all[index].last_failure.lock().clone();
        self.report(index);
        if let Some(metrics) = &self.tier.metrics {
            let (pool, host) = (metrics.name.as_str(), host.as_str());
            let (from, name) = (from.name(), to.name());
            if to == Stage::Closed {
                info!(target: "breaker", pool, host, from, "{name}");
            } else {
                let (wait, error) = (until_probe(to), cause.as_ref().map(ToString::to_string));
                warn!(target: "breaker", pool, host, from, error, nextProbeMillis = wait, "{name}");
            }
        }
        self.tier.observer.breaker(&BreakerNotice {
            host,
            from,
            to,
            next_probe: next_probe(to).map(wall_clock),
            cause,
        });
    }

    /// Brings what the metrics say of a breaker up to date.
    fn report(&self, index: usize) {
        if let Some(metrics) = &self.tier.metrics {
            let HostBreaker { breaker, last_failure } = &self.all[index];
            // Held to the end: of two reports at a time the later one has the newer state.
            let last_failure = last_failure.lock();
            let stage = breaker.stage();
            metrics.breaker_changed(
                index,
                BreakerReport {
                    state: match stage {
                        Stage::Closed => BreakerState::Closed,
                        Stage::Open { .. } => BreakerState::Open,
                    },
                    reason: last_failure.as_ref().filter(|_| stage != Stage::Closed).map(ToString::to_string),
                    next_probe: next_probe(stage).map(wall_clock),
                },
            );
        }
    }
}

/// A connect to one host. Dropped before its outcome is known, it took too long.
pub(super) struct Connecting<'a> {
    breakers: &'a Arc<HostBreakers>,
    index: usize,
    begun: Instant,
    is_probe: bool,
    is_over: bool,
}

impl Connecting<'_> {
    pub(super) fn ended<T>(mut self, outcome: &Result<T, Error>) {
        self.is_over = true;
        if outcome.as_ref().is_err_and(|error| error.action() == Action::Full) {
            self.breakers.tier.adaptive.refused(self.breakers.hosts.get(self.index));
        }
        match outcome {
            Err(error) if error.action().counts_for_breaker() => self.failed(error),
            // A server that will not have us is there as well.
            Ok(_) | Err(Error::Database(_)) if self.is_probe => {
                self.breakers.count(self.index, Breaker::probe_answered);
            }
            Ok(_) | Err(Error::Database(_)) => self.breakers.count(self.index, Breaker::connect_answered),
            Err(_) => {}
        }
    }

    /// Its outcome tells nothing.
    fn forget(mut self) {
        self.is_over = true;
    }

    fn failed(&self, error: &Error) {
        let begun = self.begun;
        self.breakers.count_failure(self.index, error, |breaker, now| breaker.connect_failed(begun, now));
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.failed(&self.breakers.hosts.timed_out(self.index));
        }
    }
}

/// Begins one probe after another until the breaker closes. They may overlap: one that a silent host keeps
/// waiting does not hold back the next, which may find it well.
async fn run_probes(breakers: Weak<HostBreakers>, index: usize, probes: Probes) {
    let next = |breakers: &Weak<HostBreakers>| breakers.upgrade()?.all[index].breaker.next_probe(probes);
    while let Some(at) = next(&breakers) {
        sleep_until(at).await;
        let Some(breakers) = breakers.upgrade() else { return };
        if !breakers.all[index].breaker.begin_probe(probes, Instant::now()) {
            return;
        }
        breakers.report(index);
        breakers.tier.runtime.spawn(run_probe(Arc::clone(&breakers), index));
    }
}

/// Makes one connection to the host and asks it something.
async fn run_probe(breakers: Arc<HostBreakers>, index: usize) {
    let Some(probing) = breakers.pool.get().and_then(|pool| pool.probe(index)) else { return };
    let mut mode_set = pin!(breakers.mode_set.notified());
    mode_set.as_mut().enable();
    // It may have been set before this task ran.
    if breakers.all[index].breaker.mode() != Mode::Enforce {
        return;
    }
    let mut connecting = breakers.connecting(index);
    connecting.is_probe = true;
    tokio::select! {
        outcome = probing => {
            if let Err(error) = &outcome && error.action().counts_for_breaker() {
                *breakers.all[index].last_failure.lock() = Some(error.clone());
                breakers.report(index);
            }
            connecting.ended(&outcome);
        }
        // It is not wanted any more.
        () = mode_set => connecting.forget(),
    }
}

fn report_mode(metrics: Option<&Arc<PoolMetrics>>, mode: Mode) {
    if let Some(metrics) = metrics {
        metrics.set_breaker_stops(matches!(mode, Mode::Enforce | Mode::ForcedOpen));
    }
}

/// Those who repair a database must reach it: their breaker only reports.
fn mode_for(mode: Mode, bypasses: bool) -> Mode {
    match mode {
        Mode::Enforce | Mode::ForcedOpen if bypasses => Mode::Metrics,
        mode => mode,
    }
}

fn next_probe(stage: Stage) -> Option<Instant> {
    match stage {
        Stage::Open { next_probe } => next_probe,
        Stage::Closed => None,
    }
}

fn until_probe(stage: Stage) -> Option<f64> {
    let at = next_probe(stage)?;
    Some((at.saturating_duration_since(Instant::now()).as_secs_f64() * 1000.0).round())
}

fn wall_clock(at: Instant) -> SystemTime {
    SystemTime::now() + at.saturating_duration_since(Instant::now())
}
