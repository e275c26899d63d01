//! The cancelling of an exchange whose caller has given up: one cancel request after the other, each on a socket of its
//! own, until the server has settled the exchange.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep};

use super::{Connection, cancel::cancel};

/// How long the server may take to settle an exchange that was given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A cancel request may overtake the statement, and then hits nothing: another one follows after this time, and each
/// further one after twice the time before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The cancel requests for one exchange; without one it is at rest.
#[derive(Default)]
pub(super) struct Cancellation {
    /// The request that is under way, and whether the server settles it.
    request: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// The pause until the next request.
    pause: Option<Pin<Box<Sleep>>>,
    next_pause: Duration,
    deadline: Option<Instant>,
}

impl Cancellation {
    /// Sends the first request. `is_bounded`: the server has [`PATIENCE`] to settle the exchange.
    pub(super) fn begin(&mut self, connection: &Connection, is_bounded: bool) {
        self.deadline = is_bounded.then(|| Instant::now() + PATIENCE);
        self.next_pause = FIRST_PAUSE;
        self.send(connection);
    }

    fn send(&mut self, connection: &Connection) {
        let Connection { route, process_id, secret_key, .. } = connection;
        self.request = Some(Box::pin(cancel(route.clone(), *process_id, *secret_key)));
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
