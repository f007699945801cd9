#![no_main]
//! See `highwater_fuzz::TARGETS`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::run("receipts", data));
