//! What it does is in `cowl_host::fuzzing::stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cowl_host::fuzzing::stream(bytes));
