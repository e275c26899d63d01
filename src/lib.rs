//! A connection pool for PostgreSQL behind the API of node-postgres.
//!
//! The folders are the path of a query. Which may use which is a table in `architecture/layers.rs`:
//!
//! - `binding`: JavaScript comes in here, and answers leave here
//! - [`dispatch`]: which tier, and the spine of one request
//! - [`pool`]: who gets which connection, and when
//! - [`postgres`]: the wire
//! - [`resilience`]: what becomes of an attempt that failed
//! - [`telemetry`]: what is measured, and what is told of it

#[cfg(feature = "node")]
mod binding;
pub mod dispatch;
pub mod pool;
pub mod postgres;
pub mod resilience;
pub mod telemetry;

#[cfg(test)]
mod architecture;
