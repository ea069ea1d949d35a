//! A durable append into SQLite with group commit: what somebody with 64 callers writes who does not want a commit
//! per row.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use rusqlite::Connection;

use crate::measure::Failure;

/// Rows in one transaction at most.
const MAX_BATCH: usize = 1024;

/// A table behind one writing thread.
pub(super) struct SqliteWriter {
    queue: Sender<Row>,
}

/// The bytes, and whom to tell.
type Row = (Vec<u8>, SyncSender<bool>);

impl SqliteWriter {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection
            .execute_batch("CREATE TABLE record (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")?;
        let (queue, rows) = channel();
        thread::spawn(move || {
            while let Some(batch) = next_batch(&rows) {
                let done = insert(&mut connection, &batch).is_ok();
                for (_, caller) in batch {
                    // A caller that has gone does not want to know.
                    let _ = caller.send(done);
                }
            }
        });
        Ok(Self { queue })
    }

    /// Returns when the row is durable, and whether it is.
    pub(super) fn append(&self, bytes: Vec<u8>) -> bool {
        let (caller, answer) = sync_channel(1);
        self.queue.send((bytes, caller)).is_ok() && answer.recv().unwrap_or(false)
    }
}

/// Waits for a row, then takes whatever else is there.
fn next_batch(rows: &Receiver<Row>) -> Option<Vec<Row>> {
    let mut batch = vec![rows.recv().ok()?];
    batch.extend(rows.try_iter().take(MAX_BATCH - 1));
    Some(batch)
}

fn insert(connection: &mut Connection, batch: &[Row]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare_cached("INSERT INTO record (bytes) VALUES (?1)")?;
    for (bytes, _) in batch {
        insert.execute([bytes])?;
    }
    drop(insert);
    transaction.commit()
}
