//! The pool against a gate: a connector of integers whose connects succeed, fail, hang or panic on
//! command. Time is tokio's and paused.

mod ageing;
mod deadlines;
mod drain;
mod gate;
mod harness;
mod health;
mod lease_limit;
mod machine;
mod order;
mod panics;
mod shared_quota;
mod stress;
mod supply;
