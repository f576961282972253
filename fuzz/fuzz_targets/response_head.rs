#![no_main]
#![doc = "See `vestibule_fuzz::response_head`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_fuzz::response_head(data));
