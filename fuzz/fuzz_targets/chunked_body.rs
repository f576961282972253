#![no_main]
#![doc = "See `vestibule_fuzz::chunked_body`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_fuzz::chunked_body(data));
