//! An exchange: one statement on a connection, and the reply that gets its answer.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{Error, Rows, Shape, Status};

/// A statement with its parameters, ready for the wire. Shared, because a retry sends it again.
#[derive(Clone)]
pub struct Statement {
    /// The SQL.
    pub text: Arc<str>,
    /// The name the application gave it; none: unnamed, cached by its text.
    pub name: Option<Arc<str>>,
    /// The protocol, and the format of results.
    pub mode: QueryMode,
    /// One format code per parameter: 0 text, 1 binary.
    pub formats: Box<[u8]>,
    /// Per parameter its big-endian `i32` length (-1: NULL) and its bytes, as in Bind.
    pub values: Box<[u8]>,
    /// The time from the first byte sent to the last one read; none: unbounded.
    pub timeout: Option<Duration>,
    /// Rows fetched at a time; 0: all at once.
    pub fetch: i32,
    /// Whether each fetch but the first waits for [`Connection::turn_page`](super::Connection::turn_page).
    pub paged: bool,
    /// The most bytes its rows may have on the wire; none: unbounded.
    pub max_bytes: Option<u64>,
    /// Whether it is sent at once behind the statement that runs, without waiting for its answer.
    pub joined: bool,
    /// Whether it is a statement of ours, such as BEGIN, which metrics do not count.
    pub is_own: bool,
    /// Statements that go out in front of it, all with one Sync: where one fails, the server passes over the rest. None of
    /// them has a name or pages, and none is simple. Their results come first, one by one.
    pub before: Box<[Arc<Self>]>,
}

/// The protocol by which a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryMode {
    /// No statement: the reply's raw reader gets the connection for itself.
    Raw,
    /// The simple protocol: no parameters, several statements allowed.
    Simple,
    /// The extended protocol.
    Extended {
        /// Results in binary instead of text.
        binary: bool,
    },
}

/// Shows no parameters: they may be secret.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, name, mode, .. } = self;
        f.debug_struct("Statement")
            .field("text", text)
            .field("name", name)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

impl Statement {
    /// A statement without parameters for the simple protocol.
    pub fn simple(text: &str) -> Arc<Self> {
        Arc::new(Self {
            text: text.into(),
            name: None,
            mode: QueryMode::Simple,
            formats: Box::default(),
            values: Box::default(),
            timeout: None,
            fetch: 0,
            paged: false,
            max_bytes: None,
            joined: false,
            is_own: false,
            before: Box::default(),
        })
    }

    /// No statement, but the connection itself, in raw mode.
    pub fn raw() -> Arc<Self> {
        Arc::new(Self {
            text: "".into(),
            name: None,
            mode: QueryMode::Raw,
            formats: Box::default(),
            values: Box::default(),
            timeout: None,
            fetch: 0,
            paged: false,
            max_bytes: None,
            joined: false,
            is_own: false,
            before: Box::default(),
        })
    }

    /// The statement whose result comes after so many others; past the last one, itself.
    pub fn part(&self, index: usize) -> &Self {
        self.before.get(index).map_or(self, Arc::as_ref)
    }

    /// All that goes out with one Sync, itself last.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Self> {
        self.before.iter().map(Arc::as_ref).chain(std::iter::once(self))
    }

    /// Whether it can go out with others under one Sync.
    pub fn may_go_with_others(&self) -> bool {
        matches!(self.mode, QueryMode::Extended { .. }) && self.name.is_none() && self.fetch == 0
    }

    /// Whether it can be sent behind others in a pipeline.
    pub(super) fn is_joinable(&self) -> bool {
        self.mode != QueryMode::Raw && self.fetch == 0
    }

    /// The same statement, with this timeout if it is shorter.
    #[must_use]
    pub fn within(self: &Arc<Self>, time: Duration) -> Arc<Self> {
        if self.timeout.is_some_and(|timeout| timeout <= time) {
            return Arc::clone(self);
        }
        Arc::new(Self { timeout: Some(time), ..Self::clone(self) })
    }

    /// Whether results are to be binary.
    pub fn is_binary(&self) -> bool {
        matches!(self.mode, QueryMode::Extended { binary: true })
    }
}

/// A statement to be run, and its reply.
pub struct Exchange {
    /// The number of the request, for [`Connection::give_up`](super::Connection::give_up).
    pub id: u32,
    /// The statement.
    pub statement: Arc<Statement>,
    /// The receiver of the answer.
    pub reply: Box<dyn Reply>,
}

/// The outcome of an exchange, from the connection's point of view.
#[derive(Debug)]
pub enum Outcome {
    /// The server has answered; its transaction status afterwards.
    Done(Status),
    /// It failed.
    Failed {
        /// The error.
        error: Error,
        /// Whether the server may have received it. False: running it again is always safe.
        sent: bool,
        /// The transaction status afterwards; none: the connection is gone.
        status: Option<Status>,
    },
}

/// Receives the answer to one exchange. `settle` is called exactly once and last.
pub trait Reply: Send {
    /// Rows of the current result; the first call of a result may have none.
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>);
    /// The current result is complete; the tag is empty for an empty statement.
    fn complete(&mut self, tag: &[u8]);
    /// A page is complete; the next one has to be asked for.
    fn suspended(&mut self) {}
    /// The reader of the connection while this exchange has it in raw mode.
    fn raw_reader(&self) -> Option<Arc<dyn RawReader>> {
        None
    }
    /// Whether its caller has withdrawn it, so that it is not sent. Asked under the connection's lock: an
    /// exchange that is withdrawn is either found on the connection, or refused here.
    fn is_withdrawn(&self) -> bool {
        false
    }
    /// The caller has given up: it fails with `error`, though the server may still work on the statement.
    fn give_up(&mut self, error: Error);
    /// Backpressure: pending while no more can be taken; the server is not read until it can.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
    /// The end of the exchange.
    fn settle(self: Box<Self>, outcome: Outcome);
}

/// Reads the bytes of a connection in raw mode.
pub trait RawReader: Send + Sync {
    /// The exchange has begun: it has the connection for itself.
    fn begun(&self);
    /// Whole messages, as the server sent them.
    fn bytes(&self, bytes: &[u8]);
    /// All that was written has left.
    fn drained(&self);
    /// Backpressure: pending while no more can be taken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
}
