#![no_main]
#![doc = "See `vestibule_fuzz::request_target`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_fuzz::request_target(data));
