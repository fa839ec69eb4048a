//! Fields of bodies and documents: what they have to be, and errors that name them, their value and what was expected.

use headroom_model::number::{lenient, lenient_bool, plain, whole};
use headroom_model::resource::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::store::Body;

/// The longest name of a structure or a user, in bytes.
const LONGEST_NAME: usize = 255;

/// `resources` is needed with these in every subscription.
pub(super) const NEEDED: [Resource; 2] = [Resource::Cpu, Resource::Mem];

/// A number of 0 or more, to be stored plainly.
pub(super) fn amount(what: &str, value: &Value) -> Result<f64, Answer> {
    let expected = || Answer::bad(format!("{what} is {value}; expected a number, 0 or more"));
    lenient(value).filter(|number| *number >= 0.0).ok_or_else(expected)
}

/// A whole number of 0 or more.
pub(super) fn count(what: &str, value: &Value) -> Result<i64, Answer> {
    let expected = || Answer::bad(format!("{what} is {value}; expected a whole number, 0 or more"));
    lenient(value).and_then(whole).filter(|number| *number >= 0).ok_or_else(expected)
}

/// A text.
pub(super) fn text<'a>(what: &str, value: &'a Value) -> Result<&'a str, Answer> {
    value.as_str().ok_or_else(|| Answer::bad(format!("{what} is {value}; expected a text")))
}

/// True or false, or a text of it.
pub(super) fn flag(what: &str, value: &Value) -> Result<bool, Answer> {
    lenient_bool(value).ok_or_else(|| Answer::bad(format!("{what} is {value}; expected true or false")))
}

/// One name of a resource, or a list of them.
pub(super) fn resources(what: &str, value: &Value) -> Result<Vec<Resource>, Answer> {
    let expected = || Answer::bad(format!("{what} is {value}; expected {}, or a list of them", known_resources()));
    let of = |name: &Value| name.as_str().and_then(|name| name.parse().ok());
    let named: Option<Vec<Resource>> = match value {
        Value::Array(names) => names.iter().map(of).collect(),
        one => of(one).map(|resource| vec![resource]),
    };
    named.filter(|resources| !resources.is_empty()).ok_or_else(expected)
}

fn known_resources() -> String {
    Resource::ALL.map(Resource::key).join(", ")
}

/// A part of a subscription: an object with fields that have to be there.
pub(super) struct Part<'a> {
    /// Where it stands in the body, for errors: `container.resources.cpu`.
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Part<'a> {
    /// The body itself.
    pub(super) fn whole(fields: &'a Body) -> Self {
        Self { path: String::new(), fields }
    }

    pub(super) fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    /// What a field is called in errors.
    pub(super) fn called(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|value| !value.is_null())
    }

    pub(super) fn get(&self, key: &str) -> Result<&'a Value, Answer> {
        let missing = || Answer::bad(format!("{:?} is missing", self.called(key)));
        self.fields.get(key).filter(|value| !value.is_null()).ok_or_else(missing)
    }

    pub(super) fn part(&self, key: &str) -> Result<Part<'a>, Answer> {
        let (path, value) = (self.called(key), self.get(key)?);
        match value.as_object() {
            Some(fields) => Ok(Part { path, fields }),
            None => Err(Answer::bad(format!("{path} is {value}; expected an object"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, Answer> {
        text(&self.called(key), self.get(key)?)
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Answer> {
        flag(&self.called(key), self.get(key)?)
    }

    pub(super) fn amount(&self, key: &str) -> Result<f64, Answer> {
        amount(&self.called(key), self.get(key)?)
    }

    /// The amount that may be missing.
    pub(super) fn amount_if_any(&self, key: &str) -> Result<Option<f64>, Answer> {
        if self.has(key) { self.amount(key).map(Some) } else { Ok(None) }
    }

    /// A list of objects.
    pub(super) fn parts(&self, key: &str) -> Result<Vec<Part<'a>>, Answer> {
        let (path, value) = (self.called(key), self.get(key)?);
        let list = value.as_array().ok_or_else(|| Answer::bad(format!("{path} is {value}; expected a list")))?;
        let part = |(n, value): (usize, &'a Value)| match value.as_object() {
            Some(fields) => Ok(Part { path: format!("{path}[{n}]"), fields }),
            None => Err(Answer::bad(format!("{path}[{n}] is {value}; expected an object"))),
        };
        list.iter().enumerate().map(part).collect()
    }

    /// Port numbers may be texts.
    pub(super) fn port(&self, key: &str) -> Result<Value, Answer> {
        let (called, value) = (self.called(key), self.get(key)?);
        let expected = || Answer::bad(format!("{called} is {value}; expected a port, 1 to 65535"));
        let port = lenient(value).and_then(whole).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        port.map(Value::from).ok_or_else(expected)
    }

    /// The name in the body, which has to be the path's.
    pub(super) fn check_name(&self, name: &str) -> Result<(), Answer> {
        let given = self.text("name")?;
        if given != name {
            return Err(Answer::bad(format!("{} is {given:?}, but the path says {name:?}", self.called("name"))));
        }
        check_name(name)
    }

    pub(super) fn check_subtype(&self, expected: &str) -> Result<(), Answer> {
        let given = self.text("subtype")?;
        if given == expected {
            return Ok(());
        }
        Err(Answer::bad(format!("{} is {given:?}; expected {expected:?}", self.called("subtype"))))
    }

    /// The entries of `resources` that are resources. Those that every subscription needs are among them.
    pub(super) fn resources(&self) -> Result<Vec<(Resource, Part<'a>)>, Answer> {
        let part = self.part("resources")?;
        for needed in NEEDED {
            part.part(needed.key())?;
        }
        let of = |resource: Resource| part.has(resource.key()).then(|| Ok((resource, part.part(resource.key())?)));
        Resource::ALL.into_iter().filter_map(of).collect()
    }
}

/// A new name. Most texts will do; these would be of no use to anybody.
pub(super) fn check_name(name: &str) -> Result<(), Answer> {
    let expected = format!("expected 1 to {LONGEST_NAME} bytes without control characters");
    if name.trim().is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(Answer::bad(format!("{name:?} is no name; {expected}")));
    }
    Ok(())
}

/// The object under a key of a document; made where there is none.
pub(super) fn object<'a>(body: &'a mut Body, key: &str) -> Result<&'a mut Map<String, Value>, Answer> {
    let value = body.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let shown = if value.is_object() { None } else { Some(value.to_string()) };
    match value.as_object_mut() {
        Some(object) => Ok(object),
        None => Err(Answer::bad(format!(
            "{key:?} in the document is {}; expected an object: put the document right first",
            shown.unwrap_or_default()
        ))),
    }
}

/// The entry of a resource in a document that has it.
pub(super) fn entry<'a>(body: &'a mut Body, of: &str, resource: &str) -> Result<&'a mut Map<String, Value>, Answer> {
    let found = body.get_mut("resources").and_then(|resources| resources.get_mut(resource)).and_then(Value::as_object_mut);
    found.ok_or_else(|| no_resource(of, resource))
}

/// 404 for a resource of something.
pub(super) fn no_resource(of: &str, resource: &str) -> Answer {
    Answer::missing(format!("{of:?} has no resource {resource:?}"))
}

/// A document as the model has it.
pub(super) fn understood<T: DeserializeOwned>(body: &Body) -> Result<T, Answer> {
    serde_json::from_value(Value::Object(body.clone()))
        .map_err(|e| Answer::bad(format!("the document cannot be understood: {e}")))
}

/// A number in a resource's entry, read leniently.
pub(super) fn number(entry: &Map<String, Value>, key: &str) -> Option<f64> {
    entry.get(key).and_then(lenient)
}

/// Sets a number, plainly.
pub(super) fn set(entry: &mut Map<String, Value>, key: &str, number: f64) {
    entry.insert(key.to_owned(), plain(number));
}
