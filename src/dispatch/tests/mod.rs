//! A tier on a paused clock, against a server that the test scripts.

mod frozen;
mod outage;
mod scripted_server;
