//! Intercepted attempts to connect: JavaScript decides on them, because its clients have a `connect` of their own.
//! It is asked before the attempt, and again where the attempt fails.

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

/// Numbers of attempts, for all pools of the process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Answer of JavaScript; with an error the attempt fails.
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

    /// Waits until JavaScript lets the attempt begin; its number, if it is intercepted.
    pub(super) async fn before_connect(&self) -> Result<Option<u32>, Error> {
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

    /// Asks JavaScript for the error of an attempt that has failed.
    pub(super) async fn connect_failed(&self, attempt: u32, error: Error) -> Error {
        let resolution = self.ask(attempt);
        self.tell(attempt, Some(&error));
        match resolution.await {
            Ok(Some(own)) if own.message.is_none() => own.in_place_of(&error),
            Ok(Some(own)) => own.into(),
            Ok(None) | Err(_) => error,
        }
    }

    /// Tells JavaScript that an attempt was given up; no answer is expected.
    pub(super) fn connect_given_up(&self, attempt: u32) {
        self.asked.lock().remove(&attempt);
        self.tell(attempt, None);
    }

    /// Answers the question about an attempt.
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

/// A question about an attempt: dropped before it is answered, the attempt is given up.
struct Asking<'a> {
    hook: &'a ConnectHook,
    attempt: u32,
    is_open: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.hook.connect_given_up(self.attempt);
        }
    }
}
