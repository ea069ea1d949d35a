//! `Event::decode`. Oracle: what decodes encodes to the same bytes, so that no two forms share an event.
#![no_main]

use compliance_core::event::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = Event::decode(bytes) {
        let mut again = Vec::new();
        event.encode(&mut again);
        assert_eq!(again, bytes);
    }
});
