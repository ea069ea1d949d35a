//! `TraceParent::parse`. Oracle: parse → print → parse is stable, and a version 00 header prints as it came.
#![no_main]

use compliance_core::id::TraceParent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    if let Ok(parent) = TraceParent::parse(header) {
        let printed = parent.to_string();
        assert_eq!(TraceParent::parse(&printed), Ok(parent));
        if header.starts_with("00") {
            assert_eq!(printed, header);
        }
    }
});
