#![no_main]
#![doc = "See `vestibule_fuzz::request_head`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_fuzz::request_head(data));
