//! The file: what is in it, and how it is opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use headroom_model::accounting::Areas;
use headroom_model::resource::Resource;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::spread::{FINE, Part, add};
use super::state::{Filed, Holder};
use crate::refeeder::Owners;
use crate::sqlite::{self, Schema};

/// What is answered survives a power cut. Nobody else writes the file for longer than two seconds. States are written again and again: the
/// more of it that is only in the log, the less is written twice.
const SCHEMA: Schema = Schema {
    tables: TABLES,
    version: 1,
    settings: "
        PRAGMA busy_timeout = 2000;
        PRAGMA synchronous = FULL;
        PRAGMA cache_size = -2048;
        PRAGMA wal_autocheckpoint = 4000;
        PRAGMA journal_size_limit = 33554432;
    ",
};

/// `accounts`: whom amounts are for; an empty application or user is none. `fine`, `hours` and `days`: amounts by the time they fell into, five
/// minutes and longer (its beginning in seconds since the epoch), in unit x seconds; an amount is in one of them. `hosts`: counters as they were last counted, with what is not filed yet ([`super::codec`]).
const TABLES: &str = "
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, structure TEXT NOT NULL, host TEXT NOT NULL, application TEXT NOT NULL,
        user TEXT NOT NULL, UNIQUE (structure, host, application, user));
    CREATE INDEX by_application ON accounts (application) WHERE application <> '';
    CREATE INDEX by_user ON accounts (user) WHERE user <> '';
    CREATE TABLE fine (start INTEGER NOT NULL, account INTEGER NOT NULL, resource INTEGER NOT NULL, used REAL NOT NULL,
        allocated REAL NOT NULL, reserved REAL NOT NULL, PRIMARY KEY (start, account, resource)) WITHOUT ROWID;
    CREATE TABLE hours (start INTEGER NOT NULL, account INTEGER NOT NULL, resource INTEGER NOT NULL, used REAL NOT NULL,
        allocated REAL NOT NULL, reserved REAL NOT NULL, PRIMARY KEY (start, account, resource)) WITHOUT ROWID;
    CREATE TABLE days (start INTEGER NOT NULL, account INTEGER NOT NULL, resource INTEGER NOT NULL, used REAL NOT NULL,
        allocated REAL NOT NULL, reserved REAL NOT NULL, PRIMARY KEY (start, account, resource)) WITHOUT ROWID;
    CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state BLOB NOT NULL);
";

/// Opens the file for the one who writes it; makes it where there is none. Errors are for people.
pub(super) fn writable(path: &Path) -> Result<Connection, String> {
    sqlite::writable(path, &SCHEMA).map_err(|e| e.to_string())
}

/// Opens the file for one who reads.
pub(super) fn readable(path: &Path) -> rusqlite::Result<Connection> {
    sqlite::readable(path, 2048)
}

/// The number of a holder's account on a host, old or new.
pub(super) fn account(connection: &Connection, host: &str, holder: &Holder) -> rusqlite::Result<u32> {
    let (application, user) = (text(holder.owners.application.as_ref()), text(holder.owners.user.as_ref()));
    let of = params![&*holder.structure, host, application, user];
    let mut find = connection
        .prepare_cached("SELECT id FROM accounts WHERE structure = ?1 AND host = ?2 AND application = ?3 AND user = ?4")?;
    if let Some(id) = find.query_row(of, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let mut insert = connection
        .prepare_cached("INSERT INTO accounts (structure, host, application, user) VALUES (?1, ?2, ?3, ?4) RETURNING id")?;
    insert.query_row(of, |row| row.get(0))
}

fn text(name: Option<&Arc<str>>) -> &str {
    name.map_or("", |name| name)
}

/// Whom an account is for.
pub(super) fn holder(connection: &Connection, account: u32) -> rusqlite::Result<Option<Holder>> {
    let mut find = connection.prepare_cached("SELECT structure, application, user FROM accounts WHERE id = ?1")?;
    let name = |text: String| (!text.is_empty()).then(|| text.into());
    find.query_row([account], |row| {
        let owners = Owners { application: name(row.get(1)?), user: name(row.get(2)?) };
        Ok(Holder { structure: row.get::<_, String>(0)?.into(), owners })
    })
    .optional()
}

/// Under this account everybody's amounts are filed once more, added up: a large fleet's total would take long otherwise.
pub(super) const EVERYBODY: u32 = 0;

/// Adds amounts to what is filed.
pub(super) fn file_all(connection: &Connection, filed: &[Filed]) -> rusqlite::Result<()> {
    let mut all: BTreeMap<(i64, i64, Resource), Areas> = BTreeMap::new();
    for Filed { account, resource, part } in filed {
        file(connection, *account, *resource, part)?;
        add(all.entry((part.start, part.length, *resource)).or_default(), part.areas);
    }
    for ((start, length, resource), areas) in all {
        file(connection, EVERYBODY, resource, &Part { start, length, areas })?;
    }
    Ok(())
}

/// Adds an amount to what is filed.
fn file(connection: &Connection, account: u32, resource: Resource, part: &Part) -> rusqlite::Result<()> {
    let Part { start, length, areas: Areas { used, allocated, reserved } } = *part;
    let table = if length == FINE { "fine" } else { "hours" };
    let sql = format!(
        "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET used = used + excluded.used, \
         allocated = allocated + excluded.allocated, reserved = reserved + excluded.reserved"
    );
    connection.prepare_cached(&sql)?.execute(params![start, account, resource as u8, used, allocated, reserved])?;
    Ok(())
}
