//! The circuit breakers of a tier, one for each of its hosts.
//!
//! A request passes while a host that may serve it is not barred; a connect leaves out the hosts that are.

use std::{
    pin::pin,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{PgConnector, hosts::Hosts, policy::Policy, tier_context::TierContext};
use crate::{
    pool::{Pool, WeakPool},
    postgres::{self, Error, Host},
    resilience::{Breaker, Change, Mode, Probe, Stage},
    telemetry::{BreakerState, PoolMetrics},
};

/// Tells of a breaker that changed.
#[derive(Debug, Clone)]
pub struct BreakerNotice {
    /// The host it guards, with its port.
    pub host: String,
    /// Before.
    pub from: Stage,
    /// After.
    pub to: Stage,
    /// When the next probe begins.
    pub next_probe: Option<SystemTime>,
    /// The last failure that counted.
    pub cause: Option<Error>,
}

pub(super) struct HostBreakers {
    hosts: Arc<Hosts>,
    /// In the order of the hosts.
    all: Box<[HostBreaker]>,
    bypasses: bool,
    tier: Arc<TierContext>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<PgConnector>>,
    /// Rings when somebody sets another mode: what waits for a probe, or is one, waits in vain.
    mode_set: Notify,
}

struct HostBreaker {
    breaker: Breaker,
    /// What it counted last.
    last_fault: Mutex<Option<Error>>,
}

impl HostBreaker {
    fn is_open(&self) -> bool {
        self.breaker.admit().is_err()
    }
}

impl HostBreakers {
    pub(super) fn new(policy: &Policy, hosts: &Arc<Hosts>, tier: &Arc<TierContext>) -> Self {
        let bypasses = policy.bypasses_breaker;
        let mode = mode_for(policy.breaker, bypasses);
        tell_mode(tier.metrics.as_ref(), mode);
        let host_breaker = |_: &Arc<Host>| HostBreaker {
            breaker: Breaker::new(mode, policy.thresholds, Instant::now()),
            last_fault: Mutex::new(None),
        };
        let all: Box<[_]> = hosts.all().map(host_breaker).collect();
        if let Some(metrics) = &tier.metrics {
            metrics.set_hosts(hosts.all().map(|host| (host.name.clone(), host.port)));
            for (index, host_breaker) in all.iter().enumerate() {
                metrics.breaker_state(index, told(host_breaker.breaker.stage()));
            }
        }
        Self {
            hosts: Arc::clone(hosts),
            all,
            bypasses,
            tier: Arc::clone(tier),
            pool: OnceLock::new(),
            mode_set: Notify::new(),
        }
    }

    pub(super) fn attach(&self, pool: &Pool<PgConnector>) {
        let _ = self.pool.set(pool.downgrade());
    }

    pub(super) fn pool(&self) -> Option<Pool<PgConnector>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    // What may pass. One relaxed load for each host while all are closed.

    /// Whether a request may pass. One that passes is to be sent: it may be the one that finds out what a
    /// host of the wrong kind has turned into.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if self.has_host(|index, now| self.hosts.may_probe(index, now)) {
            Ok(())
        } else {
            Err(self.open_error())
        }
    }

    /// Whether a connect may be tried at all. Unlike a request it finds out what a host turned into.
    pub(super) fn admit_connect(&self) -> Result<(), Error> {
        if self.all.iter().all(HostBreaker::is_open) { Err(self.open_error()) } else { Ok(()) }
    }

    /// Whether this host is left alone.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.all[index].is_open()
    }

    /// Whether connections to this host are not to be used: it is barred, and another one serves.
    pub(super) fn is_avoided(&self, host: &Arc<Host>) -> bool {
        self.all.iter().any(HostBreaker::is_open)
            && self.hosts.position(host).is_some_and(|index| self.is_open(index))
            && self.any_host_available()
    }

    fn any_host_available(&self) -> bool {
        self.has_host(|index, now| self.hosts.may_serve(index, now))
    }

    /// Whether no host is barred, or one of the others suits.
    fn has_host(&self, suits: impl Fn(usize, Instant) -> bool) -> bool {
        if !self.all.iter().any(HostBreaker::is_open) {
            return true;
        }
        let now = Instant::now();
        (0..self.all.len()).any(|index| !self.is_open(index) && suits(index, now))
    }

    /// The error of what may not pass; it names the host that is probed next.
    pub(super) fn open_error(&self) -> Error {
        let now = Instant::now();
        let barring = self.all.iter().enumerate().filter(|(_, host_breaker)| host_breaker.is_open());
        let probes = barring.map(|(index, host_breaker)| match host_breaker.breaker.stage() {
            Stage::Open(at) => (at, index),
            // The probe is under way, or over in this moment.
            Stage::HalfOpen | Stage::Closed => (Some(now), index),
        });
        // One without a time is forced open, and so are the others.
        let (next_probe, index) = probes.min().unwrap_or((Some(now), 0));
        // A host of the wrong kind may have become the right one before that.
        let others = (0..self.all.len()).filter(|&index| !self.is_open(index));
        let next_look = others.filter_map(|index| self.hosts.unsuitable_until(index)).min();
        let next = next_probe.map(|probe| wall_clock(next_look.map_or(probe, |look| look.min(probe))));
        let cause = self.all[index].last_fault.lock().clone();
        Error::BreakerOpen(Arc::new(postgres::BreakerOpen {
            host: self.hosts.address(index),
            next_probe: next,
            cause,
        }))
    }

    /// Lets a request that was barred sleep. Another mode wakes it: there may be no probe to wait for.
    pub(super) async fn rest(&self, time: Duration) {
        let mut mode_set = pin!(self.mode_set.notified());
        mode_set.as_mut().enable();
        if !self.any_host_available() {
            tokio::select! {
                () = sleep(time) => {}
                () = mode_set => {}
            }
        }
    }

    // What is counted. With every breaker off, nothing.

    /// A statement was answered by this host; an SQL error is an answer.
    pub(super) fn answered(self: &Arc<Self>, host: &Arc<Host>) {
        if let Some(index) = self.hosts.position(host) {
            self.count(index, Breaker::call_succeeded);
        }
    }

    /// A statement failed on this host.
    pub(super) fn call_failed(self: &Arc<Self>, host: &Arc<Host>, error: &Error) {
        let Some(index) = self.hosts.position(host) else { return };
        if error.action().counts_for_breaker() {
            self.fault(index, error, Breaker::call_failed);
        } else if matches!(error, Error::Database(_)) {
            self.count(index, Breaker::call_succeeded);
        }
    }

    /// A connect to a host begins.
    pub(super) fn connecting(self: &Arc<Self>, index: usize) -> Connecting<'_> {
        Connecting { breakers: self, index, is_over: false }
    }

    fn fault(
        self: &Arc<Self>,
        index: usize,
        error: &Error,
        result: impl FnOnce(&Breaker, Instant) -> Option<Change>,
    ) {
        let host_breaker = &self.all[index];
        if host_breaker.breaker.mode() == Mode::Off {
            return;
        }
        *host_breaker.last_fault.lock() = Some(error.clone());
        self.count(index, result);
    }

    fn count(self: &Arc<Self>, index: usize, result: impl FnOnce(&Breaker, Instant) -> Option<Change>) {
        let breaker = &self.all[index].breaker;
        if breaker.mode() != Mode::Off {
            let now = Instant::now();
            self.changed(index, breaker.on_time_passed(now));
            self.changed(index, result(breaker, now));
        }
    }

    // What changes.

    /// Sets the mode of all of them.
    pub(super) fn set_mode(self: &Arc<Self>, mode: Mode) {
        let mode = mode_for(mode, self.bypasses);
        tell_mode(self.tier.metrics.as_ref(), mode);
        // All of them before the first change is told: in between no host takes the place of another.
        let changes: Vec<_> =
            self.all.iter().map(|host_breaker| host_breaker.breaker.set_mode(mode, Instant::now())).collect();
        if changes.iter().any(Option::is_some) {
            self.mode_set.notify_waiters();
        }
        for (index, change) in changes.into_iter().enumerate() {
            self.changed(index, change);
        }
    }

    /// From now on they bar nobody.
    pub(super) fn end(&self) {
        for host_breaker in &self.all {
            host_breaker.breaker.set_mode(Mode::Off, Instant::now());
        }
        self.mode_set.notify_waiters();
    }

    /// Tells of a change, and begins the probe that it asks for.
    fn changed(self: &Arc<Self>, index: usize, change: Option<Change>) {
        let Some(change) = change else { return };
        if change.to == Stage::Closed {
            self.all[index].last_fault.lock().take();
        }
        self.tell(index, change);
        if let Some(pool) = self.pool() {
            if change.to == Stage::Closed {
                pool.resume();
            }
            pool.retire(|connection| self.is_avoided(&connection.host));
        }
        if let Some(probe) = change.probe {
            self.tier.runtime.spawn(run_probe(Arc::downgrade(self), index, probe));
        }
    }

    fn tell(&self, index: usize, Change { from, to, .. }: Change) {
        let host = self.hosts.address(index);
        if let Some(metrics) = &self.tier.metrics {
            metrics.breaker_state(index, told(to));
            let (pool, host) = (metrics.name.as_str(), host.as_str());
            let (from, name) = (from.name(), to.name());
            if to == Stage::Closed {
                info!(target: "breaker", pool, host, from, "{name}");
            } else {
                let wait = until_probe(to);
                warn!(target: "breaker", pool, host, from, nextProbeMillis = wait, "{name}");
            }
        }
        self.tier.observer.breaker(&BreakerNotice {
            host,
            from,
            to,
            next_probe: match to {
                Stage::Open(until) => until.map(wall_clock),
                Stage::Closed | Stage::HalfOpen => None,
            },
            cause: self.all[index].last_fault.lock().clone(),
        });
    }
}

/// A connect to one host. Dropped before its outcome is known, it took too long.
pub(super) struct Connecting<'a> {
    breakers: &'a Arc<HostBreakers>,
    index: usize,
    is_over: bool,
}

impl Connecting<'_> {
    pub(super) fn ended<T>(mut self, outcome: &Result<T, Error>) {
        self.is_over = true;
        match outcome {
            Ok(_) => self.breakers.count(self.index, Breaker::connect_succeeded),
            Err(error) if error.action().counts_for_breaker() => {
                self.breakers.fault(self.index, error, Breaker::connect_failed);
            }
            Err(_) => {}
        }
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let error = self.breakers.hosts.timed_out(self.index);
            self.breakers.fault(self.index, &error, Breaker::connect_failed);
        }
    }
}

/// Waits for its time, then makes one connection to the host and asks it until the breaker closes, or fails.
async fn run_probe(breakers: Weak<HostBreakers>, index: usize, probe: Probe) {
    sleep_until(probe.at).await;
    let Some(breakers) = breakers.upgrade() else { return };
    let Some(pool) = breakers.pool() else { return };
    let HostBreaker { breaker, last_fault } = &breakers.all[index];
    let mut mode_set = pin!(breakers.mode_set.notified());
    mode_set.as_mut().enable();
    let Some(change) = breaker.begin_probe(probe) else { return };
    breakers.changed(index, Some(change));
    let mut answered = || {
        breakers.changed(index, breaker.probed(probe, true, Instant::now()));
        breaker.awaits(probe)
    };
    let outcome = tokio::select! {
        outcome = pool.connector().probe(index, &mut answered) => outcome,
        // It is not wanted any more.
        () = mode_set => return,
    };
    match outcome {
        Ok(()) => {}
        // It works, and will not have us: whoever asks is to hear that.
        Err(error @ Error::Database(_)) if !error.action().counts_for_breaker() => while answered() {},
        Err(error) => {
            *last_fault.lock() = Some(error);
            breakers.changed(index, breaker.probed(probe, false, Instant::now()));
        }
    }
}

fn tell_mode(metrics: Option<&Arc<PoolMetrics>>, mode: Mode) {
    if let Some(metrics) = metrics {
        metrics.set_breaker_stops(matches!(mode, Mode::Enforce | Mode::ForcedOpen));
    }
}

fn told(stage: Stage) -> BreakerState {
    match stage {
        Stage::Closed => BreakerState::Closed,
        Stage::HalfOpen => BreakerState::HalfOpen,
        Stage::Open(_) => BreakerState::Open,
    }
}

/// Those who repair a database must reach it: their breaker only tells.
fn mode_for(mode: Mode, bypasses: bool) -> Mode {
    match mode {
        Mode::Enforce | Mode::ForcedOpen if bypasses => Mode::Metrics,
        mode => mode,
    }
}

fn until_probe(stage: Stage) -> Option<f64> {
    let Stage::Open(Some(at)) = stage else { return None };
    Some((at.saturating_duration_since(Instant::now()).as_secs_f64() * 1000.0).round())
}

fn wall_clock(at: Instant) -> SystemTime {
    SystemTime::now() + at.saturating_duration_since(Instant::now())
}
