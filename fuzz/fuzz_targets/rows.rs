//! Data rows of any columns, through the packer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgpool_rs::postgres::fuzzing::rows(data));
