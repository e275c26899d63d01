//! The binding to Node-API: the only code that knows it, and the only code with `unsafe`.
//!
//! JavaScript calls the methods of [`bridge::Bridge`] and [`pool::NativePool`]. What happens later it takes from
//! the [`outbox`], as records whose [`layout`] is described in `docs/design/boundary.md`. One [`io_thread`] does
//! the I/O of the whole process.

mod answer;
mod bridge;
mod connect_hook;
mod connections;
mod errors;
mod io_thread;
mod layout;
mod lookups;
mod node_socket;
mod outbox;
mod pool;
mod raw_channel;
mod request;
mod telemetry;
