//! The gate: a connector that makes numbered connections when told to, and remembers each of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::pool::{CloseReason, Condition, Connector, Outlook};

/// The outcome of an attempt, a check or a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Succeed,
    /// Half a second later.
    SucceedLate,
    Fail,
    /// In a way that does not pass by itself.
    FailForGood,
    /// Until another server takes over.
    FailOver,
    /// For want of something on this machine.
    FailShort,
    Hang,
    Panic,
}

const FOR_GOOD: &str = "refused for good";
const NO_PRIMARY: &str = "no primary";
const NO_DESCRIPTOR: &str = "no descriptor";

#[derive(Default)]
struct Ledger {
    next: u64,
    /// Attempts that wait at the gate.
    attempts: VecDeque<oneshot::Sender<Reply>>,
    /// The outcome of attempts that do not wait.
    connect: Option<Reply>,
    check: Option<Reply>,
    reset: Option<Reply>,
    conditions: BTreeMap<u64, Condition>,
    open: BTreeSet<u64>,
    closed: Vec<(u64, CloseReason)>,
    checked: Vec<u64>,
    overdue: Vec<(u64, Duration)>,
    /// Connections on which something runs.
    running: BTreeSet<u64>,
    interrupted: Vec<u64>,
}

/// Cloned by the test to steer the connector inside the pool.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Ledger>>);

impl Gate {
    /// A gate that stands open: every attempt succeeds at once.
    pub(super) fn open() -> Self {
        let gate = Self::default();
        gate.connects(Some(Reply::Succeed));
        gate
    }

    /// Sets the outcome of attempts from now on; `None`: they wait for [`Gate::answer`].
    pub(super) fn connects(&self, reply: Option<Reply>) {
        self.0.lock().connect = reply;
    }

    pub(super) fn checks(&self, reply: Reply) {
        self.0.lock().check = Some(reply);
    }

    pub(super) fn resets(&self, reply: Reply) {
        self.0.lock().reset = Some(reply);
    }

    pub(super) fn set(&self, connection: u64, condition: Condition) {
        self.0.lock().conditions.insert(connection, condition);
    }

    /// Answers the oldest attempt still waiting; false: there is none.
    pub(super) fn answer(&self, reply: Reply) -> bool {
        let mut ledger = self.0.lock();
        while let Some(attempt) = ledger.attempts.pop_front() {
            if attempt.send(reply).is_ok() {
                return true;
            }
        }
        false
    }

    /// Answers the newest attempt.
    pub(super) fn answer_newest(&self, reply: Reply) -> bool {
        let newest = self.0.lock().attempts.pop_back();
        newest.is_some_and(|attempt| attempt.send(reply).is_ok())
    }

    /// Attempts still waiting.
    pub(super) fn attempts(&self) -> usize {
        self.0.lock().attempts.iter().filter(|attempt| !attempt.is_closed()).count()
    }

    /// Lets something run on the connection until it is interrupted.
    pub(super) fn run(&self, connection: u64) {
        self.0.lock().running.insert(connection);
    }

    pub(super) fn interrupted(&self) -> Vec<u64> {
        self.0.lock().interrupted.clone()
    }

    pub(super) fn opened(&self) -> u64 {
        self.0.lock().next
    }

    pub(super) fn is_open(&self, connection: u64) -> bool {
        self.0.lock().open.contains(&connection)
    }

    pub(super) fn open_connections(&self) -> Vec<u64> {
        self.0.lock().open.iter().copied().collect()
    }

    pub(super) fn closed(&self) -> Vec<(u64, CloseReason)> {
        self.0.lock().closed.clone()
    }

    pub(super) fn checked(&self) -> Vec<u64> {
        self.0.lock().checked.clone()
    }

    pub(super) fn overdue(&self) -> Vec<(u64, Duration)> {
        self.0.lock().overdue.clone()
    }

    fn make(&self) -> u64 {
        let mut ledger = self.0.lock();
        ledger.next += 1;
        let connection = ledger.next;
        ledger.open.insert(connection);
        connection
    }
}

async fn play(reply: Reply) -> bool {
    match reply {
        Reply::Succeed => true,
        Reply::SucceedLate => {
            sleep(Duration::from_millis(500)).await;
            true
        }
        Reply::Fail | Reply::FailForGood | Reply::FailOver | Reply::FailShort => false,
        Reply::Hang => pending().await,
        Reply::Panic => panic!("on command"),
    }
}

impl Connector for Gate {
    type Connection = u64;
    type Error = &'static str;

    async fn connect(&self) -> Result<u64, &'static str> {
        let ready = self.0.lock().connect;
        let reply = if let Some(reply) = ready {
            reply
        } else {
            let (sender, receiver) = oneshot::channel();
            self.0.lock().attempts.push_back(sender);
            receiver.await.unwrap_or(Reply::Fail)
        };
        let error = match reply {
            Reply::FailForGood => FOR_GOOD,
            Reply::FailOver => NO_PRIMARY,
            Reply::FailShort => NO_DESCRIPTOR,
            _ => "refused",
        };
        if play(reply).await { Ok(self.make()) } else { Err(error) }
    }

    fn outlook(&self, error: &&'static str) -> Outlook {
        match *error {
            FOR_GOOD => Outlook::Lasts,
            NO_PRIMARY => Outlook::Failover,
            NO_DESCRIPTOR => Outlook::Shortage,
            _ => Outlook::Passes,
        }
    }

    fn condition(&self, connection: &u64) -> Condition {
        self.0.lock().conditions.get(connection).copied().unwrap_or(Condition::Fit)
    }

    async fn check(&self, connection: &u64) -> bool {
        let reply = {
            let mut ledger = self.0.lock();
            ledger.checked.push(*connection);
            ledger.check.unwrap_or(Reply::Succeed)
        };
        play(reply).await
    }

    async fn reset(&self, connection: &u64) -> bool {
        let reply = self.0.lock().reset.unwrap_or(Reply::Succeed);
        let succeeded = play(reply).await;
        if succeeded {
            self.0.lock().conditions.remove(connection);
        }
        succeeded
    }

    fn interrupt(&self, connection: &u64) -> bool {
        let mut ledger = self.0.lock();
        ledger.interrupted.push(*connection);
        ledger.running.remove(connection)
    }

    fn close(&self, connection: u64, reason: CloseReason) {
        let mut ledger = self.0.lock();
        assert!(ledger.open.remove(&connection), "connection {connection} closed twice");
        ledger.closed.push((connection, reason));
    }

    fn overdue(&self, connection: &u64, held: Duration) {
        self.0.lock().overdue.push((*connection, held));
    }
}
