//! `migrate`: every document of one store into another, as it is but for its version.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use crate::documents::problem;
use crate::store::{Database, Document, Rev, StateStore, StoreError, Write, Written};

/// Documents of a page, and of a bulk.
const PAGE: usize = 500;

/// Copies everything. What is there already is in the way, unless it is to be replaced: then the target has nothing else afterwards. Returns
/// how many documents there are.
pub async fn migrate(from: &dyn StateStore, to: &dyn StateStore, replace: bool) -> Result<usize> {
    let mut there = BTreeMap::new();
    for database in Database::ALL {
        let revs = revs(to, database).await?;
        ensure!(
            replace || revs.is_empty(),
            "{database} has {} documents already: --replace takes them away, nothing was copied",
            revs.len()
        );
        there.insert(database, revs);
    }
    let mut count = 0;
    for (database, mut revs) in there {
        let mut after: Option<String> = None;
        loop {
            let page = from.page(database, after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|document| document.id.clone());
            count += page.len();
            let writes = page.into_iter().map(|document| {
                let expected = revs.remove(&document.id);
                of(database, document, expected)
            });
            write(to, writes.collect()).await?;
            if is_last {
                break;
            }
        }
        let mut left = revs.into_iter().peekable();
        while left.peek().is_some() {
            let gone = left.by_ref().take(PAGE).map(|(id, rev)| Write { database, id, expected: Some(rev), body: None });
            write(to, gone.collect()).await?;
        }
    }
    Ok(count)
}

async fn revs(store: &dyn StateStore, database: Database) -> Result<BTreeMap<String, Rev>, StoreError> {
    let (mut revs, mut after) = (BTreeMap::new(), None);
    loop {
        let page = store.page(database, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|document| document.id.clone());
        revs.extend(page.into_iter().map(|document| (document.id, document.rev)));
        if is_last {
            return Ok(revs);
        }
    }
}

fn of(database: Database, Document { id, mut body, .. }: Document, expected: Option<Rev>) -> Write {
    if body.remove("_attachments").is_some() {
        tracing::warn!("{database}/{id}: its attachments stay behind");
    }
    if let Some(why) = problem(database, &id, &body) {
        tracing::warn!("{database}/{id} is copied, but it cannot be understood: {why}");
    }
    Write { database, id, expected, body: Some(body) }
}

async fn write(to: &dyn StateStore, writes: Vec<Write>) -> Result<()> {
    let ids: Vec<String> = writes.iter().map(|write| format!("{}/{}", write.database, write.id)).collect();
    for (id, written) in ids.iter().zip(to.write(writes).await?) {
        match written {
            Written::Done(_) => {}
            Written::Conflict => bail!("{id}: somebody else writes there meanwhile; end that, and migrate again with --replace"),
            Written::Refused(why) => bail!("{id}: the target does not want it: {why}"),
        }
    }
    Ok(())
}
