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
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{Face, Wire, hosts::Hosts, retry_state::Policy};
use crate::{
    pool::{Pool, WeakPool},
    postgres::{self, Error, Host},
    resilience::{Breaker, Change, Mode, Probe, Stage},
    telemetry::{BreakerState, Vitals},
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

pub(super) struct Circuits {
    hosts: Arc<Hosts>,
    /// In the order of the hosts.
    all: Box<[Circuit]>,
    bypasses: bool,
    face: Arc<dyn Face>,
    runtime: Handle,
    vitals: Option<Arc<Vitals>>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<Wire>>,
    /// Rings when somebody sets another mode: what waits for a probe, or is one, waits in vain.
    mode_set: Notify,
}

struct Circuit {
    breaker: Breaker,
    /// What it counted last.
    last_fault: Mutex<Option<Error>>,
}

impl Circuit {
    fn bars(&self) -> bool {
        self.breaker.admit().is_err()
    }
}

impl Circuits {
    pub(super) fn new(
        policy: &Policy,
        hosts: &Arc<Hosts>,
        face: Arc<dyn Face>,
        runtime: Handle,
        vitals: Option<Arc<Vitals>>,
    ) -> Self {
        let bypasses = policy.bypasses_breaker;
        let mode = mode_for(policy.breaker, bypasses);
        tell_mode(vitals.as_ref(), mode);
        let circuit = |_: &Arc<Host>| Circuit {
            breaker: Breaker::new(mode, policy.thresholds, Instant::now()),
            last_fault: Mutex::new(None),
        };
        let all: Box<[_]> = hosts.all().map(circuit).collect();
        if let Some(vitals) = &vitals {
            vitals.set_hosts(hosts.all().map(|host| (host.name.clone(), host.port)));
            for (index, circuit) in all.iter().enumerate() {
                vitals.breaker_state(index, told(circuit.breaker.stage()));
            }
        }
        Self {
            hosts: Arc::clone(hosts),
            all,
            bypasses,
            face,
            runtime,
            vitals,
            pool: OnceLock::new(),
            mode_set: Notify::new(),
        }
    }

    pub(super) fn attach(&self, pool: &Pool<Wire>) {
        let _ = self.pool.set(pool.downgrade());
    }

    pub(super) fn pool(&self) -> Option<Pool<Wire>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    // What may pass. One relaxed load for each host while all are closed.

    /// Whether a request may pass. One that passes is to be sent: it may be the one that finds out what a
    /// host of the wrong kind has turned into.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if self.has_host(|index, now| self.hosts.takes(index, now)) { Ok(()) } else { Err(self.barred()) }
    }

    /// Whether a connect may be tried at all. Unlike a request it finds out what a host turned into.
    pub(super) fn admit_connect(&self) -> Result<(), Error> {
        if self.all.iter().all(Circuit::bars) { Err(self.barred()) } else { Ok(()) }
    }

    /// Whether this host is left alone.
    pub(super) fn bars(&self, index: usize) -> bool {
        self.all[index].bars()
    }

    /// Whether connections to this host are not to be used: it is barred, and another one serves.
    pub(super) fn leave(&self, host: &Arc<Host>) -> bool {
        self.all.iter().any(Circuit::bars)
            && self.hosts.position(host).is_some_and(|index| self.bars(index))
            && self.serves()
    }

    fn serves(&self) -> bool {
        self.has_host(|index, now| self.hosts.may_serve(index, now))
    }

    /// Whether no host is barred, or one of the others suits.
    fn has_host(&self, suits: impl Fn(usize, Instant) -> bool) -> bool {
        if !self.all.iter().any(Circuit::bars) {
            return true;
        }
        let now = Instant::now();
        (0..self.all.len()).any(|index| !self.bars(index) && suits(index, now))
    }

    /// The error of what may not pass; it names the host that is probed next.
    pub(super) fn barred(&self) -> Error {
        let now = Instant::now();
        let barring = self.all.iter().enumerate().filter(|(_, circuit)| circuit.bars());
        let probes = barring.map(|(index, circuit)| match circuit.breaker.stage() {
            Stage::Open(at) => (at, index),
            // The probe is under way, or over in this moment.
            Stage::HalfOpen | Stage::Closed => (Some(now), index),
        });
        // One without a time is forced open, and so are the others.
        let (next_probe, index) = probes.min().unwrap_or((Some(now), 0));
        // A host of the wrong kind may have become the right one before that.
        let others = (0..self.all.len()).filter(|&index| !self.bars(index));
        let next_look = others.filter_map(|index| self.hosts.unfit_until(index)).min();
        let next = next_probe.map(|probe| wall_clock(next_look.map_or(probe, |look| look.min(probe))));
        let cause = self.all[index].last_fault.lock().clone();
        Error::Barred(Arc::new(postgres::Barred { host: self.hosts.place(index), next_probe: next, cause }))
    }

    /// Lets a request that was barred sleep. Another mode wakes it: there may be no probe to wait for.
    pub(super) async fn rest(&self, time: Duration) {
        let mut mode_set = pin!(self.mode_set.notified());
        mode_set.as_mut().enable();
        if !self.serves() {
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
        Connecting { circuits: self, index, is_over: false }
    }

    fn fault(
        self: &Arc<Self>,
        index: usize,
        error: &Error,
        result: impl FnOnce(&Breaker, Instant) -> Option<Change>,
    ) {
        let circuit = &self.all[index];
        if circuit.breaker.mode() == Mode::Off {
            return;
        }
        *circuit.last_fault.lock() = Some(error.clone());
        self.count(index, result);
    }

    fn count(self: &Arc<Self>, index: usize, result: impl FnOnce(&Breaker, Instant) -> Option<Change>) {
        let breaker = &self.all[index].breaker;
        if breaker.mode() != Mode::Off {
            let now = Instant::now();
            self.changed(index, breaker.turn(now));
            self.changed(index, result(breaker, now));
        }
    }

    // What changes.

    /// Sets the mode of all of them.
    pub(super) fn set_mode(self: &Arc<Self>, mode: Mode) {
        let mode = mode_for(mode, self.bypasses);
        tell_mode(self.vitals.as_ref(), mode);
        // All of them before the first change is told: in between no host takes the place of another.
        let changes: Vec<_> =
            self.all.iter().map(|circuit| circuit.breaker.set_mode(mode, Instant::now())).collect();
        if changes.iter().any(Option::is_some) {
            self.mode_set.notify_waiters();
        }
        for (index, change) in changes.into_iter().enumerate() {
            self.changed(index, change);
        }
    }

    /// From now on they bar nobody.
    pub(super) fn end(&self) {
        for circuit in &self.all {
            circuit.breaker.set_mode(Mode::Off, Instant::now());
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
            pool.retire(|connection| self.leave(&connection.host));
        }
        if let Some(probe) = change.probe {
            self.runtime.spawn(run_probe(Arc::downgrade(self), index, probe));
        }
    }

    fn tell(&self, index: usize, Change { from, to, .. }: Change) {
        let host = self.hosts.place(index);
        if let Some(vitals) = &self.vitals {
            vitals.breaker_state(index, told(to));
            let (pool, host) = (vitals.name.as_str(), host.as_str());
            let (from, name) = (from.name(), to.name());
            if to == Stage::Closed {
                info!(target: "breaker", pool, host, from, "{name}");
            } else {
                let wait = until_probe(to);
                warn!(target: "breaker", pool, host, from, nextProbeMillis = wait, "{name}");
            }
        }
        self.face.breaker(&BreakerNotice {
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
    circuits: &'a Arc<Circuits>,
    index: usize,
    is_over: bool,
}

impl Connecting<'_> {
    pub(super) fn ended<T>(mut self, outcome: &Result<T, Error>) {
        self.is_over = true;
        match outcome {
            Ok(_) => self.circuits.count(self.index, Breaker::connect_succeeded),
            Err(error) if error.action().counts_for_breaker() => {
                self.circuits.fault(self.index, error, Breaker::connect_failed);
            }
            Err(_) => {}
        }
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let error = self.circuits.hosts.timed_out(self.index);
            self.circuits.fault(self.index, &error, Breaker::connect_failed);
        }
    }
}

/// Waits for its time, then makes one connection to the host and asks it until the breaker closes, or fails.
async fn run_probe(circuits: Weak<Circuits>, index: usize, probe: Probe) {
    sleep_until(probe.at).await;
    let Some(circuits) = circuits.upgrade() else { return };
    let Some(pool) = circuits.pool() else { return };
    let Circuit { breaker, last_fault } = &circuits.all[index];
    let mut mode_set = pin!(circuits.mode_set.notified());
    mode_set.as_mut().enable();
    let Some(change) = breaker.begin_probe(probe) else { return };
    circuits.changed(index, Some(change));
    let mut answered = || {
        circuits.changed(index, breaker.probed(probe, true, Instant::now()));
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
            circuits.changed(index, breaker.probed(probe, false, Instant::now()));
        }
    }
}

fn tell_mode(vitals: Option<&Arc<Vitals>>, mode: Mode) {
    if let Some(vitals) = vitals {
        vitals.set_breaker_stops(matches!(mode, Mode::Enforce | Mode::ForcedOpen));
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
