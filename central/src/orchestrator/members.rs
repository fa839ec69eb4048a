//! Who belongs to what: containers to applications, applications to users. To one at most.

use serde_json::Value;

use super::Reply;
use super::applications::{is_application, no_application};
use super::ask::{Asker, At, NoBody};
use super::containers::{is_container, no_container};
use crate::answer::Answer;
use crate::documents::{Documents, texts};
use crate::store::{Body, Database};

/// `PUT /structure/container/{name}/{app}`
pub(super) async fn join(asker: Asker, At((container, app)): At<(String, String)>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    check(documents, &container, &app)?;
    check_free(documents, Database::Structures, "containers", &container)?;
    add(documents, Database::Structures, &app, "containers", &container).await?;
    Ok(asker.did_to(&container, format!("put in application {app}")))
}

/// `DELETE /structure/container/{name}/{app}`
pub(super) async fn leave(asker: Asker, At((container, app)): At<(String, String)>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    check(documents, &container, &app)?;
    take_out(documents, Database::Structures, &app, "containers", &container).await?;
    Ok(asker.did_to(&container, format!("taken out of application {app}")))
}

/// `PUT /user/clusters/{user}/{app}`
pub(super) async fn take(asker: Asker, At((user, app)): At<(String, String)>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    check_user(documents, &user, &app)?;
    check_free(documents, Database::Users, "clusters", &app)?;
    add(documents, Database::Users, &user, "clusters", &app).await?;
    Ok(asker.did_to(&app, format!("given to user {user}")))
}

/// `DELETE /user/clusters/{user}/{app}`
pub(super) async fn give_up(asker: Asker, At((user, app)): At<(String, String)>, _: NoBody) -> Reply {
    let documents = &asker.central.documents;
    let _turn = documents.one_at_a_time().await;
    check_user(documents, &user, &app)?;
    take_out(documents, Database::Users, &user, "clusters", &app).await?;
    Ok(asker.did_to(&app, format!("taken from user {user}")))
}

fn check(documents: &Documents, container: &str, app: &str) -> Result<(), Answer> {
    let is = |name: &str, kind: fn(&Body) -> bool| documents.body(Database::Structures, name).is_some_and(|body| kind(&body));
    if !is(container, is_container) {
        return Err(no_container(container));
    }
    if is(app, is_application) { Ok(()) } else { Err(no_application(app)) }
}

fn check_user(documents: &Documents, user: &str, app: &str) -> Result<(), Answer> {
    if !documents.has(Database::Users, user) {
        return Err(Answer::missing(format!("there is no user {user:?}")));
    }
    let is_app = documents.body(Database::Structures, app).is_some_and(|body| is_application(&body));
    if is_app { Ok(()) } else { Err(no_application(app)) }
}

/// Refuses what belongs to something already.
fn check_free(documents: &Documents, database: Database, key: &str, member: &str) -> Result<(), Answer> {
    match owners(documents, database, key, member).first() {
        Some(owner) => Err(Answer::exists(format!("{member:?} belongs to {owner:?} already; take it out there first"))),
        None => Ok(()),
    }
}

/// Whose list has this member.
fn owners(documents: &Documents, database: Database, key: &str, member: &str) -> Vec<String> {
    let named = documents.naming(database, member);
    let is_owner = |body: &&Body| names(body, key).any(|name| name == member);
    named.iter().filter(is_owner).filter_map(|body| body.get("name")?.as_str().map(str::to_owned)).collect()
}

/// The names in a list of a document.
pub(super) fn names<'a>(body: &'a Body, key: &str) -> impl Iterator<Item = &'a str> {
    body.get(key).into_iter().flat_map(texts)
}

/// Puts a container into an application that is there, unless it belongs to one already.
pub(crate) async fn put_in_application(documents: &Documents, app: &str, container: &str) -> Result<(), Answer> {
    match check_free(documents, Database::Structures, "containers", container) {
        Ok(()) => add(documents, Database::Structures, app, "containers", container).await,
        Err(_) => Ok(()),
    }
}

async fn add(documents: &Documents, database: Database, owner: &str, key: &str, member: &str) -> Result<(), Answer> {
    let edit = |body: &mut Body| {
        let list = list(body, key)?;
        // It may be made twice where its first outcome was not known.
        if !list.iter().any(|name| name == member) {
            list.push(member.into());
        }
        Ok(())
    };
    documents.edit(database, owner, edit).await
}

async fn take_out(documents: &Documents, database: Database, owner: &str, key: &str, member: &str) -> Result<(), Answer> {
    let edit = |body: &mut Body| {
        let list = list(body, key)?;
        let before = list.len();
        list.retain(|name| name != member);
        if list.len() == before {
            return Err(Answer::missing(format!("{member:?} does not belong to {owner:?}")));
        }
        Ok(())
    };
    documents.edit(database, owner, edit).await
}

/// Takes a member that goes out of every list.
pub(super) async fn forget(documents: &Documents, database: Database, key: &str, member: &str) -> Result<(), Answer> {
    for owner in owners(documents, database, key, member) {
        match take_out(documents, database, &owner, key, member).await {
            Err(answer) if answer.status != 404 => return Err(answer),
            _ => {}
        }
    }
    Ok(())
}

fn list<'a>(body: &'a mut Body, key: &str) -> Result<&'a mut Vec<Value>, Answer> {
    let value = body.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    let shown = if value.is_array() { String::new() } else { value.to_string() };
    value.as_array_mut().ok_or_else(|| Answer::bad(format!("{key:?} in the document is {shown}; expected a list")))
}
