//! The I/O thread: one per process, started at first use, never stopped.
//!
//! Hubs that got records while it worked are woken when it has nothing more to do, so that what
//! arrived together reaches JavaScript in one call.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::{Arc, OnceLock},
    thread,
};

use tokio::runtime::{Builder, Handle};

use super::outbox::Outbox;

static RUNTIME: OnceLock<Handle> = OnceLock::new();

thread_local! {
    static IS_IO_THREAD: Cell<bool> = const { Cell::new(false) };
    static TO_WAKE: RefCell<Vec<Arc<Outbox>>> = const { RefCell::new(Vec::new()) };
}

/// The runtime, started if need be.
pub(super) fn handle() -> io::Result<Handle> {
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().on_thread_park(wake_all).build()?;
    let handle = runtime.handle().clone();
    // Two JavaScript threads may come here at once: the second runtime is dropped unused.
    let handle = RUNTIME.get_or_init(|| {
        let spawned = thread::Builder::new().name("pgpool-rs".into()).spawn(move || {
            IS_IO_THREAD.set(true);
            runtime.block_on(std::future::pending::<()>());
        });
        drop(spawned);
        handle
    });
    Ok(handle.clone())
}

/// Wakes the outbox's JavaScript thread: soon if this is the I/O thread, else now.
pub(super) fn wake(outbox: &Arc<Outbox>) {
    if IS_IO_THREAD.get() {
        TO_WAKE.with_borrow_mut(|waiting| waiting.push(Arc::clone(outbox)));
    } else {
        outbox.call();
    }
}

fn wake_all() {
    for outbox in TO_WAKE.take() {
        outbox.call();
    }
}
