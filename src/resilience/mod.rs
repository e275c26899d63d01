//! What to do when an attempt fails: run it again, when, and when to stop trying altogether.
//!
//! Knows nothing of Postgres. Whoever makes attempts describes a failure as a [`Fault`] and asks
//! [`decide`]; a [`Budget`] keeps retries from multiplying the load of an outage, a [`Deadline`]
//! bounds them all, [`Backoff`] spreads them out. A [`Breaker`] stops calls to a place that keeps
//! failing. Nothing here sleeps or starts a task: the answers are durations and changes of state.

mod backoff;
mod breaker;
mod deadline;
mod retry;
mod retry_budget;

pub use self::{
    backoff::{Backoff, Jitter},
    breaker::{Barred, Breaker, Change, Mode, Probe, Stage, Thresholds},
    deadline::Deadline,
    retry::{Delay, Fault, NoRetry, Repeat, Retries, RetryDecision, RetryPolicy, decide},
    retry_budget::Budget,
};
