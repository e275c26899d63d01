//! A tier on a paused clock, against a server that the test scripts.

mod outage;
mod scripted_server;
