//! `/structure/host/{name}/disks`

use headroom_model::number::plain;
use serde_json::{Map, Value, json};

use super::Reply;
use super::ask::{Asker, At, Fields};
use super::fields::{Part, number, object, set as set_number};
use super::hosts::no_host;
use super::structures::is_host;
use crate::answer::Answer;
use crate::store::{Body, Database};

/// `PUT`: adds disks; those that the host has stay as they are.
pub(super) async fn add(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let given: Vec<(String, Value)> = disks(&fields)?.iter().map(disk).collect::<Result<_, _>>()?;
    let change = |of_host: &mut Map<String, Value>| {
        for (disk, entry) in &given {
            of_host.entry(disk).or_insert_with(|| entry.clone());
        }
        Ok(())
    };
    edit(&asker, &name, change).await?;
    Ok(asker.did_to(&name, format!("disks added: {}", listed(&given))))
}

/// `POST`: sets what disks can do; what is free follows.
pub(super) async fn set(asker: Asker, At(name): At<String>, Fields(fields): Fields) -> Reply {
    let read = |part: &Part<'_>| Ok((part.text("name")?.to_owned(), (part.amount("max_read")?, part.amount("max_write")?)));
    let given: Vec<(String, (f64, f64))> = disks(&fields)?.iter().map(read).collect::<Result<_, Answer>>()?;
    let change = |of_host: &mut Map<String, Value>| {
        for (disk, (max_read, max_write)) in &given {
            let entry = of_host.get_mut(disk).and_then(Value::as_object_mut);
            let entry = entry.ok_or_else(|| Answer::missing(format!("{name:?} has no disk {disk:?}")))?;
            set_max(entry, ["max_read", "free_read"], *max_read);
            set_max(entry, ["max_write", "free_write"], *max_write);
        }
        Ok(())
    };
    edit(&asker, &name, change).await?;
    Ok(asker.did_to(&name, format!("disks set: {}", listed(&given))))
}

/// What is given out stays so: the rest is free.
fn set_max(entry: &mut Map<String, Value>, [max, free]: [&str; 2], new: f64) {
    let given_out = number(entry, max).zip(number(entry, free)).map_or(0.0, |(max, free)| (max - free).max(0.0));
    set_number(entry, max, new);
    set_number(entry, free, (new - given_out).max(0.0));
}

fn disks(fields: &Body) -> Result<Vec<Part<'_>>, Answer> {
    Part::whole(fields).part("resources")?.parts("disks")
}

fn listed<T>(given: &[(String, T)]) -> String {
    given.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A disk as it is stored, by its name.
pub(super) fn disk(part: &Part<'_>) -> Result<(String, Value), Answer> {
    let name = part.text("name")?;
    if name.is_empty() {
        return Err(Answer::bad(format!("{} is empty; expected the disk's name", part.called("name"))));
    }
    let mut entry = part.fields().clone();
    entry.remove("name");
    entry.insert("type".into(), part.text("type")?.into());
    entry.insert("path".into(), part.text("path")?.into());
    entry.insert("load".into(), plain(part.amount("load")?));
    for [max, free] in [["max_read", "free_read"], ["max_write", "free_write"]] {
        let (most, left) = (part.amount(max)?, part.amount(free)?);
        if left > most {
            return Err(Answer::bad(format!("{} is {left}; expected at most {max}, {most}", part.called(free))));
        }
        entry.insert(max.into(), plain(most));
        entry.insert(free.into(), plain(left));
    }
    Ok((name.to_owned(), Value::Object(entry)))
}

async fn edit(
    asker: &Asker,
    name: &str,
    change: impl Fn(&mut Map<String, Value>) -> Result<(), Answer> + Send + Sync,
) -> Result<(), Answer> {
    let of_host = |body: &mut Body| {
        if !is_host(body) {
            return Err(no_host(name));
        }
        let disks = object(body, "resources")?.entry("disks").or_insert_with(|| json!({}));
        let shown = disks.to_string();
        let expected = || Answer::bad(format!("the document's disks are {shown}; expected an object"));
        change(disks.as_object_mut().ok_or_else(expected)?)
    };
    match asker.central.documents.edit(Database::Structures, name, of_host).await {
        Err(answer) if answer.status == 404 && !asker.central.documents.has(Database::Structures, name) => Err(no_host(name)),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_stays_given_out() {
        let table = [
            (json!({"max_read": 500, "free_read": 400}), 600.0, json!({"max_read": 600, "free_read": 500})),
            (json!({"max_read": "500", "free_read": "400"}), 450.5, json!({"max_read": 450.5, "free_read": 350.5})),
            (json!({"max_read": 500, "free_read": 100}), 300.0, json!({"max_read": 300, "free_read": 0})),
            (json!({}), 300.0, json!({"max_read": 300, "free_read": 300})),
        ];
        for (before, max, after) in table {
            let mut entry = before.as_object().unwrap().clone();
            set_max(&mut entry, ["max_read", "free_read"], max);
            assert_eq!(Value::Object(entry), after);
        }
    }
}
