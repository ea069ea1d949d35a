//! What lies in the index's file, and the statements over it.

use std::path::Path;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event};
use compliance_core::id::{CorrelationId, TenantId};
use compliance_core::seal::KeyId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};

use crate::audit::hash;
use crate::audit::query::{Query, seals_actor, seals_subject};
use crate::audit::record::Record;
use crate::audit::segment::Place;

/// The form below. Another one is not read but made anew.
pub(super) const FORM: i64 = 2;

/// Exactly what `sqlite_schema` holds. A file with anything else in it, a trigger or a view, is none of ours.
const SCHEMA: [&str; 4] = [
    "CREATE TABLE posting (term INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (term, seq)) WITHOUT ROWID",
    "CREATE TABLE record (seq INTEGER PRIMARY KEY, segment INTEGER NOT NULL, at INTEGER NOT NULL, \
     second INTEGER NOT NULL, leaf BLOB NOT NULL)",
    "CREATE INDEX record_second ON record (second)",
    "CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), form INTEGER NOT NULL, first INTEGER NOT NULL, \
     next INTEGER NOT NULL, postings INTEGER NOT NULL, sum INTEGER NOT NULL)",
];

/// How long to wait for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// So many records are taken in at once.
pub(super) const BATCH: usize = 2048;
/// So many hits are asked for at once.
const PAGE: i64 = 256;

pub(super) type Sql<T> = Result<T, sqlx::Error>;

pub(super) async fn connect(file: &Path) -> Sql<SqliteConnection> {
    // What a power cut takes from it is read again from the segments; that it is not torn is enough.
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Truncate)
        .locking_mode(SqliteLockingMode::Exclusive)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
        .connect()
        .await
}

/// What the index says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The first record it has.
    pub(super) first: u64,
    /// The first it does not have yet.
    pub(super) next: u64,
    postings: i64,
    /// Over every row: what was lost or changed in the file shows here.
    sum: i64,
}

/// Makes the tables of an empty file.
pub(super) async fn create(connection: &mut SqliteConnection) -> Sql<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for statement in SCHEMA {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO state VALUES (1, ?1, 0, 0, 0, 0)").bind(FORM).execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

/// Reads the whole file and says whether it is what was written. `None`: it is not.
pub(super) async fn check(connection: &mut SqliteConnection) -> Sql<Option<State>> {
    let found: Vec<(Option<String>,)> =
        sqlx::query_as("SELECT sql FROM sqlite_schema ORDER BY sql").fetch_all(&mut *connection).await?;
    let mut expected = SCHEMA;
    expected.sort_unstable();
    if !found.iter().map(|(sql,)| sql.as_deref()).eq(expected.into_iter().map(Some)) {
        return Ok(None);
    }
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut *connection).await?;
    let state = read_state(connection).await?;
    let is_whole = sound == "ok" && state.is_some_and(|state| state.next >= state.first);
    let Some(state) = state.filter(|_| is_whole) else { return Ok(None) };
    let (postings, sum) = summed(connection).await?;
    let (rows, last): (i64, Option<i64>) =
        sqlx::query_as("SELECT count(*), max(seq) FROM record").fetch_one(connection).await?;
    let expected = state.next.saturating_sub(state.first);
    let is_gapless =
        rows == signed(expected) && last.is_none_or(|last| last.saturating_add(1) == signed(state.next));
    Ok((is_gapless && (postings, sum) == (state.postings, state.sum)).then_some(state))
}

pub(super) async fn read_state(connection: &mut SqliteConnection) -> Sql<Option<State>> {
    let row: Option<(i64, i64, i64, i64, i64)> =
        sqlx::query_as("SELECT form, first, next, postings, sum FROM state")
            .fetch_optional(connection)
            .await?;
    Ok(row.filter(|(form, ..)| *form == FORM).and_then(|(_, first, next, postings, sum)| {
        Some(State { first: u64::try_from(first).ok()?, next: u64::try_from(next).ok()?, postings, sum })
    }))
}

/// How many postings there are, and the sum over all rows.
async fn summed(connection: &mut SqliteConnection) -> Sql<(i64, i64)> {
    let (mut postings, mut sum, mut after) = (0_i64, 0_i64, (i64::MIN, -1));
    loop {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT term, seq FROM posting WHERE (term, seq) > (?1, ?2) ORDER BY term, seq LIMIT 8192",
        )
        .bind(after.0)
        .bind(after.1)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after = *last;
        postings = postings.saturating_add(signed(rows.len() as u64));
        sum = rows.iter().fold(sum, |sum, (term, seq)| sum.wrapping_add(posting_sum(*term, *seq)));
    }
    let mut after = -1_i64;
    loop {
        let rows: Vec<(i64, i64, i64, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT seq, segment, at, second, leaf FROM record WHERE seq > ?1 ORDER BY seq LIMIT 8192",
        )
        .bind(after)
        .fetch_all(&mut *connection)
        .await?;
        let Some((last, ..)) = rows.last() else { return Ok((postings, sum)) };
        after = *last;
        sum = rows.iter().fold(sum, |sum, (seq, segment, at, second, leaf)| {
            sum.wrapping_add(record_sum(*seq, *segment, *at, *second, leaf))
        });
    }
}

/// Rows of one batch, on their way into the index.
#[derive(Default)]
pub(super) struct Batch {
    postings: Vec<(i64, i64)>,
    records: String,
    len: usize,
    next: u64,
    sum: i64,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, record: &Record, place: Place) {
        let seq = signed(record.sequence());
        for term in terms(record.event()) {
            self.postings.push((term, seq));
        }
        let (segment, at) = (signed(place.segment), signed(place.offset));
        let (second, leaf) = (second(record.recorded_at()), record.digest());
        self.sum = self.sum.wrapping_add(record_sum(seq, segment, at, second, leaf.as_bytes()));
        self.records.push(if self.len == 0 { '[' } else { ',' });
        self.records.push_str(&format!("[{seq},{segment},{at},{second},\""));
        for byte in leaf.as_bytes() {
            self.records.push_str(&format!("{byte:02x}"));
        }
        self.records.push_str("\"]");
        (self.len, self.next) = (self.len.saturating_add(1), record.sequence().saturating_add(1));
    }

    /// Takes the batch in, all or nothing.
    pub(super) async fn write(mut self, connection: &mut SqliteConnection, state: &mut State) -> Sql<()> {
        if self.len == 0 {
            return Ok(());
        }
        self.postings.sort_unstable();
        self.postings.dedup();
        let sum = self
            .postings
            .iter()
            .fold(self.sum, |sum, (term, seq)| sum.wrapping_add(posting_sum(*term, *seq)));
        let postings: Vec<String> =
            self.postings.iter().map(|(term, seq)| format!("[{term},{seq}]")).collect();
        let mut after = *state;
        after.next = self.next;
        after.postings = after.postings.saturating_add(signed(self.postings.len() as u64));
        after.sum = after.sum.wrapping_add(sum);
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        sqlx::query("INSERT INTO posting SELECT value ->> 0, value ->> 1 FROM json_each(?1)")
            .bind(format!("[{}]", postings.join(",")))
            .execute(&mut *connection)
            .await?;
        self.records.push(']');
        sqlx::query(
            "INSERT INTO record SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4) \
             FROM json_each(?1)",
        )
        .bind(self.records)
        .execute(&mut *connection)
        .await?;
        write_state(connection, &after).await?;
        sqlx::query("COMMIT").execute(connection).await?;
        *state = after;
        Ok(())
    }
}

async fn write_state(connection: &mut SqliteConnection, state: &State) -> Sql<()> {
    sqlx::query("UPDATE state SET first = ?1, next = ?2, postings = ?3, sum = ?4")
        .bind(signed(state.first))
        .bind(signed(state.next))
        .bind(state.postings)
        .bind(state.sum)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the records before `first`, which are no longer in the trail.
pub(super) async fn forget_before(
    connection: &mut SqliteConnection,
    state: &mut State,
    first: u64,
) -> Sql<()> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for statement in ["DELETE FROM posting WHERE seq < ?1", "DELETE FROM record WHERE seq < ?1"] {
        sqlx::query(statement).bind(signed(first)).execute(&mut *connection).await?;
    }
    let (postings, sum) = summed(connection).await?;
    let after = State { first, next: state.next.max(first), postings, sum };
    write_state(connection, &after).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    *state = after;
    Ok(())
}

/// A record the index names; whether it is wanted, its bytes in the segment tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) seq: u64,
    pub(super) place: Place,
    pub(super) leaf: [u8; 32],
}

/// The next hits of a query from `from` on and before `before`.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    wanted: &Wanted,
    from: u64,
    before: u64,
) -> Sql<Option<Vec<Hit>>> {
    let mut query = sqlx::query_as::<_, (i64, i64, i64, Vec<u8>)>(AssertSqlSafe(wanted.statement.clone()))
        .bind(signed(from))
        .bind(signed(before))
        .bind(PAGE);
    for term in &wanted.terms {
        query = query.bind(*term);
    }
    let rows = query.fetch_all(connection).await?;
    let hit = |(seq, segment, offset, leaf): (i64, i64, i64, Vec<u8>)| {
        let place = Place { segment: u64::try_from(segment).ok()?, offset: u64::try_from(offset).ok()? };
        Some(Hit { seq: u64::try_from(seq).ok()?, place, leaf: leaf.try_into().ok()? })
    };
    Ok(rows.into_iter().map(hit).collect())
}

/// Where the record with this number lies, and its leaf.
pub(super) async fn hit(connection: &mut SqliteConnection, seq: u64) -> Sql<Option<Hit>> {
    let wanted = Wanted { statement: Wanted::EVERY.to_owned(), terms: Vec::new(), span: None };
    let page = page(connection, &wanted, seq, seq.saturating_add(1)).await?;
    Ok(page.and_then(|hits| hits.first().copied()))
}

/// From which record on and before which one those lie whose time is in the query's span.
pub(super) async fn span(
    connection: &mut SqliteConnection,
    state: &State,
    wanted: &Wanted,
) -> Sql<Option<(u64, u64)>> {
    let Some((from, until)) = wanted.span else { return Ok(Some((state.first, state.next))) };
    let (first, last): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT min(seq), max(seq) FROM record WHERE second BETWEEN ?1 AND ?2")
            .bind(from)
            .bind(until)
            .fetch_one(connection)
            .await?;
    let pair = first
        .zip(last)
        .and_then(|(first, last)| Some((u64::try_from(first).ok()?, u64::try_from(last).ok()?)));
    Ok(pair.map(|(first, last)| (first, last.saturating_add(1))))
}

/// A query as the index is asked it.
#[derive(Debug)]
pub(super) struct Wanted {
    statement: String,
    terms: Vec<i64>,
    /// The first and the last second, where the query states a time.
    span: Option<(i64, i64)>,
}

impl Wanted {
    const EVERY: &str =
        "SELECT seq, segment, at, leaf FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq LIMIT ?3";

    pub(super) fn new(query: &Query) -> Self {
        // What is rarest leads: a request has few records, a tenant many.
        let groups: Vec<Vec<i64>> = [
            query.correlation.map(|id| vec![correlation_term(id)]),
            query.subject.as_ref().map(|(id, key)| person_terms(SUBJECT, id.as_str(), *key)),
            query.actor.as_ref().map(|(id, key)| person_terms(ACTOR, id.as_str(), *key)),
            query.class.map(|class| vec![term(CLASS, class.as_str().as_bytes())]),
            query.tenant.as_ref().map(|tenant| vec![tenant_term(tenant)]),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut parameter = 3_usize;
        let mut next = || {
            parameter = parameter.saturating_add(1);
            parameter
        };
        let mut statement = String::new();
        for (number, group) in groups.iter().enumerate() {
            if number == 0 {
                let lists: Vec<String> = group
                    .iter()
                    .map(|_| {
                        format!("SELECT seq FROM posting WHERE term = ?{} AND seq >= ?1 AND seq < ?2", next())
                    })
                    .collect();
                statement = format!(
                    "SELECT r.seq, r.segment, r.at, r.leaf FROM ({} ORDER BY seq) AS p CROSS JOIN record AS r \
                     ON r.seq = p.seq WHERE TRUE",
                    lists.join(" UNION ")
                );
            } else {
                let marks: Vec<String> = group.iter().map(|_| format!("?{}", next())).collect();
                statement.push_str(&format!(
                    " AND EXISTS (SELECT 1 FROM posting AS q WHERE q.term IN ({}) AND q.seq = p.seq)",
                    marks.join(",")
                ));
            }
        }
        if statement.is_empty() {
            Self::EVERY.clone_into(&mut statement);
        } else {
            statement.push_str(" ORDER BY p.seq LIMIT ?3");
        }
        let terms = groups.into_iter().flatten().collect();
        let is_timed = query.from > Timestamp::MIN || query.until < Timestamp::MAX;
        Self { statement, terms, span: is_timed.then(|| (second(query.from), second(query.until))) }
    }
}

const TENANT: u8 = 0x20;
const CLASS: u8 = 0x21;
const CORRELATION: u8 = 0x22;
const ACTOR: u8 = 0x23;
const SUBJECT: u8 = 0x24;
/// Added to the kind where a person is sealed: their key, not their name.
const SEALED: u8 = 0x10;

/// The first eight bytes of a SHA-256: no identifier stands in the index. Two that share them cost a look into the
/// segment.
fn term(kind: u8, value: &[u8]) -> i64 {
    let hash = hash::prefixed(kind, value);
    hash.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

fn tenant_term(tenant: &TenantId) -> i64 {
    term(TENANT, tenant.as_str().as_bytes())
}

fn correlation_term(id: CorrelationId) -> i64 {
    term(CORRELATION, id.as_bytes())
}

fn key_term(kind: u8, key: KeyId) -> i64 {
    term(kind | SEALED, key.as_bytes())
}

/// Every record in which somebody is sealed has this term, whoever they are.
fn sealed_term(kind: u8) -> i64 {
    term(kind | SEALED, b"")
}

/// Where somebody may stand. Without their key it may be wherever somebody is sealed: that is not an answer, but says that
/// there is none.
fn person_terms(kind: u8, name: &str, key: Option<KeyId>) -> Vec<i64> {
    vec![term(kind, name.as_bytes()), key.map_or_else(|| sealed_term(kind), |key| key_term(kind, key))]
}

fn actor_term(kind: u8, actor: &Actor) -> Option<i64> {
    match actor {
        Actor::SealedPerson(sealed) => Some(key_term(kind, sealed.key())),
        plain => plain.id().map(|id| term(kind, id.as_str().as_bytes())),
    }
}

fn terms(event: &Event) -> impl Iterator<Item = i64> {
    let subjects = event.subjects().iter().map(|subject| term(SUBJECT, subject.as_str().as_bytes()));
    let sealed = event.sealed_subjects().iter().map(|sealed| key_term(SUBJECT, sealed.key()));
    [
        Some(term(CLASS, event.kind().class().as_str().as_bytes())),
        event.tenant().map(tenant_term),
        event.correlation().map(|correlation| correlation_term(correlation.id())),
        actor_term(ACTOR, event.actor()),
        event.on_behalf_of().and_then(|person| actor_term(SUBJECT, person)),
        seals_actor(event).then(|| sealed_term(ACTOR)),
        seals_subject(event).then(|| sealed_term(SUBJECT)),
    ]
    .into_iter()
    .flatten()
    .chain(subjects)
    .chain(sealed)
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn second(at: Timestamp) -> i64 {
    // Years -9999 to 9999 in seconds fit.
    i64::try_from(at.as_unix_nanos().div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): tells accidents, not attackers.
fn mix(value: i64) -> i64 {
    let mut z = value.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).cast_signed()
}

fn posting_sum(term: i64, seq: i64) -> i64 {
    mix(mix(term) ^ seq)
}

fn record_sum(seq: i64, segment: i64, at: i64, second: i64, leaf: &[u8]) -> i64 {
    let start = [segment, at, second].into_iter().fold(mix(!seq), |sum, value| mix(sum ^ value));
    leaf.iter().fold(start, |sum, byte| mix(sum ^ i64::from(*byte)))
}
