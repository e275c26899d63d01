//! Bytes as a server might send them, through the framing and every parser of a message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgpool_rs::postgres::fuzzing::backend_messages(data));
