//! Streams that JavaScript opens and carries for the core: sockets of the application's own making,
//! and TLS with options that only Node can serve.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::outbox::{Kind, Outbox};
use crate::postgres::{Carrier, Dialer, Error, Host, Stream, Tunnel};

/// JavaScript knows all tunnels of its thread by their numbers.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The tunnels of one pool.
pub(super) struct Exchange {
    outbox: Arc<Outbox>,
    pool: u32,
    open: Mutex<HashMap<u32, Open>>,
}

struct Open {
    tunnel: Arc<Tunnel>,
    dialed: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Exchange {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        Arc::new(Self { outbox, pool, open: Mutex::default() })
    }

    /// The stream is there, or will not come.
    pub(super) fn dialed(&self, id: u32, outcome: Result<(), Error>) {
        let dialed = self.open.lock().get_mut(&id).and_then(|open| open.dialed.take());
        if let Some(dialed) = dialed {
            let _ = dialed.send(outcome);
        }
    }

    pub(super) fn tunnel(&self, id: u32) -> Option<Arc<Tunnel>> {
        self.open.lock().get(&id).map(|open| Arc::clone(&open.tunnel))
    }
}

/// Asks JavaScript for a stream.
pub(super) struct Phone(pub(super) Arc<Exchange>);

impl Dialer for Phone {
    fn dial(&self, host: &Host) -> Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>> {
        let exchange = &self.0;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let outbox = Arc::clone(&exchange.outbox);
        let line = Line { id, outbox, exchange: Arc::downgrade(exchange) };
        let (tunnel, stream) = Tunnel::new(Box::new(line));
        let (sender, dialed) = oneshot::channel();
        exchange.open.lock().insert(id, Open { tunnel, dialed: Some(sender) });
        let told = json!({ "pool": exchange.pool, "host": host.name, "port": host.port });
        exchange.outbox.push_json(Kind::Dial, 0, id, &told);
        Box::pin(async move {
            // The stream goes with the future: one that is given up hangs up.
            dialed.await.unwrap_or(Err(Error::Ended)).map(|()| stream)
        })
    }
}

struct Line {
    id: u32,
    outbox: Arc<Outbox>,
    exchange: Weak<Exchange>,
}

impl Carrier for Line {
    fn carry(&self, bytes: &[u8]) {
        self.outbox.push_bytes(Kind::Carry, self.id, bytes);
    }

    fn resume(&self) {
        self.outbox.push(Kind::Resume, self.id, 0);
    }

    fn hang_up(&self) {
        if let Some(exchange) = self.exchange.upgrade() {
            exchange.open.lock().remove(&self.id);
        }
        self.outbox.push(Kind::HangUp, self.id, 0);
    }
}
