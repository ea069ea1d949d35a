//! Which columns changed, never what they held.

use compliance_core::class::DataClass;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, EventKind};
use compliance_core::purpose;
use compliance_core::testing::block_on;
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::integrations::sqlx::{Changed, ChangesError, Columns};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

const CUSTOMER: Columns = Columns::new(&[
    ("id", DataClass::Internal),
    ("email", DataClass::Personal),
    ("diagnosis", DataClass::Sensitive),
    ("password", DataClass::Secret),
]);

fn row(select: &str) -> SqliteRow {
    block_on(async {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query(AssertSqlSafe(select.to_owned())).fetch_one(&mut connection).await.unwrap()
    })
}

fn changed(before: &str, after: &str) -> Result<Changed, ChangesError> {
    CUSTOMER.changed(&row(before), &row(after))
}

#[track_caller]
fn check(before: &str, after: &str, expected: &[&str]) {
    let select = |values: &str| {
        let names = ["id", "email", "diagnosis", "password"];
        let columns: Vec<_> =
            values.split('|').zip(names).map(|(value, name)| format!("{value} AS {name}")).collect();
        format!("SELECT {}", columns.join(", "))
    };
    assert_eq!(changed(&select(before), &select(after)).unwrap().columns(), expected);
}

#[test]
fn exactly_the_columns_that_changed_are_named() {
    check("1|'a'|NULL|'x'", "1|'a'|NULL|'x'", &[]);
    check("1|'a'|NULL|'x'", "1|'b'|NULL|'x'", &["email"]);
    check("1|'a'|NULL|'x'", "2|'b'|'flu'|'y'", &["id", "email", "diagnosis", "password"]);
    check("1|'a'|NULL|'x'", "1|NULL|''|'x'", &["email", "diagnosis"]);
    // Types count: a number is not its text, a text not its bytes, and nothing not an empty one.
    check("1|'a'|'1'|'x'", "'1'|x'61'|1|'x'", &["id", "email", "diagnosis"]);
    check("1|'a'|0|'x'", "1|'a'|NULL|'x'", &["diagnosis"]);
    check("1|'a'|1|'x'", "1|'a'|1.0|'x'", &["diagnosis"]);
    check("1|'a'|'caf\u{e9}'|'x'", "1|'a'|'cafe\u{301}'|'x'", &["diagnosis"]);
}

#[test]
fn what_is_not_declared_cannot_change_unseen() {
    let plain = "SELECT 1 AS id, 'a' AS email";
    let undeclared = changed(plain, "SELECT 1 AS id, 'a' AS email, 2 AS balance").unwrap_err();
    assert_eq!((undeclared.code(), undeclared), ("changes.undeclared", ChangesError::Undeclared { at: 2 }));
    let missing = changed(plain, "SELECT 1 AS id").unwrap_err();
    assert_eq!((missing.code(), missing), ("changes.missing", ChangesError::Missing { name: "email" }));
    assert!(!missing.to_string().contains('\''));
}

#[test]
fn the_event_names_fields_and_classes_and_no_value() {
    let before = "SELECT 1 AS id, 'anna@example.com' AS email, 'flu' AS diagnosis, 'hunter2' AS password";
    let after = "SELECT 1 AS id, 'anna@example.org' AS email, 'flu' AS diagnosis, 'hunter3' AS password";
    let changed = changed(before, after).unwrap();
    assert_eq!(changed.classes(), [DataClass::Personal, DataClass::Secret]);
    assert_eq!((changed.highest(), Changed::default().highest()), (Some(DataClass::Secret), None));
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    let event =
        DataAccess::updated(&by, "customer", purpose!("contract.service")).changed(&changed).build().unwrap();
    assert_eq!(event.kind(), EventKind::DataUpdated);
    let mut encoded = Vec::new();
    event.encode(&mut encoded);
    let encoded = String::from_utf8_lossy(&encoded);
    assert!(encoded.contains("email,password") && encoded.contains("personal,secret"));
    for value in ["anna", "example", "flu", "hunter"] {
        assert!(!encoded.contains(value), "{value}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn rows_of_postgresql_are_compared_alike() {
    let Ok(server) = std::env::var("COMPLIANCE_TEST_POSTGRES") else {
        assert_ne!(
            std::env::var("COMPLIANCE_REQUIRE_SERVICES").as_deref(),
            Ok("1"),
            "COMPLIANCE_TEST_POSTGRES is not set"
        );
        println!("skipped: COMPLIANCE_TEST_POSTGRES is not set");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
        let mut row =
            async |select: &'static str| sqlx::query(select).fetch_one(&mut connection).await.unwrap();
        let before =
            row("SELECT 1::int8 AS id, 'a' AS email, NULL::text AS diagnosis, now() - now() AS password")
                .await;
        let same =
            row("SELECT 1::int8 AS id, 'a' AS email, NULL::text AS diagnosis, now() - now() AS password")
                .await;
        let after =
            row("SELECT 1::int4 AS id, 'b' AS email, '' AS diagnosis, now() - now() AS password").await;
        let other = row("SELECT 1::int8 AS id, 2 AS balance").await;
        assert_eq!(CUSTOMER.changed(&before, &same).unwrap().columns(), [""; 0]);
        assert_eq!(CUSTOMER.changed(&before, &after).unwrap().columns(), ["id", "email", "diagnosis"]);
        assert_eq!(CUSTOMER.changed(&before, &other).unwrap_err().code(), "changes.undeclared");
    });
}
