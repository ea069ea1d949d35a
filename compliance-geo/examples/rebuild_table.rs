//! Compiles a MaxMind DB file into the compact country table that the crate embeds.
//!
//! Usage: `rebuild_table FILE.mmdb SOURCE YYYY-MM-DD > country.table`, see `data/ORIGIN.md`.

use std::io::Write;

use compliance_geo::database::Database;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, source, day] = arguments.as_slice() else {
        return Err("usage: rebuild_table FILE.mmdb SOURCE YYYY-MM-DD > country.table".into());
    };
    let database = Database::from_mmdb(std::fs::read(file)?, source.clone())?;
    let found = database.snapshot().as_of().to_string();
    if found != *day {
        return Err(format!("the file says it was built on {found}").into());
    }
    let table = database.to_country_table();
    // What was written must read back as the same countries.
    let read = Database::from_country_table(&table)?;
    for ip in database.boundaries() {
        if database.country(ip) != read.country(ip) {
            return Err("the table does not read back".into());
        }
    }
    eprintln!(
        "{} bytes, {} records, {} bytes resident",
        table.len(),
        read.snapshot().entries(),
        read.table_bytes()
    );
    std::io::stdout().write_all(&table)?;
    Ok(())
}
