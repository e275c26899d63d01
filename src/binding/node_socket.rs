//! Sockets of Node's, over which the core speaks to a server: those that the application makes, and TLS with
//! options that only Node serves.

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

use super::{layout::RecordKind, outbox::Outbox};
use crate::postgres::{Dialer, Error, ExternalHandle, ExternalSocket, ExternalStream, Host};

/// Numbers of sockets, for all pools of the process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Sockets of one pool.
pub(super) struct NodeSockets {
    outbox: Arc<Outbox>,
    pool: u32,
    open: Mutex<HashMap<u32, Open>>,
}

/// A socket is connected, with the certificate of the server if it is encrypted; or it failed.
type Dialed = Result<Option<Vec<u8>>, Error>;

struct Open {
    handle: Arc<ExternalHandle>,
    dialed: Option<oneshot::Sender<Dialed>>,
}

impl NodeSockets {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        Arc::new(Self { outbox, pool, open: Mutex::default() })
    }

    /// Answers DIAL.
    pub(super) fn dialed(&self, id: u32, outcome: Dialed) {
        let dialed = self.open.lock().get_mut(&id).and_then(|open| open.dialed.take());
        if let Some(dialed) = dialed {
            let _ = dialed.send(outcome);
        }
    }

    pub(super) fn handle(&self, id: u32) -> Option<Arc<ExternalHandle>> {
        self.open.lock().get(&id).map(|open| Arc::clone(&open.handle))
    }
}

/// Asks JavaScript for sockets.
pub(super) struct NodeDialer(pub(super) Arc<NodeSockets>);

impl Dialer for NodeDialer {
    fn dial(&self, host: &Host) -> Pin<Box<dyn Future<Output = Result<ExternalStream, Error>> + Send>> {
        let sockets = &self.0;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let outbox = Arc::clone(&sockets.outbox);
        let socket = NodeSocket { id, outbox, sockets: Arc::downgrade(sockets) };
        let (handle, stream) = ExternalHandle::new(Box::new(socket));
        let (sender, dialed) = oneshot::channel();
        sockets.open.lock().insert(id, Open { handle, dialed: Some(sender) });
        let place = json!({ "pool": sockets.pool, "host": host.name, "port": host.port });
        sockets.outbox.push_json(RecordKind::Dial, 0, id, &place);
        Box::pin(async move {
            // Dropping the future drops the stream, which closes the socket.
            let certificate = dialed.await.unwrap_or(Err(Error::Ended))?;
            Ok(match certificate {
                None => stream,
                Some(certificate) => stream.encrypted(certificate),
            })
        })
    }
}

struct NodeSocket {
    id: u32,
    outbox: Arc<Outbox>,
    sockets: Weak<NodeSockets>,
}

impl ExternalSocket for NodeSocket {
    fn write(&self, bytes: &[u8]) {
        self.outbox.push_bytes(RecordKind::SocketWrite, self.id, bytes);
    }

    fn resume(&self) {
        self.outbox.push(RecordKind::SocketResume, self.id, 0);
    }

    fn close(&self) {
        if let Some(sockets) = self.sockets.upgrade() {
            sockets.open.lock().remove(&self.id);
        }
        self.outbox.push(RecordKind::SocketClose, self.id, 0);
    }
}
