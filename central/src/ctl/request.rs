//! What a command asks of central. Pure, but for documents that are read from files.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Failure;
use super::args::{
    Accounting, App, Command, Decisions, Documents, Host, Made, Output, Rule, Service, Structure, Timeseries, User,
};
use super::table::Show;

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Path and query, escaped.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// How the answer is shown; a change's is not.
    pub(super) show: Option<Show>,
}

impl Request {
    /// In this order; the next only if the one before was done.
    pub(super) fn of(command: &Command, output: Output) -> Result<Vec<Self>, Failure> {
        if output == Output::Csv && !matches!(command, Command::Accounting(_)) {
            return Err(Failure::Usage("only accounting knows -o csv".into()));
        }
        Ok(match command {
            Command::Get { kind, name } => vec![documents(*kind, name.as_deref())?],
            Command::Hosts => vec![show(&["fleet"], Show::Fleet)],
            Command::Structure(structure) => of_structure(structure)?,
            Command::Rule(rule) => vec![of_rule(rule)],
            Command::Service(service) => vec![of_service(service)],
            Command::Host(host) => vec![of_host(host)?],
            Command::App(app) => vec![of_app(app)?],
            Command::User(user) => vec![of_user(user)?],
            Command::Timeseries(asked) => vec![timeseries(asked)],
            Command::Accounting(asked) => vec![accounting(asked, output)],
            Command::Decisions(Decisions { structure, limit }) => {
                let keys = [("structure", structure.as_deref()), ("limit", Some(&*limit.to_string()))];
                vec![with_keys("decisions", Show::Decisions, &keys)]
            }
        })
    }
}

fn documents(kind: Documents, name: Option<&str>) -> Result<Request, Failure> {
    let (of, shown) = match kind {
        Documents::Structures => ("structure", Show::Structures(None)),
        Documents::Containers => ("structure", Show::Structures(Some("container"))),
        Documents::Apps => ("structure", Show::Structures(Some("application"))),
        Documents::Hosts => ("structure", Show::Structures(Some("host"))),
        Documents::Rules => ("rule", Show::Rules),
        Documents::Services => ("service", Show::Services),
        Documents::Users => ("user", Show::Users),
        Documents::Limits => {
            let name = name.ok_or_else(|| Failure::Usage("get limits needs the name of a structure".into()))?;
            return Ok(show(&["structure", name, "limits"], Show::Limits));
        }
    };
    Ok(match name {
        Some(name) => show(&[of, name], shown),
        None => show(&[of], shown),
    })
}

fn of_structure(command: &Structure) -> Result<Vec<Request>, Failure> {
    let guard = |name: &str, resources: &[String], what: &str| match resources {
        [] => put(&["structure", name, what], None),
        [one] => put(&["structure", name, "resources", one, what], None),
        several => put(&["structure", name, "resources", what], Some(json!({ "resources": several }))),
    };
    Ok(vec![match command {
        Structure::Show { name } => show(&["structure", name], Show::Structures(None)),
        Structure::Guard { name, resources } => guard(name, resources, "guard"),
        Structure::Unguard { name, resources } => guard(name, resources, "unguard"),
        Structure::Reset { name } => put(&["structure", name, "reset"], None),
        Structure::Set { name, resource, parameter, value } => set(&["structure", name, "resources", resource, parameter], value),
        Structure::Boundary { name, resource, value, kind } => {
            let boundary = set(&["structure", name, "limits", resource, "boundary"], value);
            let Some(kind) = kind else { return Ok(vec![boundary]) };
            let kind = set(&["structure", name, "limits", resource, "boundary_type"], kind);
            return Ok(vec![kind, boundary]);
        }
        Structure::State { name, state } => put(&["structure", name, "state", state], None),
        Structure::Subscribe { name, file } => put(&["structure", "container", name], Some(read(file)?)),
        Structure::Remove { name } => delete(&["structure", "container", name]),
    }])
}

fn of_rule(command: &Rule) -> Request {
    match command {
        Rule::Show { name } => show(&["rule", name], Show::Rules),
        Rule::Activate { name } => put(&["rule", name, "activate"], None),
        Rule::Deactivate { name } => put(&["rule", name, "deactivate"], None),
        Rule::Amount { name, value } => set(&["rule", name, "amount"], value),
        Rule::Policy { name, value } => set(&["rule", name, "policy"], value),
        Rule::EventsRequired { name, direction, value } => {
            put(&["rule", name, "events_required"], Some(json!({ "value": value, "event_type": direction })))
        }
    }
}

fn of_service(command: &Service) -> Request {
    match command {
        Service::Show { name } => show(&["service", name], Show::Services),
        Service::Set { name, key, values } => match values.as_slice() {
            [one] => set(&["service", name, key], one),
            several => put(&["service", name, key], Some(json!({ "value": several }))),
        },
    }
}

fn of_host(command: &Host) -> Result<Request, Failure> {
    Ok(match command {
        Host::Show { name } => show(&["structure", name], Show::Structures(None)),
        Host::Subscribe { name, file } => put(&["structure", "host", name], Some(read(file)?)),
        Host::Remove { name } => delete(&["structure", "host", name]),
        Host::Disks { name, file, set } => {
            let request = put(&["structure", "host", name, "disks"], Some(read(file)?));
            if *set { Request { method: Method::Post, ..request } } else { request }
        }
    })
}

fn of_app(command: &App) -> Result<Request, Failure> {
    Ok(match command {
        App::Show { name } => show(&["structure", name], Show::Structures(None)),
        App::Create { name, made } => {
            let body = made.document(|resources: Map<String, Value>| {
                // As containers are that agents discover: bands of a tenth, and nobody's until somebody says so.
                let band = json!({ "boundary": 10, "boundary_type": "percentage_of_max" });
                let limits: Map<String, Value> = resources.keys().map(|resource| (resource.clone(), band.clone())).collect();
                json!({
                    "app": { "name": name, "subtype": "application", "guard": false, "resources": resources },
                    "limits": { "resources": limits },
                })
            })?;
            put(&["structure", "apps", name], Some(body))
        }
        App::Remove { name } => delete(&["structure", "apps", name]),
        App::Join { app, container } => put(&["structure", "container", container, app], None),
        App::Leave { app, container } => delete(&["structure", "container", container, app]),
    })
}

fn of_user(command: &User) -> Result<Request, Failure> {
    Ok(match command {
        User::Show { name } => show(&["user", name], Show::Users),
        User::Create { name, made } => {
            let body =
                made.document(|resources| json!({ "user": { "name": name, "subtype": "user", "resources": resources } }))?;
            put(&["user", name], Some(body))
        }
        User::Remove { name } => delete(&["user", name]),
        User::Join { user, app } => put(&["user", "clusters", user, app], None),
        User::Leave { user, app } => delete(&["user", "clusters", user, app]),
        User::Set { name, resource, parameter, value } => set(&["user", name, "resources", resource, parameter], value),
    })
}

impl Made {
    fn document(&self, of: impl FnOnce(Map<String, Value>) -> Value) -> Result<Value, Failure> {
        if let Some(file) = &self.file {
            return read(file);
        }
        let mut resources = Map::new();
        for (resource, range) in [("cpu", &self.cpu), ("mem", &self.mem)] {
            if let Some(range) = range {
                let (min, max) = range
                    .split_once(':')
                    .and_then(|(min, max)| Some((min.parse::<u64>().ok()?, max.parse::<u64>().ok()?)))
                    .ok_or_else(|| Failure::Usage(format!("--{resource} is {range:?}, expected MIN:MAX, two whole numbers")))?;
                resources.insert(resource.to_owned(), json!({ "max": max, "min": min, "guard": false, "weight": 1 }));
            }
        }
        Ok(of(resources))
    }
}

fn timeseries(asked: &Timeseries) -> Request {
    let Timeseries { structure, user, service, resource, field, from, to, step } = asked;
    let keys = [
        ("structure", structure),
        ("user", user),
        ("service", service),
        ("resource", resource),
        ("field", field),
        ("from", from),
        ("to", to),
        ("step", step),
    ];
    with_keys("timeseries", Show::Series, &keys.map(|(key, value)| (key, value.as_deref())))
}

fn accounting(asked: &Accounting, output: Output) -> Request {
    let Accounting { structure, app, user, from, to } = asked;
    let format = (output == Output::Csv).then_some("csv");
    let keys = [("structure", structure), ("app", app), ("user", user), ("from", from), ("to", to)]
        .map(|(key, value)| (key, value.as_deref()));
    with_keys("accounting", Show::Bill, &[keys.as_slice(), &[("format", format)]].concat())
}

fn with_keys(path: &str, show: Show, keys: &[(&str, Option<&str>)]) -> Request {
    let keys: Vec<String> = keys.iter().filter_map(|(key, value)| Some(format!("{key}={}", escaped((*value)?)))).collect();
    let path = format!("/{path}{}{}", if keys.is_empty() { "" } else { "?" }, keys.join("&"));
    Request { method: Method::Get, path, body: None, show: Some(show) }
}

fn show(path: &[&str], show: Show) -> Request {
    Request { method: Method::Get, path: joined(path), body: None, show: Some(show) }
}

fn put(path: &[&str], body: Option<Value>) -> Request {
    Request { method: Method::Put, path: joined(path), body, show: None }
}

fn set(path: &[&str], value: &str) -> Request {
    put(path, Some(json!({ "value": value })))
}

fn delete(path: &[&str]) -> Request {
    Request { method: Method::Delete, path: joined(path), body: None, show: None }
}

fn joined(path: &[&str]) -> String {
    path.iter().flat_map(|part| ["/".to_owned(), escaped(part)]).collect()
}

/// A name as a part of a path, or a value of a query: what is not plainly a letter of one is escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%', hex(byte >> 4), hex(byte & 0xf)]),
        }
    }
    // A name of dots alone would be taken for a step in the path.
    if out.chars().all(|c| c == '.') { out.replace('.', "%2E") } else { out }
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

fn read(file: &Path) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|e| Failure::Usage(format!("cannot read {}: {e}", file.display())))?;
    serde_json::from_str(&text).map_err(|e| Failure::Usage(format!("{} is no JSON: {e}", file.display())))
}

#[cfg(test)]
mod tests;
