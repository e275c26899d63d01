//! A connection pool for PostgreSQL behind the API of node-postgres.
//!
//! The folders are the path of a query, and each imports only folders that sort after it:
//!
//! - `binding`: JavaScript comes in here, and answers leave here
//! - [`dispatch`]: which tier, and the spine of one request
//! - [`failsafe`]: what becomes of an attempt that failed
//! - [`pool`]: who gets which connection, and when
//! - [`postgres`]: the wire
//! - [`vitals`]: what is measured, and what is told of it

#[cfg(feature = "node")]
mod binding;
pub mod dispatch;
pub mod failsafe;
pub mod pool;
pub mod postgres;
pub mod vitals;

#[cfg(test)]
mod folder_rule;
