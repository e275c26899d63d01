//! The breaker of one tier and host: all transitions of its state.
//!
//! ```text
//! closed ─ too many failures ─► open ─ its time is over ─► half-open ─ 3 successes ─► closed
//!                                ▲                              │
//!                                └───── a failure, doubled ─────┘
//! ```
//!
//! A change is returned to whoever caused it, who tells it and starts the probe. Results that were
//! under way when it opened change nothing.

mod policy;
#[cfg(test)]
mod tests;
mod window;

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::policy::Thresholds;
use self::window::Window;

/// What a breaker does with what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is counted.
    Off,
    /// It goes through its states and tells them, and stops nobody. Ordinary results are its probes.
    Metrics,
    /// Open, it stops every call. A probe in the background finds out when to close.
    Enforce,
    /// It stops every call, whatever happens.
    ForcedOpen,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Calls pass.
    Closed,
    /// Until this moment nobody tries; none: until somebody says so.
    Open(Option<Instant>),
    /// One probe at a time.
    HalfOpen,
}

impl Stage {
    /// The name in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: Stage,
    /// After.
    pub to: Stage,
    /// Set when somebody has to start the probe.
    pub probe: Option<Probe>,
}

/// The right to probe: worthless as soon as the breaker has opened or closed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// When to begin.
    pub at: Instant,
    opening: u64,
}

/// A call that may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barred {
    /// When the next probe begins, if it is known.
    pub next_probe: Option<Instant>,
}

/// Watches the calls to one place.
#[derive(Debug)]
pub struct Breaker {
    thresholds: Thresholds,
    /// Read without the lock; written under it.
    mode: AtomicU8,
    /// 1 while calls are stopped.
    bars: AtomicU8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    window: Window,
    connects_in_a_row: u32,
    /// Openings since it was last closed.
    times_open: u32,
    /// Successes since it is half-open.
    successes: u32,
    /// Numbers the openings, so that a probe of an earlier one is told apart.
    opening: u64,
}

impl Breaker {
    /// A closed one, or one that is forced open.
    pub fn new(mode: Mode, thresholds: Thresholds, now: Instant) -> Self {
        let state = State {
            stage: if mode == Mode::ForcedOpen { Stage::Open(None) } else { Stage::Closed },
            window: Window::new(thresholds.window, now),
            connects_in_a_row: 0,
            times_open: 0,
            successes: 0,
            opening: 0,
        };
        Self {
            thresholds,
            mode: AtomicU8::new(mode as u8),
            bars: AtomicU8::new(u8::from(mode == Mode::ForcedOpen)),
            state: Mutex::new(state),
        }
    }

    /// What it does.
    pub fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Off,
            1 => Mode::Metrics,
            2 => Mode::Enforce,
            _ => Mode::ForcedOpen,
        }
    }

    /// The state it is in.
    pub fn stage(&self) -> Stage {
        self.state.lock().stage
    }

    /// Whether a call may pass. One relaxed load while it is closed.
    pub fn admit(&self) -> Result<(), Barred> {
        if self.bars.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        match self.state.lock().stage {
            Stage::Closed => Ok(()),
            Stage::Open(until) => Err(Barred { next_probe: until }),
            Stage::HalfOpen => Err(Barred { next_probe: None }),
        }
    }

    /// A call was answered.
    pub fn call_succeeded(&self, now: Instant) -> Option<Change> {
        self.record(now, true, false)
    }

    /// A call failed in a way that counts.
    pub fn call_failed(&self, now: Instant) -> Option<Change> {
        self.record(now, false, false)
    }

    /// A connection was made.
    pub fn connect_succeeded(&self, now: Instant) -> Option<Change> {
        self.record(now, true, true)
    }

    /// A connection could not be made, in a way that counts.
    pub fn connect_failed(&self, now: Instant) -> Option<Change> {
        self.record(now, false, true)
    }

    fn record(&self, now: Instant, succeeded: bool, connect: bool) -> Option<Change> {
        let mode = self.mode();
        if matches!(mode, Mode::Off | Mode::ForcedOpen) {
            return None;
        }
        let mut state = self.state.lock();
        match state.stage {
            Stage::Closed => {
                if connect {
                    state.connects_in_a_row = if succeeded { 0 } else { state.connects_in_a_row + 1 };
                }
                state.window.record(succeeded, now);
                let tally = if succeeded { return None } else { state.window.tally(now) };
                let exceeded = self.thresholds.is_exceeded(tally, state.connects_in_a_row);
                exceeded.then(|| self.open_locked(&mut state, mode, now))
            }
            Stage::HalfOpen if mode == Mode::Metrics => {
                self.judge_probe_locked(&mut state, mode, succeeded, now)
            }
            Stage::Open(_) | Stage::HalfOpen => None,
        }
    }

    /// Where ordinary results are the probes: the time of being open is over. To be asked before a result
    /// is reported.
    pub fn on_time_passed(&self, now: Instant) -> Option<Change> {
        if self.mode() != Mode::Metrics {
            return None;
        }
        let mut state = self.state.lock();
        match state.stage {
            Stage::Open(Some(until)) if until <= now => Some(Self::half_open_locked(&mut state)),
            _ => None,
        }
    }

    fn half_open_locked(state: &mut State) -> Change {
        let from = std::mem::replace(&mut state.stage, Stage::HalfOpen);
        state.successes = 0;
        Change { from, to: Stage::HalfOpen, probe: None }
    }

    /// The time of a probe has come. None: it is not wanted any more.
    pub fn begin_probe(&self, probe: Probe) -> Option<Change> {
        let mut state = self.state.lock();
        if state.opening != probe.opening || !matches!(state.stage, Stage::Open(Some(_))) {
            return None;
        }
        Some(Self::half_open_locked(&mut state))
    }

    /// Whether the probe is to go on.
    pub fn awaits(&self, probe: Probe) -> bool {
        let state = self.state.lock();
        state.opening == probe.opening && state.stage == Stage::HalfOpen
    }

    /// One step of a probe is over.
    pub fn probed(&self, probe: Probe, succeeded: bool, now: Instant) -> Option<Change> {
        let mut state = self.state.lock();
        if state.opening != probe.opening || state.stage != Stage::HalfOpen {
            return None;
        }
        self.judge_probe_locked(&mut state, self.mode(), succeeded, now)
    }

    fn judge_probe_locked(
        &self,
        state: &mut State,
        mode: Mode,
        succeeded: bool,
        now: Instant,
    ) -> Option<Change> {
        if !succeeded {
            return Some(self.open_locked(state, mode, now));
        }
        state.successes += 1;
        (state.successes >= self.thresholds.successes).then(|| self.close_locked(state, now))
    }

    fn open_locked(&self, state: &mut State, mode: Mode, now: Instant) -> Change {
        let from = state.stage;
        let length = self.thresholds.open_for(state.times_open);
        let until = now.checked_add(length).unwrap_or(now + Duration::from_secs(3600));
        state.stage = Stage::Open(Some(until));
        state.times_open = state.times_open.saturating_add(1);
        state.opening += 1;
        let enforced = mode == Mode::Enforce;
        self.bars.store(u8::from(enforced), Ordering::Relaxed);
        let probe = enforced.then_some(Probe { at: until, opening: state.opening });
        Change { from, to: state.stage, probe }
    }

    fn close_locked(&self, state: &mut State, now: Instant) -> Change {
        let from = std::mem::replace(&mut state.stage, Stage::Closed);
        state.window.clear(now);
        state.connects_in_a_row = 0;
        state.times_open = 0;
        state.opening += 1;
        self.bars.store(0, Ordering::Relaxed);
        Change { from, to: Stage::Closed, probe: None }
    }

    /// Sets another mode; what was counted under the old one is forgotten.
    pub fn set_mode(&self, mode: Mode, now: Instant) -> Option<Change> {
        let mut state = self.state.lock();
        if self.mode() == mode {
            return None;
        }
        self.mode.store(mode as u8, Ordering::Relaxed);
        let mut change = self.close_locked(&mut state, now);
        if mode == Mode::ForcedOpen {
            state.stage = Stage::Open(None);
            self.bars.store(1, Ordering::Relaxed);
            change.to = state.stage;
        }
        (change.from != change.to).then_some(change)
    }
}
