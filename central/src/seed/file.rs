//! `init --file` and `export`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::documents::{id_of, key_of, problem};
use crate::store::{Body, Database, Document, StateStore, StoreError, Write, Written};

/// The databases of a file, in its order.
const DATABASES: [Database; 5] = [Database::Structures, Database::Limits, Database::Rules, Database::Services, Database::Users];

/// What a file may have besides: requests, which are in no export.
const INBOX: Database = Database::Requests;

/// Documents of a page.
const PAGE: usize = 1000;

/// How often a document is tried that others change meanwhile.
const ATTEMPTS: usize = 10;

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Something in it is wrong. Nothing was loaded.
    #[error("{0}; nothing was loaded")]
    Wrong(String),
    /// The store fails; part of it may be loaded, and loading it again does no harm.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others change these documents all the time.
    #[error("others change these all the time, load the file again: {0}")]
    Busy(String),
}

/// Loads a file: each document replaces the one of its name, or is new; what the file does not name stays. A file with anything wrong is
/// not loaded at all. Returns how many documents it has.
pub async fn load(store: &dyn StateStore, file: &str) -> Result<usize, FileError> {
    let file: Value = serde_json::from_str(file).map_err(|e| FileError::Wrong(format!("it is no JSON: {e}")))?;
    let mut left = documents(&file).map_err(FileError::Wrong)?;
    for (database, name, body) in &left {
        if let Some(why) = problem(*database, &id_of(name), body) {
            tracing::warn!(%database, name, "this document is loaded, but it cannot be understood: {why}");
        }
    }
    let count = left.len();
    for _ in 0..ATTEMPTS {
        left = write(store, left).await?;
        if left.is_empty() {
            return Ok(count);
        }
    }
    Err(FileError::Busy(left.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>().join(", ")))
}

type Named = (Database, String, Body);

/// Returns those that others were faster with.
async fn write(store: &dyn StateStore, documents: Vec<Named>) -> Result<Vec<Named>, StoreError> {
    let mut known = BTreeMap::new();
    for database in DATABASES.into_iter().chain([INBOX]) {
        known.insert(database, by_name(store, database).await?);
    }
    let is_new = |(database, name, body): &Named| known.get(database).and_then(|of| of.get(name)).is_none_or(|d| d.body != *body);
    let documents: Vec<Named> = documents.into_iter().filter(is_new).collect();
    let write = |(database, name, body): &Named| {
        let there = known.get(database).and_then(|of| of.get(name));
        let id = there.map_or_else(|| id_of(name), |document| document.id.clone());
        Write { database: *database, id, expected: there.map(|document| document.rev.clone()), body: Some(body.clone()) }
    };
    let written = store.write(documents.iter().map(write).collect()).await?;
    let mut conflicts = Vec::new();
    for (document, written) in documents.into_iter().zip(written) {
        match written {
            Written::Done(_) => {}
            Written::Conflict => conflicts.push(document),
            Written::Refused(why) => return Err(StoreError::Refused(format!("{}/{}: {why}", document.0, document.1))),
        }
    }
    Ok(conflicts)
}

/// What a file holds; says what is wrong with it.
fn documents(file: &Value) -> Result<Vec<Named>, String> {
    let expected = || DATABASES.iter().chain([&INBOX]).map(|database| database.name()).collect::<Vec<_>>().join(", ");
    let file = file.as_object().ok_or_else(|| format!("expected an object with {}", expected()))?;
    let mut documents = Vec::new();
    for (key, list) in file {
        let database = DATABASES.into_iter().chain([INBOX]).find(|database| database.name() == key);
        let database = database.ok_or_else(|| format!("{key:?} is no database of a file; expected {}", expected()))?;
        let list = list.as_array().ok_or_else(|| format!("{key} is no list; expected one of documents"))?;
        let mut names = BTreeSet::new();
        for (n, document) in list.iter().enumerate() {
            let (name, body) = named(database, document).map_err(|why| format!("{key}[{n}]: {why}"))?;
            if !names.insert(name.clone()) {
                return Err(format!("{key}[{n}]: {name:?} is there twice"));
            }
            documents.push((database, name, body));
        }
    }
    Ok(documents)
}

fn named(database: Database, document: &Value) -> Result<(String, Body), String> {
    let mut body = document.as_object().ok_or("expected a document, which is an object")?.clone();
    // Requests have no names of their own.
    let id = body.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if database == INBOX && id.is_empty() {
        return Err("it has no _id, which tells it from other requests".to_owned());
    }
    body.retain(|key, _| !is_the_stores(key));
    let name = key_of(database, &id, &body)?;
    Ok((name, body))
}

/// The fields that begin with `_` are the store's.
fn is_the_stores(key: &str) -> bool {
    key.starts_with('_')
}

/// Every document of a database by the name under which it is found.
pub(super) async fn by_name(store: &dyn StateStore, database: Database) -> Result<BTreeMap<String, Document>, StoreError> {
    let mut all = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.page(database, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|document| document.id.clone());
        for document in page {
            match key_of(database, &document.id, &document.body) {
                Ok(name) => {
                    all.entry(name).or_insert(document);
                }
                Err(why) => tracing::warn!(%database, id = document.id, "left out: {why}"),
            }
        }
        if is_last {
            return Ok(all);
        }
    }
}

/// Everything that [`load`] takes.
pub async fn export(store: &dyn StateStore) -> Result<Value, StoreError> {
    let mut file = Map::new();
    for database in DATABASES {
        let bodies = by_name(store, database).await?.into_values().map(|document| {
            let mut body = document.body;
            body.retain(|key, _| !is_the_stores(key));
            Value::Object(body)
        });
        file.insert(database.name().into(), bodies.collect());
    }
    Ok(Value::Object(file))
}
