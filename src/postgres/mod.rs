//! The wire: one connection to one server, from the first packet to the last.
//!
//! In the order a connection meets them: [`config`] says where to go, [`connect`] opens a
//! [`socket`], wraps it in [`tls`], proves who we are in [`auth`], of which [`login_events`] tells. From then on a [`driver`] task
//! reads, [`responses`] says what that means, and a [`Connection`] takes [`exchange`]s, which it turns into messages with the help of
//! [`statements`] and whose rows [`codec`] packs, page by page in [`portal`], or whose bytes pass
//! through unread in [`raw_mode`] mode. [`cancel`] interrupts from a second socket.
//!
//! Bytes of the server are never trusted: every length is checked before it is used, and what is
//! not understood closes the connection with an error that says so.

mod auth;
mod cancel;
mod cancellation;
mod codec;
mod config;
mod connect;
mod connection;
mod driver;
mod encode;
mod error;
mod exchange;
mod external_stream;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod host;
mod in_flight;
mod login_events;
mod messages;
mod portal;
mod raw_mode;
mod responses;
mod route;
mod server_role;
mod settle;
mod shared_sessions;
mod socket;
pub mod sql_text;
mod sqlstate;
mod startup;
mod statements;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod transaction_watch;
mod transport;
mod validate;

pub use codec::{Column, Rows, Shape, SlotKind, slot};
pub use config::{AskPassword, Config, KeepAlive, Password, TlsSettings, VerifyServer};
pub use connect::connect;
pub use connection::{Connection, Event, Listener};
pub use error::{BreakerOpen, DatabaseError, Error, SystemError};
pub use exchange::{Exchange, Outcome, QueryMode, RawReader, Reply, Statement};
pub use external_stream::{Dialer, ExternalHandle, ExternalSocket, ExternalStream};
pub use host::Host;
pub use login_events::{LoginListener, LoginStep};
pub use server_role::Role;
pub use sqlstate::{Action, SqlState};
pub use status::Status;
