//! The numbers of documents, read again when these change.

use std::collections::BTreeMap;
use std::sync::Arc;

use headroom_model::number;
use headroom_model::resource::Resource;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::documents::{Changed, Documents};
use crate::series::{Field, Metric};
use crate::store::{Body, Database};

type Values = Box<[(Metric, f64)]>;

/// The fields that a document has, and nobody reports anew all the time. A container's others are the agents' to say.
const OF_CONTAINER: &[Field] = &[Field::Max, Field::Min];
const OF_OTHERS: &[Field] = &[Field::Usage, Field::Current, Field::Max, Field::Min, Field::Free];
const OF_LIMITS: &[Field] = &[Field::Upper, Field::Lower];

/// What is known of all documents.
#[derive(Debug)]
pub(super) struct Kept {
    changes: Receiver<Changed>,
    is_new: bool,
    pub(super) structures: BTreeMap<Arc<str>, Structure>,
    pub(super) users: BTreeMap<Arc<str>, Values>,
}

/// What kind of structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subtype {
    Container,
    Other,
}

/// One structure.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) subtype: Subtype,
    own: Values,
    limits: Values,
}

impl Structure {
    /// What its documents say.
    pub(super) fn values(&self) -> impl Iterator<Item = (Metric, f64)> {
        // A container's thresholds are reported with what they are derived from.
        let limits = if self.subtype == Subtype::Container { &[][..] } else { &self.limits };
        self.own.iter().chain(limits).copied()
    }
}

impl Kept {
    /// Nothing yet; the first [`Kept::refresh`] reads everything.
    pub(super) fn new(documents: &Documents) -> Self {
        Self { changes: documents.subscribe(), is_new: true, structures: BTreeMap::new(), users: BTreeMap::new() }
    }

    /// Takes in what changed since the last time.
    pub(super) fn refresh(&mut self, documents: &Documents) {
        let mut everything = std::mem::take(&mut self.is_new);
        loop {
            match self.changes.try_recv() {
                Ok(_) if everything => {}
                Ok(Changed { database, name }) => self.read(documents, database, &name),
                Err(TryRecvError::Lagged(_)) => everything = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if everything {
            self.read_all(documents);
        }
    }

    fn read(&mut self, documents: &Documents, database: Database, name: &Arc<str>) {
        match (database, documents.body(database, name)) {
            (Database::Structures, Some(body)) => self.set_structure(Arc::clone(name), &body, documents),
            (Database::Structures, None) => drop(self.structures.remove(name)),
            (Database::Limits, body) => {
                if let Some(structure) = self.structures.get_mut(name).filter(|s| s.subtype == Subtype::Other) {
                    structure.limits = body.map_or_else(Values::default, |body| values(&body, OF_LIMITS));
                }
            }
            (Database::Users, Some(body)) => drop(self.users.insert(Arc::clone(name), values(&body, OF_OTHERS))),
            (Database::Users, None) => drop(self.users.remove(name)),
            _ => {}
        }
    }

    fn set_structure(&mut self, name: Arc<str>, body: &Body, documents: &Documents) {
        let is_container = body.get("subtype").is_none_or(|subtype| subtype == "container");
        let structure = if is_container {
            Structure { subtype: Subtype::Container, own: values(body, OF_CONTAINER), limits: Values::default() }
        } else {
            let limits = documents.body(Database::Limits, &name).map(|body| values(&body, OF_LIMITS)).unwrap_or_default();
            Structure { subtype: Subtype::Other, own: values(body, OF_OTHERS), limits }
        };
        self.structures.insert(name, structure);
    }

    fn read_all(&mut self, documents: &Documents) {
        self.structures.clear();
        self.users.clear();
        documents.each(Database::Structures, |body| {
            if let Some(name) = body.get("name").and_then(Value::as_str) {
                self.set_structure(name.into(), &body, documents);
            }
        });
        documents.each(Database::Users, |body| {
            if let Some(name) = body.get("name").and_then(Value::as_str) {
                self.users.insert(name.into(), values(&body, OF_OTHERS));
            }
        });
    }
}

/// The numbers in a document's `resources`.
fn values(body: &Body, fields: &[Field]) -> Values {
    let resources = body.get("resources").and_then(Value::as_object);
    let of = |resource: Resource| {
        let entry = resources.and_then(|resources| resources.get(resource.key())).and_then(Value::as_object);
        let value = move |field: &Field| Some((Metric::of(resource, *field), number::lenient(entry?.get(field.key())?)?));
        fields.iter().filter_map(value)
    };
    Resource::ALL.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_may_be_texts_and_may_be_missing() {
        let body = json!({ "resources": {
            "cpu": { "max": "200", "min": 50, "current": 175, "guard": true },
            "mem": { "max": null, "min": "" },
            "disk": { "name": "sda" },
            "net": 5,
        } });
        let values = values(body.as_object().unwrap(), OF_CONTAINER);
        let cpu = |field| Metric::of(Resource::Cpu, field);
        assert_eq!(&*values, [(cpu(Field::Max), 200.0), (cpu(Field::Min), 50.0)]);
        assert_eq!(super::values(&Body::new(), OF_OTHERS).len(), 0);
    }
}
