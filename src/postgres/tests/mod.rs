//! The wire against a peer that follows a script, and its parsers against random bytes.

mod answers;
mod inbox;
mod login;
mod mutations;
mod peer;
