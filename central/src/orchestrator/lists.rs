//! Lists of whole documents: a fleet has tens of thousands, so they are read, completed and written one by one, where that hinders nobody.

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::Reply;
use crate::answer::Answer;
use crate::central::Central;
use crate::store::{Body, Database};

/// Answers with every document of a database, each completed by `lay_over`.
pub(super) async fn whole(central: Central, database: Database, lay_over: fn(&Central, &mut Body)) -> Reply {
    let write = move || {
        let mut list = vec![b'['];
        let mut failed = None;
        central.documents.each(database, |mut body| {
            lay_over(&central, &mut body);
            if list.len() > 1 {
                list.push(b',');
            }
            failed = failed.take().or(serde_json::to_writer(&mut list, &body).err());
        });
        list.push(b']');
        failed.map_or(Ok(list), Err)
    };
    let written = tokio::task::spawn_blocking(write).await.map_err(|e| Answer::failed(format!("the list's task ended: {e}")))?;
    let list = written.map_err(|e| Answer::failed(format!("cannot write the list: {e}")))?;
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], list).into_response())
}
