//! Answers as tables for people.

use comfy_table::{CellAlignment, Table, presets};
use headroom_model::number;
use headroom_model::resource::Resource;
use serde_json::{Map, Value};

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// `/fleet`
    Fleet,
    /// One structure or a list, of which only this subtype is shown.
    Structures(Option<&'static str>),
    /// The limits of one structure.
    Limits,
    /// One rule or a list.
    Rules,
    /// One service or a list.
    Services,
    /// One user or a list.
    Users,
    /// `/timeseries`
    Series,
    /// `/accounting`
    Bill,
    /// `/decisions`
    Decisions,
}

/// The answer's table, or what there is to say instead.
pub(super) fn render(show: Show, answer: &Value) -> String {
    let (head, rows) = match show {
        Show::Fleet => fleet(answer),
        Show::Structures(subtype) => structures(answer, subtype),
        Show::Limits => limits(answer),
        Show::Rules => rules(answer),
        Show::Services => services(answer),
        Show::Users => users(answer),
        Show::Series => series(answer),
        Show::Bill => bill(answer),
        Show::Decisions => decisions(answer),
    };
    if rows.is_empty() {
        return "there is none".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in &rows {
        table.add_row(row.iter().map(|cell| safe(cell)).collect::<Vec<_>>());
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        // Numbers stand below each other.
        let is_number = |row: &Vec<String>| row.get(at).is_none_or(|cell| cell == "-" || cell.parse::<f64>().is_ok());
        if rows.iter().all(is_number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

type Rows = (Vec<String>, Vec<Vec<String>>);

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A list, or the one document that is the answer.
fn list(answer: &Value) -> &[Value] {
    answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice)
}

/// A value in few letters.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), short),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(_) => value.to_string(),
    }
}

/// With no more digits than people read.
fn short(number: f64) -> String {
    let digits = if number.abs() < 1.0 { 1e4 } else { 1e2 };
    number::plain((number * digits).round() / digits).to_string()
}

/// What a terminal shows and does not obey: names come from elsewhere.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { '\u{fffd}' } else { c })
        .collect()
}

fn time(value: &Value) -> String {
    let Some(at) = value.as_f64() else { return "-".to_owned() };
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds since the epoch")]
    let time = jiff::Timestamp::from_millisecond((at * 1000.0) as i64).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The resources of a document, those that we know.
fn resources(document: &Value) -> impl Iterator<Item = (Resource, &Value)> {
    let entries = document.get("resources").and_then(Value::as_object);
    Resource::ALL.into_iter().filter_map(move |resource| Some((resource, entries?.get(resource.key())?)))
}

fn structures(answer: &Value, subtype: Option<&str>) -> Rows {
    let is_shown = |document: &&Value| subtype.is_none_or(|subtype| document["subtype"] == subtype);
    let mut rows = Vec::new();
    for document in list(answer).iter().filter(is_shown) {
        for (resource, entry) in resources(document) {
            let mut row = vec![text(&document["name"]), text(&document["subtype"]), text(&document["host"])];
            row.push(text(&Value::Bool(number::lenient_bool(&document["guard"]).unwrap_or_default())));
            row.push(resource.to_string());
            row.push(text(&Value::Bool(number::lenient_bool(&entry["guard"]).unwrap_or_default())));
            row.extend(["min", "current", "max", "usage", "free"].map(|field| text(&entry[field])));
            rows.push(row);
        }
    }
    (head(&["NAME", "KIND", "HOST", "GUARDED", "RESOURCE", "SCALED", "MIN", "CURRENT", "MAX", "USAGE", "FREE"]), rows)
}

fn limits(answer: &Value) -> Rows {
    // The inner object of resources is the answer.
    let row = |(resource, entry): (&String, &Value)| {
        let fields = ["boundary", "boundary_type", "upper", "lower"].map(|field| text(&entry[field]));
        [vec![resource.clone()], fields.to_vec()].concat()
    };
    let rows = answer.as_object().into_iter().flatten().map(row).collect();
    (head(&["RESOURCE", "BOUNDARY", "TYPE", "UPPER", "LOWER"]), rows)
}

fn rules(answer: &Value) -> Rows {
    let row = |rule: &Value| {
        let policy = if rule["rescale_policy"].is_null() { &rule["rescale_by"] } else { &rule["rescale_policy"] };
        let fields = ["name", "resource", "generates", "active"].map(|field| text(&rule[field]));
        let rest = ["amount", "factor", "events_to_remove"].map(|field| text(&rule[field]));
        [fields.to_vec(), vec![text(policy)], rest.to_vec()].concat()
    };
    let rows = list(answer).iter().map(row).collect();
    (head(&["NAME", "RESOURCE", "GENERATES", "ACTIVE", "POLICY", "AMOUNT", "FACTOR", "CONSUMES"]), rows)
}

fn services(answer: &Value) -> Rows {
    let mut rows = Vec::new();
    for service in list(answer) {
        let name = text(&service["name"]);
        rows.push(vec![name.clone(), "heartbeat".to_owned(), time(&service["heartbeat"])]);
        for (key, value) in service["config"].as_object().into_iter().flatten() {
            rows.push(vec![name.clone(), key.clone(), text(value)]);
        }
    }
    (head(&["SERVICE", "SETTING", "VALUE"]), rows)
}

fn users(answer: &Value) -> Rows {
    let mut rows = Vec::new();
    for user in list(answer) {
        for (resource, entry) in resources(user) {
            let fields = ["min", "current", "max", "usage"].map(|field| text(&entry[field]));
            rows.push([vec![text(&user["name"]), text(&user["clusters"]), resource.to_string()], fields.to_vec()].concat());
        }
    }
    (head(&["NAME", "APPLICATIONS", "RESOURCE", "MIN", "CURRENT", "MAX", "USAGE"]), rows)
}

fn fleet(answer: &Value) -> Rows {
    let now = answer["at"].as_f64().unwrap_or_default();
    let mut rows = Vec::new();
    for host in answer["hosts"].as_array().into_iter().flatten() {
        let state =
            host["quiet_since"].as_f64().map_or_else(|| "reports".to_owned(), |since| format!("quiet for {}", age(now - since)));
        let mut row = vec![text(&host["name"]), state, text(&host["version"]), text(&host["containers"]), text(&host["guarded"])];
        for resource in ["cpu", "mem"] {
            let entry = &host["resources"][resource];
            row.push(text(&entry["free"]));
            row.push(text(&entry["max"]));
        }
        let problems = host["problems"].as_array().map_or(0, Vec::len) + host["notes"].as_array().map_or(0, Vec::len);
        row.push(if problems == 0 { "-".to_owned() } else { format!("{problems}, see -o json") });
        rows.push(row);
    }
    let unheard = answer["unheard"].as_array().into_iter().flatten();
    rows.extend(unheard.map(|name| [vec![text(name), "not heard of".to_owned()], vec!["-".to_owned(); 8]].concat()));
    (head(&["HOST", "STATE", "AGENT", "CONTAINERS", "GUARDED", "CPU FREE", "CPU MAX", "MEM FREE", "MEM MAX", "PROBLEMS"]), rows)
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86400.0),
    }
}

fn series(answer: &Value) -> Rows {
    let none = Map::new();
    let metrics = answer["metrics"].as_object().unwrap_or(&none);
    let short_name = |name: &String| {
        ["structure.", "limit.", "conf."].iter().find_map(|of| name.strip_prefix(of)).unwrap_or(name).to_uppercase()
    };
    let names = std::iter::once("TIME (UTC)".to_owned()).chain(metrics.keys().map(short_name)).collect();
    let row = |(at, when): (usize, &Value)| {
        std::iter::once(time(when)).chain(metrics.values().map(|values| text(&values[at]))).collect()
    };
    (names, answer["times"].as_array().into_iter().flatten().enumerate().map(row).collect())
}

fn bill(answer: &Value) -> Rows {
    let currency = text(&answer["currency"]);
    let mut rows = Vec::new();
    let mut add = |who: [String; 3], resources: &Value| {
        for (resource, amounts) in resources.as_object().into_iter().flatten() {
            let fields = ["unit", "used", "allocated", "reserved", "utilization"].map(|field| text(&amounts[field]));
            let costs = ["used", "allocated", "reserved"].map(|field| text(&amounts["cost"][field]));
            rows.push([who.to_vec(), vec![resource.clone()], fields.to_vec(), costs.to_vec()].concat());
        }
    };
    for account in answer["accounts"].as_array().into_iter().flatten() {
        add(["structure", "host", "application"].map(|field| text(&account[field])), &account["resources"]);
    }
    add(["all", "-", "-"].map(str::to_owned), &answer["resources"]);
    if answer["bill"].is_object() {
        let costs = ["used", "allocated", "reserved"].map(|field| text(&answer["bill"][field]));
        rows.push([vec!["bill".to_owned()], vec!["-".to_owned(); 8], costs.to_vec()].concat());
    }
    let costs = ["COST", "IF ALLOCATED", "IF RESERVED"].map(|cost| format!("{cost} ({currency})"));
    let names = head(&["STRUCTURE", "HOST", "APPLICATION", "RESOURCE", "UNIT", "USED", "ALLOCATED", "RESERVED", "UTILIZATION"]);
    ([names, costs.to_vec()].concat(), rows)
}

fn decisions(answer: &Value) -> Rows {
    let row = |entry: &Value| {
        let what = match &entry["what"] {
            Value::Object(decision) => {
                let of = |key: &str| decision.get(key).map_or_else(|| "-".to_owned(), text);
                let amount = |key: &str| decision.get(key).map_or_else(|| "-".to_owned(), limit);
                format!("{} {} -> {}, {}: {}", of("action"), amount("from"), amount("to"), of("outcome"), of("why"))
            }
            what => text(what),
        };
        vec![time(&entry["at"]), text(&entry["who"]), text(&entry["host"]), text(&entry["structure"]), what]
    };
    (head(&["TIME (UTC)", "WHO", "HOST", "STRUCTURE", "WHAT"]), list(answer).iter().map(row).collect())
}

/// `{"at": 175}` or `"unlimited"`.
fn limit(value: &Value) -> String {
    value.get("at").map_or_else(|| "none".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_a_resource() {
        let answer = json!([
            { "name": "cont0", "subtype": "container", "host": "host0", "guard": "true", "resources": {
                "cpu": { "max": 200, "min": "50", "current": 175.5, "usage": 0.123_456, "guard": false }, "disk": { "name": "sda" } } },
            { "name": "host0", "subtype": "host", "host": "host0", "resources": { "cpu": { "max": 400, "free": 225 } } },
        ]);
        let table = render(Show::Structures(Some("container")), &answer);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 2, "{table}");
        assert_eq!(lines[1], ["cont0", "container", "host0", "yes", "cpu", "no", "50", "175.5", "200", "0.1235", "-"]);
        assert_eq!(render(Show::Structures(None), &answer[1]).lines().count(), 2);
        assert_eq!(render(Show::Structures(None), &json!([])), "there is none");
    }

    #[test]
    fn a_row_a_moment() {
        let answer = json!({ "times": [1_763_799_300, 1_763_799_305.5], "metrics": {
            "structure.cpu.usage": [12.345, null], "limit.cpu.upper": [175, 175] } });
        let table = render(Show::Series, &answer);
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[0].starts_with("TIME (UTC)") && lines[0].contains("CPU.USAGE") && lines[0].contains("CPU.UPPER"),
            "{table}"
        );
        assert!(
            lines[1].starts_with("2025-11-22 08:15:00") && lines[1].contains("12.35") || lines[1].contains("12.34"),
            "{table}"
        );
        assert!(lines[2].contains("08:15:05") && lines[2].split_whitespace().any(|cell| cell == "-"), "{table}");
    }

    #[test]
    fn every_kind_has_a_table() {
        let service =
            json!({ "name": "guardian", "heartbeat": "", "config": { "ACTIVE": true, "GUARDABLE_RESOURCES": ["cpu", "mem"] } });
        assert!(render(Show::Services, &service).contains("cpu,mem"));
        let rule = json!({ "name": "CpuRescaleUp", "resource": "cpu", "rescale_by": "amount", "amount": 75, "active": true });
        assert!(render(Show::Rules, &json!([rule])).contains("75"));
        assert!(render(Show::Limits, &json!({ "cpu": { "boundary": 25, "upper": 175, "lower": 150 } })).contains("175"));
        let user = json!({ "name": "ann", "clusters": ["app1", "app2"], "resources": { "cpu": { "max": 800, "min": 0 } } });
        assert!(render(Show::Users, &user).contains("app1,app2"));
        let fleet = json!({ "at": 1000.0, "unheard": ["host9"], "hosts": [{ "name": "host0", "quiet_since": 400.0, "version": "0.1.0",
            "containers": 3, "guarded": 1, "resources": { "cpu": { "free": 100, "max": 400 } }, "problems": ["x"] }] });
        let table = render(Show::Fleet, &fleet);
        assert!(table.contains("quiet for 10 min") && table.contains("host9") && table.contains("1, see"), "{table}");
        let cost = json!({ "used": 0.04, "allocated": 0.08, "reserved": 0.16 });
        let amounts = json!({ "cpu": { "unit": "share-hours", "used": 100, "allocated": 200, "reserved": 400, "utilization": 0.5, "cost": cost } });
        let bill = json!({ "currency": "EUR", "bill": cost, "resources": amounts, "accounts": [{ "structure": "cont0", "host": "host0", "resources": amounts }] });
        let table = render(Show::Bill, &bill);
        assert_eq!(table.lines().count(), 4, "{table}");
        assert!(table.contains("IF RESERVED (EUR)") && table.lines().last().unwrap().starts_with("bill"), "{table}");
        let decided =
            json!({ "action": "CpuRescaleUp", "from": { "at": 200.0 }, "to": "unlimited", "outcome": "applied", "why": "w" });
        let table = render(
            Show::Decisions,
            &json!([{ "at": 0, "who": "agent", "what": decided }, { "at": 0, "who": "ann", "what": "guard" }]),
        );
        assert!(table.contains("CpuRescaleUp 200 -> none, applied: w") && table.contains("guard"), "{table}");
    }

    #[test]
    fn names_do_not_drive_the_terminal() {
        let user = json!({ "name": "a\u{1b}[31mb\nc\u{202e}", "resources": { "cpu": { "max": 1 } } });
        let table = render(Show::Users, &user);
        assert!(table.contains("a\u{fffd}[31mb\u{fffd}c\u{fffd}"), "{table}");
    }
}
