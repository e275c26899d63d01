//! The I/O thread: one per process, started at first use, never stopped. It keeps callbacks for the moment in
//! which it has nothing more to do, so that what arrived together reaches JavaScript in one call.

use std::{
    cell::{Cell, RefCell},
    io,
    sync::{Arc, OnceLock},
    thread,
};

use tokio::runtime::{Builder, Handle};

static RUNTIME: OnceLock<Handle> = OnceLock::new();

thread_local! {
    static IS_IO_THREAD: Cell<bool> = const { Cell::new(false) };
    static CALLBACKS: RefCell<Vec<Arc<dyn OnIdle>>> = const { RefCell::new(Vec::new()) };
}

/// A callback of the I/O thread.
pub(super) trait OnIdle: Send + Sync {
    /// The thread has nothing more to do.
    fn on_idle(&self);
}

/// The runtime, which is started at its first use.
pub(super) fn handle() -> io::Result<Handle> {
    if let Some(handle) = RUNTIME.get() {
        return Ok(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_all().on_thread_park(call_back).build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name("pgpool-rs".into()).spawn(move || {
        IS_IO_THREAD.set(true);
        runtime.block_on(std::future::pending::<()>());
    })?;
    // Where two JavaScript threads come here at once, one of the two I/O threads stays unused.
    Ok(RUNTIME.get_or_init(|| handle).clone())
}

/// Whether this is the I/O thread.
pub(super) fn is_io_thread() -> bool {
    IS_IO_THREAD.get()
}

/// Calls back once, when this thread, the I/O thread, has nothing more to do.
pub(super) fn call_when_idle(callback: Arc<dyn OnIdle>) {
    CALLBACKS.with_borrow_mut(|callbacks| callbacks.push(callback));
}

fn call_back() {
    for callback in CALLBACKS.take() {
        callback.on_idle();
    }
}
