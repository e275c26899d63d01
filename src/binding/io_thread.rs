//! The I/O thread: one per process, started at first use, never stopped.
//!
//! Bridges that got records while it worked are woken when it has nothing more to do, so that what
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
    thread::Builder::new().name("pgpool-rs".into()).spawn(move || {
        IS_IO_THREAD.set(true);
        runtime.block_on(std::future::pending::<()>());
    })?;
    // Two JavaScript threads may come here at once: the second one's I/O thread stays unused.
    Ok(RUNTIME.get_or_init(|| handle).clone())
}

/// Whether this is the I/O thread.
pub(super) fn is_io_thread() -> bool {
    IS_IO_THREAD.get()
}

/// Has the outbox make its planned call when this thread, the I/O thread, has nothing more to do.
pub(super) fn call_when_idle(outbox: &Arc<Outbox>) {
    TO_WAKE.with_borrow_mut(|waiting| waiting.push(Arc::clone(outbox)));
}

fn wake_all() {
    for outbox in TO_WAKE.take() {
        outbox.call_as_planned();
    }
}
