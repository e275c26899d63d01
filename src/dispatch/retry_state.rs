//! What the requests of one tier share for the time when something fails: the terms of their
//! retries, the budget, the circuits of its hosts, and which of them sleep before they run again.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};
use tracing::info;

use super::{Face, Phase, Wish, breakers::Circuits, hosts::Hosts};
use crate::{
    resilience::{self, Budget, Deadline, Dice, Retries, Terms, Verdict},
    telemetry::Vitals,
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
    pub(super) breaker: resilience::Mode,
    pub(super) thresholds: resilience::Thresholds,
    /// The admin tier is never stopped.
    pub(super) bypasses_breaker: bool,
}

pub(super) struct Resilience {
    pub(super) face: Arc<dyn Face>,
    pub(super) runtime: Handle,
    pub(super) vitals: Option<Arc<Vitals>>,
    pub(super) circuits: Arc<Circuits>,
    pub(super) has_other_hosts: bool,
    retries_are_on: AtomicBool,
    terms: Terms,
    deadline: Option<std::time::Duration>,
    budget: Budget,
    dice: Mutex<Dice>,
    asleep: Mutex<HashMap<u32, oneshot::Sender<Woken>>>,
    ending: AtomicBool,
}

impl Resilience {
    pub(super) fn new(
        policy: &Policy,
        hosts: &Arc<Hosts>,
        face: Arc<dyn Face>,
        runtime: Handle,
        vitals: Option<Arc<Vitals>>,
    ) -> Self {
        let &Policy { on, terms, deadline, .. } = policy;
        let circuits = Circuits::new(policy, hosts, Arc::clone(&face), runtime.clone(), vitals.clone());
        Self {
            face,
            runtime,
            vitals,
            circuits: Arc::new(circuits),
            has_other_hosts: hosts.has_choice(),
            retries_are_on: AtomicBool::new(on),
            terms,
            deadline,
            budget: Budget::new(Instant::now()),
            dice: Mutex::new(Dice::new()),
            asleep: Mutex::default(),
            ending: AtomicBool::new(false),
        }
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

    pub(super) fn judge(&self, fault: &impl resilience::Fault, so_far: Retries, terms: &Terms) -> Verdict {
        let mut dice = self.dice.lock();
        resilience::judge(fault, so_far, terms, &self.budget, Instant::now(), &mut dice)
    }

    pub(super) fn set_retries(&self, on: bool) {
        self.retries_are_on.store(on, Ordering::Relaxed);
    }

    pub(super) fn set_breaker(&self, mode: resilience::Mode) {
        if !self.ending.load(Ordering::Acquire) {
            self.circuits.set_mode(mode);
        }
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
        self.circuits.end();
    }
}
