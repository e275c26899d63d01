//! The cancelling of an exchange whose caller has given up: one cancel request after the other, each on a
//! socket of its own, until the server has settled the exchange.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use super::{Connection, cancel::cancel};

/// The time that the server may take to settle an exchange that was given up, round trips left out. Then the
/// connection is closed, so that its slot in the pool is free.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most that round trips add to that.
const LONGEST_TRIP: Duration = Duration::from_secs(2);
/// The pause before the second cancel request: the first one may overtake the statement, and then hits
/// nothing. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The cancel requests for one exchange, if it was given up.
#[derive(Default)]
pub(super) struct Cancellation {
    /// The request that is under way, and whether the server settles it.
    request: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// The pause until the next request.
    pause: Option<Pin<Box<Sleep>>>,
    next_pause: Duration,
    deadline: Option<Instant>,
    /// Whether the exchange cannot be cancelled, because others wait behind it.
    is_left_running: bool,
}

impl Cancellation {
    /// Bounds the time that the server may take to settle the exchange. A server that has sent no key cannot
    /// be asked to cancel it: then there is nothing to wait for.
    pub(super) fn limit(&mut self, connection: &Connection) {
        let opened_in = connection.opened_in.min(LONGEST_TRIP);
        let patience = if connection.cancel_key.is_some() { PATIENCE + opened_in } else { Duration::ZERO };
        self.deadline = Some(Instant::now() + patience);
    }

    /// Sends the first request, if the server has given a key.
    pub(super) fn begin(&mut self, connection: &Connection) {
        self.next_pause = FIRST_PAUSE;
        self.send(connection);
    }

    /// Leaves the exchange running: others wait behind it, and a request might hit them.
    pub(super) fn leave_running(&mut self) {
        self.is_left_running = true;
    }

    /// A request for an exchange that was left running, to be sent when its connection is closed and nothing
    /// else can be hit.
    pub(super) fn of_left_running(
        &self,
        connection: &Connection,
    ) -> Option<impl Future<Output = bool> + Send + use<>> {
        if self.is_left_running { request(connection) } else { None }
    }

    fn send(&mut self, connection: &Connection) {
        if let Some(request) = request(connection) {
            self.request = Some(Box::pin(request));
        }
    }

    /// Sends another request, after a pause.
    pub(super) fn repeat(&mut self) {
        self.pause = Some(Box::pin(sleep(self.next_pause)));
        self.next_pause *= 2;
    }

    /// Sends no further request: the exchange is settled.
    pub(super) fn end(&mut self) {
        self.deadline = None;
        self.pause = None;
        self.is_left_running = false;
    }

    /// Whether a request is under way.
    pub(super) fn is_requested(&self) -> bool {
        self.request.is_some()
    }

    /// When the server has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ready when a request has ended: whether the server has settled it.
    pub(super) fn poll(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Some(request) = &mut self.request {
                let settled = ready!(request.as_mut().poll(cx));
                self.request = None;
                return Poll::Ready(settled);
            }
            let Some(pause) = &mut self.pause else { return Poll::Pending };
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
            self.send(connection);
        }
    }
}

/// A request; none: the server has given no key.
fn request(connection: &Connection) -> Option<impl Future<Output = bool> + Send + use<>> {
    let key = connection.cancel_key.clone()?;
    Some(cancel(connection.route.clone(), key))
}
