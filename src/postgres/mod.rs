//! The wire: one connection to one server, from the first packet to the last.
//!
//! In the order in which a connection meets them: [`config`] says where to connect, [`connect`] opens a
//! [`socket`], wraps it in [`tls`] and logs in with [`startup`] and [`auth`], reporting [`login_events`].
//! From then on a [`Connection`] takes [`exchange`]s and encodes them as messages, with the help of
//! [`statements`]. A [`driver`] task reads the answers, [`responses`] understands them, [`codec`] packs their
//! rows, and [`settle`] ends each exchange. Results may be fetched in pages ([`portal`]); in [`raw_mode`]
//! messages pass through unread. [`cancellation`] interrupts by a second socket.
//!
//! Bytes of the server are never trusted: every length is checked before it is used, and a message that is
//! not understood closes the connection with an error that says so.

mod action;
mod auth;
mod cancel;
mod cancellation;
mod channel_binding;
mod codec;
mod config;
mod connect;
mod connection;
mod driver;
mod encode;
mod errno;
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
mod require_auth;
mod responses;
mod route;
mod salted_passwords;
mod sanitize;
mod scram;
mod server_role;
mod settle;
mod shared_sessions;
mod socket;
pub mod sql_text;
mod sql_tokens;
mod sqlstate;
mod stale;
mod startup;
mod statements;
mod status;
mod survival;
#[cfg(test)]
mod tests;
mod texts;
mod tls;
mod transaction_watch;
mod transport;
mod validate;
mod verifier;

pub use action::Action;
pub use codec::{Rows, Shape, SlotKind, slot};
pub use config::{AskPassword, Config, KeepAlive, Password, Resolver, TlsSettings, VerifyServer};
pub use connect::connect;
pub use connection::{Connection, Event, Listener};
pub use error::{BreakerOpen, DatabaseError, Error, SystemError};
pub use exchange::{Exchange, Outcome, QueryMode, RawReader, Reply, Statement};
pub use external_stream::{Dialer, ExternalHandle, ExternalSocket, ExternalStream};
pub use host::Host;
pub use login_events::{LoginListener, LoginStep};
pub use require_auth::RequireAuth;
pub use salted_passwords::SaltedPasswords;
pub use sanitize::sanitized;
pub use server_role::Role;
pub use sqlstate::SqlState;
pub use status::Status;
