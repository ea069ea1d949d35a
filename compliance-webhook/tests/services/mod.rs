//! Databases for tests, where the environment names them.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

/// Connections to the database `COMPLIANCE_TEST_POSTGRES` names, with an empty schema of this name to work in. `None`,
/// with word of it, when the variable is not set; an error where services are required.
pub(crate) async fn postgres(schema: &str) -> Option<PgPool> {
    let pool = PgPoolOptions::new().max_connections(8).connect_with(options(schema)?).await;
    let pool = pool.expect("PostgreSQL answers");
    let schema = named(schema);
    let statement = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    Some(pool)
}

/// As for [`postgres`], without touching the schema.
pub(crate) fn options(schema: &str) -> Option<PgConnectOptions> {
    let Ok(url) = std::env::var("COMPLIANCE_TEST_POSTGRES") else {
        let is_required = std::env::var("COMPLIANCE_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
        assert!(!is_required, "COMPLIANCE_TEST_POSTGRES is not set, and services are required");
        println!("skipped: COMPLIANCE_TEST_POSTGRES is not set");
        return None;
    };
    let options: PgConnectOptions = url.parse().expect("COMPLIANCE_TEST_POSTGRES is a URL");
    Some(options.options([("search_path", named(schema).as_str()), ("client_min_messages", "warning")]))
}

fn named(schema: &str) -> String {
    format!("compliance_webhook_{schema}")
}
