//! The driver: the task behind a connection. It writes what submitting threads could not, reads, and has the
//! exchanges answered.
//!
//! It is one hand-written future, so that a message costs no more than its parsing. It ends with the
//! connection, and then settles every exchange that is left.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::time::Sleep;

use super::{
    Connection, Error, connection::End, messages::Inbox, responses::ResponseHandler, transport::Transport,
};

/// Reads and answers until the connection ends.
pub(super) async fn drive(connection: Arc<Connection>, transport: Transport, inbox: Inbox) {
    let mut driver = Driver { transport, inbox, handler: ResponseHandler::new(connection), timer: None };
    let end = poll_fn(|cx| driver.poll(cx)).await;
    let Driver { transport, mut handler, .. } = driver;
    if matches!(end, End::Closing) && handler.is_quiet() {
        transport.goodbye().await;
    } else {
        drop(transport);
    }
    let stop = handler.cancellation.of_left_running(&handler.connection);
    handler.end(end);
    if let Some(stop) = stop {
        stop.await;
    }
}

struct Driver {
    transport: Transport,
    inbox: Inbox,
    handler: ResponseHandler,
    /// The timer, and the deadline it is armed for.
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.serve_requests(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(End::Closing),
                Err(error) => return Poll::Ready(End::Closed(error)),
            }
            if let Err(error) = self.poll_timer(cx) {
                return Poll::Ready(End::Closed(error));
            }
            if let Err(error) = self.handler.poll_cancellation(cx) {
                return Poll::Ready(End::Closed(error));
            }
            if let Some(current) = &mut self.handler.current {
                ready!(current.exchange.reply.poll_ready(cx));
            } else if let Some(raw_reader) = self.handler.raw_reader() {
                ready!(raw_reader.poll_ready(cx));
            } else {
                ready!(self.handler.connection.listener.poll_ready(cx));
            }
            match ready!(self.transport.poll_read(cx, self.inbox.space())) {
                Ok(0) => return Poll::Ready(End::Closed(Error::Lost)),
                // A TLS stream that ends without close_notify has ended all the same.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(End::Closed(Error::Lost));
                }
                Err(error) => return Poll::Ready(End::Closed(Error::broken(&error, "read"))),
                Ok(read) => {
                    self.handler.connection.count_received(read);
                    self.inbox.filled(read);
                }
            }
            if let Err(error) = self.handler.messages(&mut self.inbox) {
                return Poll::Ready(End::Closed(error));
            }
        }
    }

    /// Carries out the requests of other threads. False: the connection is to be closed.
    fn serve_requests(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        let connection = &self.handler.connection;
        let mut state = connection.state.lock();
        if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.driver = Some(cx.waker().clone());
        }
        match &state.end {
            End::Open => {}
            End::Closing => return Ok(false),
            End::Closed(error) => return Err(error.clone()),
        }
        if let Poll::Ready(Err(error)) = self.transport.poll_write_all(cx, &mut state.outbox) {
            return Err(Error::broken(&error, "write"));
        }
        let drained = state.outbox.is_empty().then(|| state.take_waiting_reader_locked()).flatten();
        let given_up = state.given_up.take();
        if self.handler.current.is_none() {
            self.handler.current = state.take_sent_locked();
        }
        drop(state);
        if let Some(raw_reader) = drained {
            raw_reader.drained();
        }
        if let Some((id, error)) = given_up {
            self.handler.give_up(id, error);
        }
        Ok(true)
    }

    /// Gives up an exchange that is late, and the connection where the server does not settle the cancel
    /// either.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while let Some(deadline) = self.handler.deadline() {
            if self.timer.as_ref().is_none_or(|(armed, _)| *armed != deadline) {
                self.timer = Some((deadline, Box::pin(tokio::time::sleep_until(deadline.into()))));
            }
            let Some((_, timer)) = &mut self.timer else { break };
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            if self.handler.cancellation.deadline().is_some() {
                return Err(Error::Lost);
            }
            if let Some(current) = &self.handler.current {
                let id = current.exchange.id;
                self.handler.give_up(id, Error::QueryTimeout);
            }
        }
        Ok(())
    }
}
