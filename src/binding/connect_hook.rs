//! Connections in whose making JavaScript has a say, because its clients have a `connect` of their own:
//! it is asked before the attempt, and told how the attempt ended.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    errors::{self, ApplicationError},
    layout::RecordKind,
    outbox::Outbox,
};
use crate::postgres::Error;

/// JavaScript tells the attempts of all pools apart by their numbers.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Why an attempt is not to go on; none: it goes on.
type Resolution = Option<ApplicationError>;

/// The intercepted attempts of one pool.
pub(super) struct ConnectHook {
    outbox: Arc<Outbox>,
    pool: u32,
    on: AtomicBool,
    asked: Mutex<HashMap<u32, oneshot::Sender<Resolution>>>,
}

impl ConnectHook {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        Arc::new(Self { outbox, pool, on: AtomicBool::new(false), asked: Mutex::default() })
    }

    pub(super) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Waits until JavaScript lets the attempt begin. None: it has no say.
    pub(super) async fn admit(&self) -> Result<Option<u32>, Error> {
        if !self.on.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let attempt = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut asking = Asking { hook: self, attempt, is_open: true };
        let resolution = self.ask(attempt);
        self.outbox.push(RecordKind::BeforeConnect, attempt, self.pool);
        let resolution = resolution.await;
        asking.is_open = false;
        match resolution {
            Ok(None) => Ok(Some(attempt)),
            Ok(Some(error)) => Err(error.into()),
            Err(_) => Err(Error::Ended),
        }
    }

    /// The attempt has failed. JavaScript may put an error of its own in place of this one.
    pub(super) async fn refused(&self, attempt: u32, error: Error) -> Error {
        let resolution = self.ask(attempt);
        self.tell(attempt, Some(&error));
        match resolution.await {
            Ok(Some(own)) if own.message.is_none() => own.in_place_of(&error),
            Ok(Some(own)) => own.into(),
            Ok(None) | Err(_) => error,
        }
    }

    /// The attempt was given up; nobody waits for an answer.
    pub(super) fn given_up(&self, attempt: u32) {
        self.asked.lock().remove(&attempt);
        self.tell(attempt, None);
    }

    pub(super) fn resolve(&self, attempt: u32, resolution: Resolution) {
        if let Some(asked) = self.asked.lock().remove(&attempt) {
            let _ = asked.send(resolution);
        }
    }

    fn ask(&self, attempt: u32) -> oneshot::Receiver<Resolution> {
        let (sender, resolution) = oneshot::channel();
        self.asked.lock().insert(attempt, sender);
        resolution
    }

    fn tell(&self, attempt: u32, error: Option<&Error>) {
        let told = json!({ "pool": self.pool, "error": error.map(errors::of_wire) });
        self.outbox.push_json(RecordKind::ConnectFailed, 0, attempt, &told);
    }
}

/// A question that is dropped before it is answered is given up.
struct Asking<'a> {
    hook: &'a ConnectHook,
    attempt: u32,
    is_open: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.hook.given_up(self.attempt);
        }
    }
}
