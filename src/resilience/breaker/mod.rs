//! The breaker of one tier and host: all transitions of its state.
//!
//! ```text
//! closed ─ connects keep failing, or half of the calls fail and nothing is answered ─► open
//!    ▲                                                                                   │
//!    └────────────────────── an answer of the host, to whomever ─────────────────────────┘
//! ```
//!
//! It tells whether new connections make sense. As long as any connection of the host is answered, it is
//! closed. Open, it names the time of the next probe. A change is returned to whoever caused it, who
//! reports it and starts the probes. Failures that were under way when it opened change nothing.

mod limits;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use self::limits::Limits;
use self::window::Window;
use super::Jitter;

/// What a breaker does with what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing is counted.
    Off,
    /// It goes through its states and reports them, and bars nothing. Ordinary results are its probes.
    Metrics,
    /// Open, it bars new connections. Probes in the background find out when to close.
    Enforce,
    /// It bars everything, whatever happens.
    ForcedOpen,
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connections may be made.
    Closed,
    /// No connection is made but by probes.
    Open {
        /// When the next probe begins; none: there are no probes in this mode.
        next_probe: Option<Instant>,
    },
}

impl Stage {
    /// The name in events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
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
    /// Set when somebody has to run probes.
    pub probes: Option<Probes>,
}

/// The right to probe during one opening of the breaker: worthless as soon as it has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probes {
    opening: u64,
}

/// A breaker: watches the connects and calls to one host.
#[derive(Debug)]
pub struct Breaker {
    /// Read without the lock; written under it.
    mode: AtomicU8,
    /// 1 while connections are barred.
    bars: AtomicU8,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    stage: Stage,
    window: Window,
    /// Failed connects since the last answer. Those begun before the last round was over belong to it.
    connects: Rounds,
    /// Failed calls since the last one that was answered. Those within a second are a round. While there are
    /// some, a connect that is answered tells nothing of them: a pooler answers for a server that does not.
    calls: Rounds,
    last_answer: Option<Instant>,
    /// Whether calls have opened it.
    is_opened_by_calls: bool,
    opened_at: Instant,
    /// Numbers the openings, so that the probes of an earlier one are told apart.
    opening: u64,
    jitter: Jitter,
}

/// Rounds of failures in a row.
#[derive(Debug, Default)]
struct Rounds {
    failed: u32,
    /// When the first of them was.
    since: Option<Instant>,
    /// When the last of them was over.
    over: Option<Instant>,
}

impl Rounds {
    /// Counts a round; whether it is one too many.
    fn fail(&mut self, limits: &Limits, now: Instant) -> bool {
        self.failed = self.failed.saturating_add(1);
        self.over = Some(now);
        limits.rounds_are_exceeded(self.failed, now - *self.since.get_or_insert(now))
    }

    /// Begins anew.
    fn end(&mut self) {
        self.failed = 0;
        self.since = None;
    }
}

impl Breaker {
    /// A closed one, or one that is forced open.
    pub fn new(mode: Mode, limits: Limits, now: Instant) -> Self {
        let is_forced = mode == Mode::ForcedOpen;
        let state = State {
            limits,
            stage: if is_forced { Stage::Open { next_probe: None } } else { Stage::Closed },
            window: Window::new(limits.window, now),
            connects: Rounds::default(),
            calls: Rounds::default(),
            last_answer: None,
            is_opened_by_calls: false,
            opened_at: now,
            opening: 0,
            jitter: Jitter::new(),
        };
        Self {
            mode: AtomicU8::new(mode as u8),
            bars: AtomicU8::new(u8::from(is_forced)),
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

    /// Whether connections are barred. One relaxed load.
    pub fn bars(&self) -> bool {
        self.bars.load(Ordering::Relaxed) != 0
    }

    /// A call was answered.
    pub fn call_answered(&self, now: Instant) -> Option<Change> {
        self.counted(|state| {
            state.window.record(true, now);
            self.answer_locked(state, now)
        })
    }

    /// A connection was made, or the host has answered otherwise to a connect.
    pub fn connect_answered(&self, now: Instant) -> Option<Change> {
        self.counted(|state| {
            let tells_nothing =
                state.is_opened_by_calls || state.stage == Stage::Closed && state.calls.failed > 0;
            if tells_nothing {
                state.connects.end();
                return None;
            }
            self.answer_locked(state, now)
        })
    }

    /// A probe was answered.
    pub fn probe_answered(&self, now: Instant) -> Option<Change> {
        self.counted(|state| self.answer_locked(state, now))
    }

    /// A call failed because its connection or its server did.
    pub fn call_failed(&self, now: Instant) -> Option<Change> {
        self.counted(|state| {
            if state.stage != Stage::Closed {
                return None;
            }
            let State { window, limits, calls, last_answer, .. } = &mut *state;
            window.record(false, now);
            let is_silent = Limits::is_silent(*last_answer, now);
            let is_share_exceeded = limits.share_is_exceeded(window.tally(now));
            let is_round = calls.failed == 0 || Limits::is_silent(calls.over, now);
            let are_rounds_exceeded = is_round && calls.fail(limits, now);
            state.is_opened_by_calls = is_silent && (is_share_exceeded || are_rounds_exceeded);
            state.is_opened_by_calls.then(|| self.open_locked(state, now))
        })
    }

    /// A connect that began at `begun` has failed because the host cannot be reached or does not serve.
    pub fn connect_failed(&self, begun: Instant, now: Instant) -> Option<Change> {
        self.counted(|state| {
            let State { limits, connects, stage, .. } = &mut *state;
            if *stage != Stage::Closed || connects.over.is_some_and(|over| begun < over) {
                return None;
            }
            connects.fail(limits, now).then(|| self.open_locked(state, now))
        })
    }

    fn counted(&self, count: impl FnOnce(&mut State) -> Option<Change>) -> Option<Change> {
        match self.mode() {
            Mode::Off | Mode::ForcedOpen => None,
            Mode::Metrics | Mode::Enforce => count(&mut self.state.lock()),
        }
    }

    fn answer_locked(&self, state: &mut State, now: Instant) -> Option<Change> {
        state.connects.end();
        state.calls.end();
        state.last_answer = Some(now);
        (state.stage != Stage::Closed).then(|| self.close_locked(state, now))
    }

    fn open_locked(&self, state: &mut State, now: Instant) -> Change {
        let from = state.stage;
        let is_enforced = self.mode() == Mode::Enforce;
        state.opening += 1;
        state.opened_at = now;
        let next_probe = is_enforced.then(|| now + state.limits.first_probe(&mut state.jitter));
        state.stage = Stage::Open { next_probe };
        self.bars.store(u8::from(is_enforced), Ordering::Relaxed);
        let probes = is_enforced.then_some(Probes { opening: state.opening });
        Change { from, to: state.stage, probes }
    }

    fn close_locked(&self, state: &mut State, now: Instant) -> Change {
        let from = std::mem::replace(&mut state.stage, Stage::Closed);
        state.window.clear(now);
        state.connects.end();
        state.calls.end();
        state.is_opened_by_calls = false;
        state.opening += 1;
        self.bars.store(0, Ordering::Relaxed);
        Change { from, to: Stage::Closed, probes: None }
    }

    /// When the next probe of this opening begins; none: it is over.
    pub fn next_probe(&self, probes: Probes) -> Option<Instant> {
        let state = self.state.lock();
        match state.stage {
            Stage::Open { next_probe } if state.opening == probes.opening => next_probe,
            _ => None,
        }
    }

    /// A probe begins; sets the time of the next one. False: this opening is over.
    pub fn begin_probe(&self, probes: Probes, now: Instant) -> bool {
        let mut state = self.state.lock();
        if state.opening != probes.opening || state.stage == Stage::Closed {
            return false;
        }
        let State { limits, opened_at, jitter, .. } = &mut *state;
        let next = now + limits.between_probes(now - *opened_at, jitter);
        state.stage = Stage::Open { next_probe: Some(next) };
        true
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
            state.stage = Stage::Open { next_probe: None };
            self.bars.store(1, Ordering::Relaxed);
            change.to = state.stage;
        }
        (change.from != change.to).then_some(change)
    }

    /// Sets other limits; what was counted so far is measured by them, but for the calls of the window.
    pub fn set_limits(&self, limits: Limits, now: Instant) {
        let mut state = self.state.lock();
        if state.limits.window != limits.window {
            state.window = Window::new(limits.window, now);
        }
        state.limits = limits;
    }
}
