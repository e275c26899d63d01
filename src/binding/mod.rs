//! The only user of Node-API, and the only place with unsafe: convert, call, convert.
//!
//! JavaScript calls the methods of [`bridge::Bridge`] and [`pool::NativePool`]; what happens later it finds in
//! the [`outbox`], as records whose layout `docs/design/boundary.md` tells. One [`io_thread`] thread
//! does the I/O of the whole process.

mod answer;
mod bridge;
mod connect_hook;
mod connections;
mod errors;
mod io_thread;
mod layout;
mod node_socket;
mod outbox;
mod pool;
mod raw_channel;
mod request;
mod telemetry;
