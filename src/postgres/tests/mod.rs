//! The wire against a peer that follows a script, and its parsers against bytes of chance.

mod answers;
mod login;
mod mutations;
mod peer;
