//! Lookups of host names by JavaScript, where the application has put a function of its own in the place of `dns.lookup`.

use std::{
    collections::HashMap,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::{layout::RecordKind, outbox::Outbox};
use crate::postgres::{Error, Resolver};

/// Addresses, or the error of the application.
type Found = Result<Vec<IpAddr>, Error>;

/// The lookups of one pool that JavaScript has yet to answer.
pub(super) struct Lookups {
    outbox: Arc<Outbox>,
    pool: u32,
    next: AtomicU32,
    asked: Mutex<HashMap<u32, oneshot::Sender<Found>>>,
}

impl Lookups {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        Arc::new(Self { outbox, pool, next: AtomicU32::new(1), asked: Mutex::default() })
    }

    /// Answers LOOKUP.
    pub(super) fn answer(&self, id: u32, found: Found) {
        if let Some(asked) = self.asked.lock().remove(&id) {
            let _ = asked.send(found);
        }
    }
}

/// Asks JavaScript for addresses.
pub(super) struct NodeResolver(pub(super) Arc<Lookups>);

impl Resolver for NodeResolver {
    fn resolve(&self, name: &str) -> Pin<Box<dyn Future<Output = Found> + Send>> {
        let lookups = Arc::clone(&self.0);
        let id = lookups.next.fetch_add(1, Ordering::Relaxed);
        let (sender, found) = oneshot::channel();
        lookups.asked.lock().insert(id, sender);
        let question = json!({ "pool": lookups.pool, "host": name });
        lookups.outbox.push_json(RecordKind::Lookup, 0, id, &question);
        let unanswered = Unanswered { lookups, id };
        Box::pin(async move {
            let found = found.await.unwrap_or(Err(Error::Ended));
            drop(unanswered);
            found
        })
    }
}

/// A lookup that is dropped before it is answered is forgotten.
struct Unanswered {
    lookups: Arc<Lookups>,
    id: u32,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.lookups.asked.lock().remove(&self.id);
    }
}
