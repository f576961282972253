#![no_main]
#![doc = "See `vestibule_fuzz::proxy_header`."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_fuzz::proxy_header(data));
