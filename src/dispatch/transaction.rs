//! Retry decision for a transaction whose statements JavaScript sends: whether the whole of it runs
//! again, and when. The delay is slept here, so that JavaScript needs no timer.
//!
//! Before COMMIT the server has rolled back whatever was lost, so the transaction may run again. A
//! COMMIT whose answer is lost is asked for by its transaction id: that question may be repeated to
//! the deadline; only when the answer is "aborted" does the transaction come here again.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    RequestOptions, RetryNotice,
    classify::{ClassifiedFailure, Phase},
    retry_state::RetryState,
};
use crate::{
    postgres::{
        Action, SqlState,
        sql_text::{SqlStatement, statements},
    },
    resilience::{Deadline, Delay, Fault as _, NoRetry, Repeat, Retries, RetryDecision, RetryPolicy},
};

/// A run of a transaction, or of a statement on a client, that failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRun {
    stage: RunStage,
    /// The code of its error.
    code: Option<String>,
    /// Whether its connection was lost.
    #[serde(default)]
    lost: bool,
    /// Whether the function of the transaction may have committed a part by itself.
    #[serde(default)]
    committed: bool,
    /// Runs again so far.
    #[serde(default)]
    retries: u32,
    /// Of so many.
    #[serde(default)]
    attempts: u32,
    base_millis: Option<f64>,
    /// What is left of its deadline.
    remaining_millis: Option<f64>,
    /// Whether running it twice does no harm.
    #[serde(default)]
    idempotent: bool,
    /// Of a statement.
    text: Option<String>,
    /// Codes that are tried again because the caller lists them.
    #[serde(default)]
    codes: Vec<String>,
}

/// How far a run had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RunStage {
    /// It failed before COMMIT, or COMMIT was refused.
    Open,
    /// COMMIT was lost, and the server says "aborted".
    Aborted,
    /// COMMIT was lost, and the server cannot say yet.
    Asking,
    /// COMMIT was lost, and nobody can say.
    Unknown,
    /// It is one statement of the pool's that ran on a client, for somebody wanted to see the client.
    Statement,
}

impl RunStage {
    /// Every stage.
    pub const ALL: &[Self] = &[Self::Open, Self::Aborted, Self::Asking, Self::Unknown, Self::Statement];
}

impl FailedRun {
    fn fault(&self, has_other_hosts: bool) -> ClassifiedFailure {
        let phase = match self.stage {
            RunStage::Open => Phase::Transaction,
            RunStage::Aborted | RunStage::Asking | RunStage::Unknown => Phase::Commit,
            RunStage::Statement => Phase::Sent,
        };
        let action = self.code.as_deref().map(|code| SqlState::new(code.as_bytes()).action());
        let repeat = match self.stage {
            // The server refuses to answer it.
            RunStage::Asking if action == Some(Action::Final) => Repeat::Never,
            RunStage::Asking => Repeat::Unsent,
            RunStage::Aborted => Repeat::Safe,
            RunStage::Unknown => Repeat::Ambiguous,
            RunStage::Open if self.lost => Repeat::Safe,
            RunStage::Statement if self.lost => Repeat::Ambiguous,
            RunStage::Open | RunStage::Statement => self.repeat_after(action, has_other_hosts),
        };
        let repeat = if self.committed && repeat != Repeat::Ambiguous { Repeat::Never } else { repeat };
        ClassifiedFailure::new(phase, repeat, Delay::Backoff)
    }

    fn repeat_after(&self, action: Option<Action>, has_other_hosts: bool) -> Repeat {
        let may_run_again = match action {
            Some(Action::Ambiguous) => return Repeat::Ambiguous,
            Some(Action::Rerun) => self.is_undone(SqlStatement::leaves_nothing_behind),
            Some(Action::LeaveHost) => has_other_hosts && self.is_undone(SqlStatement::is_one_transaction),
            // It was prepared in a session that a pooler has changed; then no further run relies on it.
            Some(Action::PrepareAgain) => self.stage == RunStage::Open && self.has_lost_statement(),
            Some(Action::OnDemand) => self.is_listed() && self.is_undone(SqlStatement::is_one_transaction),
            _ => false,
        };
        if may_run_again { Repeat::Safe } else { Repeat::Never }
    }

    /// Whether the server has undone all of it: a transaction, or a single statement of which `is_undone` is asked.
    fn is_undone<'a>(&'a self, is_undone: fn(&SqlStatement<'a>) -> bool) -> bool {
        if self.stage != RunStage::Statement {
            return true;
        }
        let mut statements = statements(self.text.as_deref().unwrap_or_default());
        statements.next().is_some_and(|only| is_undone(&only)) && statements.next().is_none()
    }

    fn has_lost_statement(&self) -> bool {
        self.code.as_deref().is_some_and(|code| SqlState::new(code.as_bytes()).is_lost_statement())
    }

    fn is_listed(&self) -> bool {
        self.code.as_ref().is_some_and(|code| self.codes.contains(code))
    }

    fn retry_policy(&self, retry_state: &RetryState) -> RetryPolicy {
        let time = |millis: Option<f64>| millis.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        let deadline = Deadline::after(Instant::now(), time(self.remaining_millis));
        let options = RequestOptions {
            attempts: Some(self.attempts),
            base: time(self.base_millis),
            idempotent: self.idempotent,
            ..RequestOptions::default()
        };
        let retry_policy = retry_state.retry_policy(&options, deadline);
        // A question is no retry.
        RetryPolicy { enabled: retry_policy.enabled || self.stage == RunStage::Asking, ..retry_policy }
    }
}

/// Decides on a run; `answer` hears, when its time has come, that it begins again, or why not, and whether the
/// run may have taken effect.
pub(super) fn decide_retry(
    retry_state: &Arc<RetryState>,
    id: u32,
    run: FailedRun,
    answer: impl FnOnce(Result<(), NoRetry>, bool) + Send + 'static,
) {
    let fault = run.fault(retry_state.has_other_hosts);
    let retry_policy = run.retry_policy(retry_state);
    let is_ambiguous = fault.repeat() == Repeat::Ambiguous;
    let so_far = Retries { moved: 0, delayed: run.retries };
    let delay = match retry_state.decide(&fault, so_far, &retry_policy) {
        RetryDecision::Retry(delay) => delay,
        RetryDecision::Fail(why) => return answer(Err(why), is_ambiguous),
    };
    if run.stage != RunStage::Asking {
        retry_state.tell(&RetryNotice {
            attempt: run.retries + 1,
            of: Some(retry_policy.attempts),
            delay,
            code: run.code,
            phase: fault.phase,
        });
    }
    sleep(retry_state, id, delay, move |outcome| answer(outcome, is_ambiguous));
}

/// Sleeps; woken early the answer is `NoRetry::Final`.
pub(super) fn sleep(
    retry_state: &Arc<RetryState>,
    id: u32,
    time: Duration,
    answer: impl FnOnce(Result<(), NoRetry>) + Send + 'static,
) {
    let woken = retry_state.falls_asleep(id);
    let sleeper = Arc::clone(retry_state);
    retry_state.tier.runtime.spawn(async move {
        let outcome = tokio::select! {
            biased;
            _ = woken => Err(NoRetry::Final),
            () = tokio::time::sleep(time) => Ok(()),
        };
        sleeper.wakes(id);
        answer(outcome);
    });
}
