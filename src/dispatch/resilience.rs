//! What the requests of one tier share for the time when something fails: the terms of their
//! retries, the budget, the breaker, and which of them sleep before they run again.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};
use tracing::{info, warn};

use super::{Face, Phase, Wire, Wish, hosts::Hosts};
use crate::{
    failsafe::{self, Barred, Breaker, Budget, Change, Deadline, Dice, Retries, Stage, Terms, Verdict},
    pool::{Pool, WeakPool},
    postgres::{self, Error},
    vitals::{BreakerState, Vitals},
};

/// Tells of a request that runs again.
#[derive(Debug, Clone)]
pub struct Retrying {
    /// Which retry it is, from 1.
    pub attempt: u32,
    /// Of how many; none: until the deadline.
    pub of: Option<u32>,
    /// How long it waits before.
    pub delay: std::time::Duration,
    /// The code of the failure.
    pub code: Option<String>,
    /// How far it had come.
    pub phase: Phase,
}

/// Tells of a breaker that changed.
#[derive(Debug, Clone)]
pub struct BreakerNotice {
    /// The place it guards.
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

/// Why a request that sleeps is woken early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    Withdrawn,
    Ending,
}

/// Settings of retry and breaker.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// The off switch of retries.
    pub(super) on: bool,
    pub(super) terms: Terms,
    /// The deadline of requests that bring none.
    pub(super) deadline: Option<std::time::Duration>,
    pub(super) breaker: failsafe::Mode,
    pub(super) thresholds: failsafe::Thresholds,
    /// The admin tier is never stopped.
    pub(super) bypasses_breaker: bool,
}

pub(super) struct Resilience {
    pub(super) face: Arc<dyn Face>,
    pub(super) runtime: Handle,
    pub(super) vitals: Option<Arc<Vitals>>,
    /// The hosts of the tier, for people.
    host: String,
    pub(super) has_other_hosts: bool,
    retries_are_on: AtomicBool,
    terms: Terms,
    deadline: Option<std::time::Duration>,
    budget: Budget,
    dice: Mutex<Dice>,
    breaker: Breaker,
    bypasses_breaker: bool,
    /// What the breaker counted last.
    last_fault: Mutex<Option<Error>>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<Wire>>,
    asleep: Mutex<HashMap<u32, oneshot::Sender<Woken>>>,
    ending: AtomicBool,
}

impl Resilience {
    pub(super) fn new(
        policy: &Policy,
        hosts: &Hosts,
        face: Arc<dyn Face>,
        runtime: Handle,
        vitals: Option<Arc<Vitals>>,
    ) -> Self {
        let now = Instant::now();
        let &Policy { on, terms, deadline, breaker, thresholds, bypasses_breaker } = policy;
        tell_mode(vitals.as_ref(), mode_for(breaker, bypasses_breaker));
        Self {
            face,
            runtime,
            vitals,
            host: hosts.names(),
            has_other_hosts: hosts.has_choice(),
            retries_are_on: AtomicBool::new(on),
            terms,
            deadline,
            budget: Budget::new(now),
            dice: Mutex::new(Dice::new()),
            breaker: Breaker::new(mode_for(breaker, bypasses_breaker), thresholds, now),
            bypasses_breaker,
            last_fault: Mutex::new(None),
            pool: OnceLock::new(),
            asleep: Mutex::default(),
            ending: AtomicBool::new(false),
        }
    }

    pub(super) fn attach(&self, pool: &Pool<Wire>) {
        let _ = self.pool.set(pool.downgrade());
    }

    pub(super) fn pool(&self) -> Option<Pool<Wire>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    /// A request has come in; its deadline, if it has one.
    pub(super) fn begin(&self, wish: &Wish) -> Deadline {
        self.budget.deposit();
        match wish.deadline.or(self.deadline) {
            None => Deadline::NONE,
            time => Deadline::after(Instant::now(), time),
        }
    }

    pub(super) fn terms(&self, wish: &Wish, deadline: Deadline) -> Terms {
        let mut terms = Terms { deadline, idempotent: wish.idempotent, ..self.terms };
        terms.attempts = wish.attempts.unwrap_or(terms.attempts);
        terms.enabled = terms.attempts > 0 && self.retries_are_on.load(Ordering::Relaxed);
        if let Some(base) = wish.base {
            terms.set_base(base);
        }
        terms
    }

    pub(super) fn judge(&self, fault: &impl failsafe::Fault, so_far: Retries, terms: &Terms) -> Verdict {
        let mut dice = self.dice.lock();
        failsafe::judge(fault, so_far, terms, &self.budget, Instant::now(), &mut dice)
    }

    pub(super) fn set_retries(&self, on: bool) {
        self.retries_are_on.store(on, Ordering::Relaxed);
    }

    /// Tells of a retry.
    pub(super) fn tell(&self, notice: &Retrying) {
        if let Some(vitals) = &self.vitals {
            vitals.retry();
            let (pool, phase) = (vitals.name.as_str(), notice.phase.name());
            let Retrying { attempt, of, delay, code, .. } = notice;
            let (delay, code) = (delay.as_secs_f64() * 1000.0, code.as_deref());
            info!(target: "retry", pool, attempt, of, delayMillis = delay, code, phase, "retrying");
        }
        self.face.retrying(notice);
    }

    // Sleepers.

    /// Notes that the request sleeps; the receiver tells when it is woken early.
    pub(super) fn falls_asleep(&self, id: u32) -> oneshot::Receiver<Woken> {
        let (wake, woken) = oneshot::channel();
        self.asleep.lock().insert(id, wake);
        if self.ending.load(Ordering::Acquire) {
            self.wake(id, Woken::Ending);
        }
        woken
    }

    pub(super) fn wakes(&self, id: u32) {
        self.asleep.lock().remove(&id);
    }

    /// Wakes a request that sleeps or waits for its next attempt. False: it does neither.
    pub(super) fn wake(&self, id: u32, why: Woken) -> bool {
        let sleeper = self.asleep.lock().remove(&id);
        sleeper.is_some_and(|wake| wake.send(why).is_ok())
    }

    /// Nothing runs again from now on.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        let sleepers = std::mem::take(&mut *self.asleep.lock());
        for wake in sleepers.into_values() {
            let _ = wake.send(Woken::Ending);
        }
        self.breaker.set_mode(failsafe::Mode::Off, Instant::now());
    }

    // The breaker.

    /// Whether a request or a connect may pass.
    pub(super) fn admit(&self) -> Result<(), Error> {
        self.breaker.admit().map_err(|barred| self.barred(barred))
    }

    fn barred(&self, barred: Barred) -> Error {
        if let Some(vitals) = &self.vitals {
            vitals.breaker_rejected();
        }
        let next_probe = match barred.next_probe {
            Some(at) => Some(wall_clock(at)),
            // The probe is under way.
            None if self.breaker.stage() == Stage::HalfOpen => Some(SystemTime::now()),
            None => None,
        };
        let cause = self.last_fault.lock().clone();
        Error::Barred(Arc::new(postgres::Barred { host: self.host.clone(), next_probe, cause }))
    }

    /// Whether results are to be reported.
    pub(super) fn counts(&self) -> bool {
        self.breaker.mode() != failsafe::Mode::Off
    }

    /// The server has answered a statement; an SQL error is an answer.
    pub(super) fn answered(self: &Arc<Self>) {
        if self.counts() {
            self.count(Breaker::call_succeeded);
        }
    }

    /// A statement failed.
    pub(super) fn call_failed(self: &Arc<Self>, error: &Error) {
        if !self.counts() {
            return;
        }
        if error.action().counts_for_breaker() {
            *self.last_fault.lock() = Some(error.clone());
            self.count(Breaker::call_failed);
        } else if matches!(error, Error::Database(_)) {
            self.answered();
        }
    }

    pub(super) fn connected(self: &Arc<Self>) {
        if self.counts() {
            self.count(Breaker::connect_succeeded);
        }
    }

    /// A connect failed; without an error it took too long.
    pub(super) fn connect_failed(self: &Arc<Self>, error: Option<&Error>) {
        let matters = error.is_none_or(|error| error.action().counts_for_breaker());
        if !self.counts() || !matters || self.ending.load(Ordering::Acquire) {
            return;
        }
        if let Some(error) = error {
            *self.last_fault.lock() = Some(error.clone());
        }
        self.count(Breaker::connect_failed);
    }

    fn count(self: &Arc<Self>, result: impl FnOnce(&Breaker, Instant) -> Option<Change>) {
        let now = Instant::now();
        self.changed(self.breaker.turn(now));
        self.changed(result(&self.breaker, now));
    }

    pub(super) fn set_breaker(self: &Arc<Self>, mode: failsafe::Mode) {
        if !self.ending.load(Ordering::Acquire) {
            let mode = mode_for(mode, self.bypasses_breaker);
            tell_mode(self.vitals.as_ref(), mode);
            self.changed(self.breaker.set_mode(mode, Instant::now()));
        }
    }

    /// Tells of a change, and begins the probe that it asks for.
    fn changed(self: &Arc<Self>, change: Option<Change>) {
        let Some(Change { from, to, probe }) = change else { return };
        if to == Stage::Closed {
            self.last_fault.lock().take();
        }
        if let Some(vitals) = &self.vitals {
            vitals.breaker_state(match to {
                Stage::Closed => BreakerState::Closed,
                Stage::HalfOpen => BreakerState::HalfOpen,
                Stage::Open(_) => BreakerState::Open,
            });
            let (pool, host) = (vitals.name.as_str(), self.host.as_str());
            let (from, name) = (from.name(), to.name());
            if to == Stage::Closed {
                info!(target: "breaker", pool, host, from, "{name}");
            } else {
                let wait = until_probe(to);
                warn!(target: "breaker", pool, host, from, nextProbeMillis = wait, "{name}");
            }
        }
        self.face.breaker(&BreakerNotice {
            host: self.host.clone(),
            from,
            to,
            next_probe: match to {
                Stage::Open(until) => until.map(wall_clock),
                Stage::Closed | Stage::HalfOpen => None,
            },
            cause: self.last_fault.lock().clone(),
        });
        if to == Stage::Closed
            && let Some(pool) = self.pool()
        {
            pool.resume();
        }
        if let Some(probe) = probe {
            self.runtime.spawn(run_probe(Arc::downgrade(self), probe));
        }
    }
}

/// Waits for its time, then makes one connection and asks it until the breaker closes, or fails.
async fn run_probe(resilience: std::sync::Weak<Resilience>, probe: failsafe::Probe) {
    tokio::time::sleep_until(probe.at).await;
    let Some(resilience) = resilience.upgrade() else { return };
    let Some(pool) = resilience.pool() else { return };
    let Some(change) = resilience.breaker.begin_probe(probe) else { return };
    resilience.changed(Some(change));
    let outcome = pool.connector().probe(|| {
        let change = resilience.breaker.probed(probe, true, Instant::now());
        resilience.changed(change);
        resilience.breaker.awaits(probe)
    });
    if let Err(error) = outcome.await {
        *resilience.last_fault.lock() = Some(error);
        let change = resilience.breaker.probed(probe, false, Instant::now());
        resilience.changed(change);
    }
}

fn tell_mode(vitals: Option<&Arc<Vitals>>, mode: failsafe::Mode) {
    if let Some(vitals) = vitals {
        vitals.set_breaker_stops(matches!(mode, failsafe::Mode::Enforce | failsafe::Mode::ForcedOpen));
    }
}

/// Those who repair a database must reach it: their breaker only tells.
fn mode_for(mode: failsafe::Mode, bypasses: bool) -> failsafe::Mode {
    match mode {
        failsafe::Mode::Enforce | failsafe::Mode::ForcedOpen if bypasses => failsafe::Mode::Metrics,
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
