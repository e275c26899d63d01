//! The verdict on a transaction whose statements JavaScript sends: whether the whole of it runs again,
//! and when. The delay is slept here, so that the other side needs no timer.
//!
//! Before COMMIT the server has rolled back whatever was lost, so the transaction may run again. A
//! COMMIT whose answer is lost is asked for by its transaction id: that question may be repeated to
//! the deadline; only when the answer is "aborted" does the transaction come here again.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{
    Retrying, Wish,
    classify::{Fault, Phase, may_commit_by_itself},
    retry_state::Resilience,
};
use crate::{
    postgres::{Action, SqlState},
    resilience::{Deadline, Pace, Repeat, Retries, Terms, Verdict, Why},
};

/// What became of one run of a transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    stage: Stage,
    /// The code of its error.
    code: Option<String>,
    /// Whether its connection was lost.
    #[serde(default)]
    lost: bool,
    /// Runs again so far.
    #[serde(default)]
    retries: u32,
    /// Of so many.
    #[serde(default)]
    attempts: u32,
    base_millis: Option<f64>,
    /// What is left of its deadline.
    remaining_millis: Option<f64>,
    /// Of a statement: whether running it twice does no harm.
    #[serde(default)]
    idempotent: bool,
    /// Of a statement.
    text: Option<String>,
    /// Codes that are tried again because the caller lists them.
    #[serde(default)]
    codes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    /// It failed before COMMIT, or COMMIT was refused.
    Open,
    /// COMMIT was lost, and the server says "aborted".
    Aborted,
    /// COMMIT was lost, and the server cannot say yet.
    Asking,
    /// It is one statement of the pool's that ran on a client, for somebody wanted to see the client.
    Statement,
}

impl Run {
    fn fault(&self, has_other_hosts: bool) -> Fault {
        let phase = match self.stage {
            Stage::Open => Phase::Transaction,
            Stage::Aborted | Stage::Asking => Phase::Commit,
            Stage::Statement => Phase::Sent,
        };
        let action = self.code.as_deref().map(|code| SqlState::new(code.as_bytes()).action());
        let repeat = match self.stage {
            // The server refuses to answer it.
            Stage::Asking if action == Some(Action::Final) => Repeat::Never,
            Stage::Asking => Repeat::Unsent,
            Stage::Aborted => Repeat::Safe,
            Stage::Open if self.lost => Repeat::Safe,
            Stage::Open => self.repeat_after(action, has_other_hosts),
            Stage::Statement if self.lost => Repeat::Ambiguous,
            Stage::Statement if self.is_single() => self.repeat_after(action, has_other_hosts),
            Stage::Statement => Repeat::Never,
        };
        Fault::new(phase, repeat, Pace::Statement)
    }

    fn repeat_after(&self, action: Option<Action>, has_other_hosts: bool) -> Repeat {
        let may_run_again = match action {
            Some(Action::Ambiguous) => return Repeat::Ambiguous,
            Some(Action::Rerun) => true,
            Some(Action::LeaveHost) => has_other_hosts,
            Some(Action::OnDemand) => self.is_listed(),
            _ => false,
        };
        if may_run_again { Repeat::Safe } else { Repeat::Never }
    }

    /// Whether the server has undone all of it when it reports an error.
    fn is_single(&self) -> bool {
        let text = self.text.as_deref().unwrap_or_default();
        let rest = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        !rest.contains(';') && !may_commit_by_itself(rest)
    }

    fn is_listed(&self) -> bool {
        self.code.as_ref().is_some_and(|code| self.codes.contains(code))
    }

    fn terms(&self, resilience: &Resilience) -> Terms {
        let time = |millis: Option<f64>| millis.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        let deadline = Deadline::after(Instant::now(), time(self.remaining_millis));
        let wish = Wish {
            attempts: Some(self.attempts),
            base: time(self.base_millis),
            idempotent: self.idempotent,
            ..Wish::default()
        };
        let terms = resilience.terms(&wish, deadline);
        // A question is no retry.
        Terms { enabled: terms.enabled || self.stage == Stage::Asking, ..terms }
    }
}

/// Decides on a run; `answer` hears, when its time has come, that it begins again, or why not.
pub(super) fn again(
    resilience: &Arc<Resilience>,
    id: u32,
    run: Run,
    answer: impl FnOnce(Result<(), Why>) + Send + 'static,
) {
    let fault = run.fault(resilience.has_other_hosts);
    let terms = run.terms(resilience);
    let so_far = Retries { moved: 0, delayed: run.retries };
    let delay = match resilience.judge(&fault, so_far, &terms) {
        Verdict::Retry(delay) => delay,
        Verdict::Fail(why) => return answer(Err(why)),
    };
    if run.stage != Stage::Asking {
        resilience.tell(&Retrying {
            attempt: run.retries + 1,
            of: Some(terms.attempts),
            delay,
            code: run.code,
            phase: fault.phase,
        });
    }
    rest(resilience, id, delay, answer);
}

/// Sleeps; woken early the answer is `Why::Final`.
pub(super) fn rest(
    resilience: &Arc<Resilience>,
    id: u32,
    time: Duration,
    answer: impl FnOnce(Result<(), Why>) + Send + 'static,
) {
    let woken = resilience.falls_asleep(id);
    let sleeper = Arc::clone(resilience);
    resilience.runtime.spawn(async move {
        let outcome = tokio::select! {
            biased;
            _ = woken => Err(Why::Final),
            () = sleep(time) => Ok(()),
        };
        sleeper.wakes(id);
        answer(outcome);
    });
}
