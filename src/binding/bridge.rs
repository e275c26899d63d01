//! [`Bridge`]: the outbox of one JavaScript thread, as that thread takes from it.

use std::sync::Arc;

use napi::{Env, Result, bindgen_prelude::*, sys};
use napi_derive::napi;

use super::{
    layout,
    outbox::{Outbox, Wake},
};

/// The bridge of a JavaScript thread.
#[napi]
pub struct Bridge {
    pub(super) outbox: Arc<Outbox>,
    /// None before `attach`.
    wake: Option<sys::napi_threadsafe_function>,
}

/// Ends the outbox: JavaScript has dropped the bridge, or its thread has ended.
impl Drop for Bridge {
    fn drop(&mut self) {
        self.outbox.end();
    }
}

#[napi]
impl Bridge {
    /// Opens the bridge.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::new_without_default, reason = "JavaScript makes it")]
    pub fn new() -> Self {
        Self { outbox: Outbox::new(), wake: None }
    }

    /// Has `wake` called once per batch of records from now on; those that are there already wake nobody.
    #[napi(catch_unwind)]
    pub fn attach(&mut self, wake: Function<'_, (), ()>) -> Result<()> {
        let wake: Wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .build_callback(|_| Ok(()))?;
        self.wake = Some(wake.raw());
        self.outbox.attach(wake);
        Ok(())
    }

    /// Copies whole records into `into` and returns their bytes; 0: none; negative: the first needs so many.
    #[napi(catch_unwind)]
    pub fn take(&self, mut into: BufferSlice<'_>) -> i64 {
        self.outbox.take(&mut into)
    }

    /// The version that this was built as: JavaScript loads none but its own.
    #[napi(catch_unwind)]
    pub fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Leaves out the first record, for which `take` wants more room than there is; `into` gets its header.
    #[napi(catch_unwind)]
    pub fn skip(&self, mut into: BufferSlice<'_>) {
        self.outbox.skip(&mut into);
    }

    /// The numbers of the boundary, as JSON: for the test that compares them with JavaScript's.
    #[napi(catch_unwind)]
    pub fn layout() -> String {
        layout::to_json().to_string()
    }

    /// Keeps the process alive until `unref`.
    #[napi(js_name = "ref", catch_unwind)]
    #[allow(unsafe_code, reason = "Node-API")]
    pub fn reference(&self, env: Env) {
        let Some(wake) = self.wake else { return };
        // SAFETY: the function lives as long as the outbox, which `self` holds, and this is its thread.
        unsafe { sys::napi_ref_threadsafe_function(env.raw(), wake) };
    }

    /// Keeps the process alive no longer.
    #[napi(catch_unwind)]
    #[allow(unsafe_code, reason = "Node-API")]
    pub fn unref(&self, env: Env) {
        let Some(wake) = self.wake else { return };
        // SAFETY: as in `reference`.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), wake) };
    }
}
