//! What it does is in `cowl_host::fuzzing::power_cuts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cowl_host::fuzzing::power_cuts(bytes));
