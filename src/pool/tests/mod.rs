//! The pool against a gate: a connector of integers whose connects succeed, fail, hang or panic on
//! command. Time is tokio's and paused.

mod ageing;
mod budget;
mod deadlines;
mod desk;
mod ending;
mod gate;
mod health;
mod machine;
mod order;
mod panics;
mod stress;
mod supply;
