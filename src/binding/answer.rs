//! Answers to requests of JavaScript, as records of the outbox.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use super::{connections::Connections, errors, layout::RecordKind};
use crate::{
    dispatch::{Answer, Borrower, Failure, Lease},
    postgres::{Rows, Shape, Status},
};

/// Answer to one request.
pub(super) struct RequestAnswer {
    connections: Arc<Connections>,
    request: u32,
    /// Whether the connections know how to withdraw the request.
    is_withdrawable: bool,
}

impl RequestAnswer {
    pub(super) fn new(connections: Arc<Connections>, request: u32, is_withdrawable: bool) -> Self {
        Self { connections, request, is_withdrawable }
    }

    /// Forgets how to withdraw the request, which has its end now.
    fn end(&self) {
        if self.is_withdrawable {
            self.connections.forget_withdrawal(self.request);
        }
    }
}

impl Answer for RequestAnswer {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        self.connections.outbox.push_rows(self.request, shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.connections.outbox.push_bytes(RecordKind::Command, self.request, tag);
    }

    fn suspended(&mut self) {
        self.connections.outbox.push(RecordKind::Suspended, self.request, 0);
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connections.outbox.poll_ready(cx)
    }

    fn done(&mut self, status: Status) {
        self.end();
        self.connections.outbox.push(RecordKind::Done, self.request, status.letter().into());
    }

    fn restart(&mut self) {
        self.connections.outbox.push(RecordKind::Restart, self.request, 0);
    }

    fn failed(&mut self, failure: Failure, status: Option<Status>) {
        self.end();
        let value = errors::of_failure(&failure, self.connections.tier());
        let letter = status.map_or(0, Status::letter);
        self.connections.outbox.push_json(RecordKind::Fail, letter.into(), self.request, &value);
    }
}

/// Whether the lease of a checkout is there before the call that asked for it returns.
#[derive(Clone)]
pub(super) struct AtOnce(Arc<AtomicU32>);

impl AtOnce {
    /// The call is under way; no connection has this number.
    const ASKED: u32 = 0;
    /// The call has returned, or did not ask.
    const OVER: u32 = u32::MAX;

    pub(super) fn new(is_asked: bool) -> Self {
        Self(Arc::new(AtomicU32::new(if is_asked { Self::ASKED } else { Self::OVER })))
    }

    /// Whether the call returns this connection.
    pub(super) fn take(&self, connection: u32) -> bool {
        self.0.compare_exchange(Self::ASKED, connection, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The end of the call: the connection that came during it.
    pub(super) fn finish(&self) -> Option<u32> {
        match self.0.swap(Self::OVER, Ordering::AcqRel) {
            Self::ASKED | Self::OVER => None,
            connection => Some(connection),
        }
    }
}

/// Answer to a checkout.
pub(super) struct CheckoutAnswer {
    request: RequestAnswer,
    at_once: AtOnce,
}

impl CheckoutAnswer {
    pub(super) fn new(request: RequestAnswer, at_once: AtOnce) -> Self {
        Self { request, at_once }
    }
}

impl Borrower for CheckoutAnswer {
    fn leased(self, lease: Lease) {
        self.request.end();
        self.request.connections.lease(self.request.request, lease, &self.at_once);
    }

    fn refused(mut self, failure: Failure) {
        self.request.failed(failure, None);
    }
}

/// Keeps a released lease until the connection has answered everything.
pub(super) struct ReleaseAfter(Option<Lease>);

impl ReleaseAfter {
    pub(super) fn new(lease: Lease) -> Self {
        Self(Some(lease))
    }
}

impl Answer for ReleaseAfter {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    fn done(&mut self, _: Status) {
        self.0 = None;
    }
    fn failed(&mut self, _: Failure, _: Option<Status>) {
        self.0 = None;
    }
}
