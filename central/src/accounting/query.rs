//! Amounts of a time, read from the file.

use std::collections::BTreeMap;

use headroom_model::accounting::Areas;
use headroom_model::resource::Resource;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::codec::decode;
use super::schema::EVERYBODY;
use super::spread::{DAY, FINE, HOUR, add, start};
use super::state::Holder;
use crate::refeeder::Owners;

/// Of whom and when. Who is not named is not asked after: with nobody named it is all of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// A container.
    pub structure: Option<String>,
    /// Containers, for as long as they were this application's.
    pub application: Option<String>,
    /// Containers, for as long as their application was this user's.
    pub user: Option<String>,
    /// Seconds since the epoch.
    pub from: f64,
    /// Seconds since the epoch, exclusive.
    pub to: f64,
}

impl Wanted {
    /// As another central is asked.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let names = [("structure", &self.structure), ("application", &self.application), ("user", &self.user)];
        let named = names.into_iter().filter_map(|(key, name)| Some((key, name.clone()?)));
        named.chain([("from", self.from.to_string()), ("to", self.to.to_string())]).collect()
    }

    /// Whether not all are asked after.
    pub(super) fn names_anybody(&self) -> bool {
        self.structure.is_some() || self.application.is_some() || self.user.is_some()
    }
}

/// The amounts of one resource of one account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The container.
    pub structure: String,
    /// The host it was on.
    pub host: String,
    /// The application it was part of.
    pub application: Option<String>,
    /// The user that was whose.
    pub user: Option<String>,
    /// Which resource.
    pub resource: Resource,
    /// In its unit x seconds.
    pub areas: Areas,
}

#[derive(Default)]
struct Account {
    structure: String,
    host: String,
    application: String,
    user: String,
}

type Sums = BTreeMap<(u32, u8), Areas>;

/// Where amounts are filed, and by what time.
const TABLES: [(&str, i64); 3] = [("fine", FINE), ("hours", HOUR), ("days", DAY)];

/// Of more accounts than this the whole time is read, and not each account's part of it.
const FEW: usize = 200;

/// Sorted by structure, host, application, user, resource. Of a time that is only partly asked for its part counts.
pub(super) fn lines(connection: &mut Connection, wanted: &Wanted) -> rusqlite::Result<Vec<Line>> {
    // All from one moment: what is filed meanwhile counts once.
    let moment = connection.transaction()?;
    let accounts = accounts(&moment, wanted)?;
    let mut sums = Sums::new();
    for (table, length) in TABLES {
        filed(&moment, table, length, wanted, &accounts, &mut sums)?;
    }
    open(&moment, wanted, |account| accounts.contains_key(&account).then_some(account), &mut sums)?;
    let name = |text: &String| (!text.is_empty()).then(|| text.clone());
    let line = |((account, resource), areas): ((u32, u8), Areas)| {
        let Account { structure, host, application, user } = accounts.get(&account)?;
        Some(Line {
            structure: structure.clone(),
            host: host.clone(),
            application: name(application),
            user: name(user),
            resource: *Resource::ALL.get(usize::from(resource))?,
            areas,
        })
    };
    let mut lines: Vec<Line> = sums.into_iter().filter_map(line).collect();
    lines.sort_by(|a, b| key(a).cmp(&key(b)));
    Ok(lines)
}

/// Everybody's amounts, a line a resource.
pub(super) fn totals(connection: &mut Connection, wanted: &Wanted) -> rusqlite::Result<Vec<Line>> {
    let moment = connection.transaction()?;
    let mut sums = Sums::new();
    for (table, length) in TABLES {
        filed(&moment, table, length, wanted, &BTreeMap::from([(EVERYBODY, Account::default())]), &mut sums)?;
    }
    open(&moment, wanted, |_| Some(EVERYBODY), &mut sums)?;
    let line = |((_, resource), areas): ((u32, u8), Areas)| {
        let (structure, host) = (String::new(), String::new());
        Some(Line { structure, host, application: None, user: None, resource: *Resource::ALL.get(usize::from(resource))?, areas })
    };
    Ok(sums.into_iter().filter_map(line).collect())
}

/// What several centrals counted, each of them for the whole fleet, from counters that only grow: who has seen less of a container lacks some of
/// it, and nobody has too much.
pub(super) fn together(lists: Vec<Vec<Line>>) -> Vec<Line> {
    let mut all: BTreeMap<Key, Line> = BTreeMap::new();
    for line in lists.into_iter().flatten() {
        let (structure, host, application, user, resource) = key(&line);
        let key = (structure.into(), host.into(), application.map(Into::into), user.map(Into::into), resource);
        match all.get_mut(&key) {
            Some(known) => known.areas = most(known.areas, line.areas),
            None => drop(all.insert(key, line)),
        }
    }
    all.into_values().collect()
}

/// Whom a line is for, and of what.
type Key = (String, String, Option<String>, Option<String>, Resource);

fn most(a: Areas, b: Areas) -> Areas {
    Areas { used: a.used.max(b.used), allocated: a.allocated.max(b.allocated), reserved: a.reserved.max(b.reserved) }
}

fn key(line: &Line) -> (&str, &str, Option<&str>, Option<&str>, Resource) {
    (&line.structure, &line.host, line.application.as_deref(), line.user.as_deref(), line.resource)
}

fn accounts(connection: &Connection, wanted: &Wanted) -> rusqlite::Result<BTreeMap<u32, Account>> {
    let mut find = connection.prepare_cached(
        "SELECT id, structure, host, application, user FROM accounts WHERE (?1 IS NULL OR structure = ?1) \
         AND (?2 IS NULL OR application = ?2) AND (?3 IS NULL OR user = ?3)",
    )?;
    let account = |row: &rusqlite::Row<'_>| {
        let account = Account { structure: row.get(1)?, host: row.get(2)?, application: row.get(3)?, user: row.get(4)? };
        Ok((row.get(0)?, account))
    };
    find.query_map(params![wanted.structure, wanted.application, wanted.user], account)?.collect()
}

fn filed(
    connection: &Connection,
    table: &str,
    length: i64,
    wanted: &Wanted,
    accounts: &BTreeMap<u32, Account>,
    sums: &mut Sums,
) -> rusqlite::Result<()> {
    let ends = format!("SELECT min(start), max(start) FROM {table}");
    let (first, last): (Option<i64>, Option<i64>) = connection.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some((first, last)) = first.zip(last) else { return Ok(()) };
    let (first, last) = (first.max(start(wanted.from, length)), last.min(start(wanted.to, length)));
    let columns = "start, account, resource, used, allocated, reserved";
    let mut take = |row: &rusqlite::Row<'_>| -> rusqlite::Result<()> {
        let (start, account): (i64, u32) = (row.get(0)?, row.get(1)?);
        if accounts.contains_key(&account) {
            let areas = Areas { used: row.get(3)?, allocated: row.get(4)?, reserved: row.get(5)? };
            let sum = sums.entry((account, row.get(2)?)).or_default();
            add(sum, part(areas, start as f64, (start + length) as f64, wanted));
        }
        Ok(())
    };
    if accounts.len() > FEW {
        let mut all = connection.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE start BETWEEN ?1 AND ?2"))?;
        let mut rows = all.query([first, last])?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        return Ok(());
    }
    let mut one = connection.prepare_cached(&format!("SELECT {columns} FROM {table} WHERE start = ?1 AND account = ?2"))?;
    let mut begin = first;
    while begin <= last {
        for account in accounts.keys() {
            let mut rows = one.query(params![begin, account])?;
            while let Some(row) = rows.next()? {
                take(row)?;
            }
        }
        begin += length;
    }
    Ok(())
}

/// What is not filed yet, with each host's counters; added to what `to` says for an account.
fn open(connection: &Connection, wanted: &Wanted, to: impl Fn(u32) -> Option<u32>, sums: &mut Sums) -> rusqlite::Result<()> {
    let mut all = connection.prepare_cached("SELECT name, state FROM hosts")?;
    let mut rows = all.query([])?;
    let nobody = Holder { structure: "".into(), owners: Owners::default() };
    while let Some(row) = rows.next()? {
        let state: Vec<u8> = row.get(1)?;
        let Some(host) = decode(&state, |_| Some(nobody.clone())) else {
            tracing::error!("the counters of host {:?} are damaged; the answer lacks its last minutes", row.get::<_, String>(0)?);
            continue;
        };
        for ((account, resource), areas) in host.open {
            if let Some(account) = to(account) {
                let sum = sums.entry((account, resource as u8)).or_default();
                add(sum, part(areas, host.open_from as f64, host.until, wanted));
            }
        }
    }
    Ok(())
}

/// That part of an amount that falls into the time asked for.
fn part(areas: Areas, from: f64, to: f64, wanted: &Wanted) -> Areas {
    let share = if to > from {
        ((to.min(wanted.to) - from.max(wanted.from)) / (to - from)).clamp(0.0, 1.0)
    } else {
        f64::from(u8::from(from >= wanted.from && from < wanted.to))
    };
    Areas { used: areas.used * share, allocated: areas.allocated * share, reserved: areas.reserved * share }
}
