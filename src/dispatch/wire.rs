//! The pool's connector: connections of the wire, and what the outside hears of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::{
    pool::{CloseReason, Condition, Connector, Pool, WeakPool},
    postgres::{
        Config, Connection, Error, Event, Exchange, Listener, Outcome, Reply, Rows, Shape, Statement, Status,
        connect,
    },
};

/// Hears of the connections of a tier. In production the JavaScript side.
pub trait Face: Send + Sync + 'static {
    /// A connection is there. Nobody gets it before the future is done; an error closes it.
    fn greet<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
    /// A notice, a notification or a change of a setting.
    fn event(&self, connection: u32, event: Event);
    /// The pool is closing it.
    fn closing(&self, connection: u32, reason: CloseReason);
    /// It is gone. `error`: nobody on this side wanted that. `idle`: nobody used it.
    fn closed(&self, connection: u32, error: Option<Error>, idle: bool);
}

/// Makes, judges and closes connections of the wire.
pub struct Wire {
    config: Config,
    watch: Arc<Watch>,
}

impl Wire {
    pub(super) fn new(config: Config, face: Arc<dyn Face>) -> Self {
        Self { config, watch: Arc::new(Watch { face, pool: OnceLock::new() }) }
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

/// Passes on what connections tell, and has the pool forget those that died.
pub(super) struct Watch {
    face: Arc<dyn Face>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<Wire>>,
}

impl Watch {
    pub(super) fn attach(&self, pool: &Pool<Wire>) {
        let _ = self.pool.set(pool.downgrade());
    }
}

impl Listener for Watch {
    fn event(&self, connection: u32, event: Event) {
        self.face.event(connection, event);
    }

    fn closed(&self, connection: u32, error: Option<Error>) {
        let pool = self.pool.get().and_then(WeakPool::upgrade);
        let idle =
            pool.is_some_and(|pool| pool.forget(|other| other.id == connection, CloseReason::Broken) > 0);
        self.face.closed(connection, error, idle);
    }
}

impl Connector for Wire {
    type Connection = Arc<Connection>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection, Error> {
        let connection = connect(&self.config, self.watch()).await?;
        let unwanted = CloseOnDrop(Some(&connection));
        self.watch.face.greet(&connection).await?;
        unwanted.keep();
        Ok(connection)
    }

    fn condition(&self, connection: &Self::Connection) -> Condition {
        match connection.status() {
            None => Condition::Broken,
            Some(Status::Idle) if connection.is_quiet() => Condition::Fit,
            Some(_) => Condition::Dirty,
        }
    }

    async fn check(&self, connection: &Self::Connection) -> bool {
        run(connection, "").await.is_some()
    }

    async fn reset(&self, connection: &Self::Connection) -> bool {
        run(connection, "ROLLBACK").await == Some(Status::Idle)
    }

    fn close(&self, connection: Self::Connection, reason: CloseReason) {
        self.watch.face.closing(connection.id, reason);
        connection.close();
    }
}

/// Closes a connection whose greeting failed or was abandoned.
struct CloseOnDrop<'a>(Option<&'a Arc<Connection>>);

impl CloseOnDrop<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.close();
        }
    }
}

/// Runs a statement of our own; the status after it, none if it failed.
async fn run(connection: &Connection, text: &str) -> Option<Status> {
    let (sender, receiver) = oneshot::channel();
    let reply = Box::new(StatusOnly(sender));
    connection.submit(Exchange { id: 0, statement: Statement::simple(text), reply });
    receiver.await.ok().flatten()
}

struct StatusOnly(oneshot::Sender<Option<Status>>);

impl Reply for StatusOnly {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn give_up(&mut self, _: Error) {}

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let status = match outcome {
            Outcome::Done(status) => Some(status),
            Outcome::Failed { .. } => None,
        };
        let _ = self.0.send(status);
    }
}
