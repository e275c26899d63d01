//! Resilience: whether and when an attempt that failed runs again, and when no more attempts are made.
//!
//! It knows nothing of Postgres. The caller describes a failure as a [`Fault`] and asks [`decide`]. A
//! [`Budget`] keeps retries from multiplying the load of an outage, a [`Deadline`] bounds them, [`Backoff`]
//! spreads them out. A [`Breaker`] stops calls to a host that keeps failing. An [`AdaptiveLimit`] has less important
//! work give way to what it slows. Nothing here sleeps or starts a task: the answers are durations and changes of
//! state.

mod adaptive;
mod backoff;
mod breaker;
mod deadline;
mod retry;
mod retry_budget;

pub use self::{
    adaptive::{AdaptiveLimit, AnswerTimes, Bounds, Felt, Lesson, Reduction, Usage},
    backoff::{Backoff, Jitter},
    breaker::{Breaker, Change, Limits, Mode, Probes, Stage},
    deadline::Deadline,
    retry::{Delay, Fault, NoRetry, Repeat, Retries, RetryDecision, RetryPolicy, decide},
    retry_budget::Budget,
};
