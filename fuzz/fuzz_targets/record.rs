//! `Record::decode`. Oracle: every byte but the commit's start is in the record, so encoding it again gives the
//! same bytes.
#![no_main]

use compliance_log::audit::Record;
use compliance_log::audit::record::RECORD_VERSION;
use compliance_log::audit::tree::TreeHash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = Record::decode(bytes) else { return };
    let mut again = vec![RECORD_VERSION];
    again.extend_from_slice(&bytes[1..5]);
    again.extend_from_slice(&record.sequence().to_be_bytes());
    again.extend_from_slice(&record.recorded_at().as_unix_nanos().to_be_bytes());
    record.event().encode(&mut again);
    assert_eq!(again, bytes);
    assert_eq!(*record.digest(), TreeHash::leaf(bytes));
});
