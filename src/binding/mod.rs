//! The only user of Node-API, and the only place with unsafe: convert, call, convert.
//!
//! JavaScript calls the methods of [`hub::Hub`] and [`pool::Pool`]; what happens later it finds in
//! the [`outbox`], as records whose layout `docs/design/boundary.md` tells. One [`runtime`] thread
//! does the I/O of the whole process.

mod desk;
mod errors;
mod escort;
mod hub;
mod outbox;
mod pool;
mod raw;
mod reply;
mod request;
mod runtime;
mod tunnel;
mod vitals;
