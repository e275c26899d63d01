//! One request on a connection: what is asked, and who hears the answer.

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
    /// Which protocol, and how results are wanted.
    pub mode: QueryMode,
    /// One format code per parameter: 0 text, 1 binary.
    pub formats: Box<[u8]>,
    /// Per parameter its big-endian `i32` length (-1: NULL) and its bytes, as in Bind.
    pub values: Box<[u8]>,
    /// From the first byte sent to the last one read; none: unbounded.
    pub timeout: Option<Duration>,
    /// Rows fetched at a time; 0: all at once.
    pub fetch: i32,
    /// Whether each fetch but the first waits until [`Connection::turn_page`](super::Connection::turn_page)
    /// asks for it.
    pub paged: bool,
    /// The most bytes its rows may have on the wire; none: unbounded.
    pub max_bytes: Option<u64>,
}

/// How a statement goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryMode {
    /// Nothing is sent: the reply's raw reader gets the connection for itself.
    Raw,
    /// The simple protocol: no parameters, several statements allowed.
    Simple,
    /// The extended protocol.
    Extended {
        /// Results in binary instead of text.
        binary: bool,
    },
}

/// Without the parameters, which are nobody else's business.
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
        })
    }

    /// No statement: the connection itself is wanted, in raw mode.
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
        })
    }

    /// Whether it can be sent behind others, in a pipeline.
    pub(super) fn is_joinable(&self) -> bool {
        self.mode != QueryMode::Raw && self.fetch == 0
    }

    /// The same statement, for which the server has so long at most.
    #[must_use]
    pub fn within(self: &Arc<Self>, time: Duration) -> Arc<Self> {
        if self.timeout.is_some_and(|timeout| timeout <= time) {
            return Arc::clone(self);
        }
        Arc::new(Self { timeout: Some(time), ..Self::clone(self) })
    }

    /// Whether results are wanted in binary.
    pub fn is_binary(&self) -> bool {
        matches!(self.mode, QueryMode::Extended { binary: true })
    }
}

/// A statement on its way, with the one who waits for it.
pub struct Exchange {
    /// Names it for [`Connection::give_up`](super::Connection::give_up).
    pub id: u32,
    /// What is asked.
    pub statement: Arc<Statement>,
    /// Who hears the answer.
    pub reply: Box<dyn Reply>,
}

/// How an exchange ended, from the connection's point of view.
#[derive(Debug)]
pub enum Outcome {
    /// The server answered all of it.
    Done(Status),
    /// It failed.
    Failed {
        /// Why.
        error: Error,
        /// Whether the server can have seen any of it. False: running it again is always safe.
        sent: bool,
        /// The transaction status afterwards; none: the connection is gone.
        status: Option<Status>,
    },
}

/// Hears the answer to one exchange. `settle` is called exactly once and last.
pub trait Reply: Send {
    /// Some rows of the current result; the first call of a result may have none.
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>);
    /// The current result is complete; the tag is empty for an empty statement.
    fn complete(&mut self, tag: &[u8]);
    /// A page is complete and the next one waits to be asked for.
    fn suspended(&mut self) {}
    /// Reads the connection while this exchange has it in raw mode.
    fn raw_reader(&self) -> Option<Arc<dyn RawReader>> {
        None
    }
    /// Whether its caller has taken it back, so that it is not to be sent. Asked under the connection's
    /// lock: who takes it back finds it on the connection, or has it refused here.
    fn is_withdrawn(&self) -> bool {
        false
    }
    /// The caller need not wait longer, though the server still works on it: its error is known.
    fn give_up(&mut self, error: Error);
    /// Pending while the hearer cannot take more; the server is not read until it can.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
    /// The end.
    fn settle(self: Box<Self>, outcome: Outcome);
}

/// Reads the bytes of a connection in raw mode.
pub trait RawReader: Send + Sync {
    /// The exchange has the connection for itself.
    fn begun(&self);
    /// Whole messages, as the server sent them.
    fn bytes(&self, bytes: &[u8]);
    /// What was written has left.
    fn drained(&self);
    /// Pending while no more can be taken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
}
