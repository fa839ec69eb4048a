//! What the body of a PUT asks for, checked against the host.

use std::mem::discriminant;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use serde_json::{Map, Value};

use super::command::Change;
use super::cpu_list;
use super::error::ApiError;
use crate::status::HostStatus;

/// A container with less memory, in MiB, than this is likelier a slip than a wish.
const LEAST_MEMORY: f64 = 64.0;

/// Keys of the document that a PUT may carry (clients send back what they got) and that mean nothing in it.
const READ_ONLY: &[&str] = &[
    "effective_num_cpus",
    "effective_cpu_limit",
    "device_path",
    "major",
    "minor",
    "device_name_in_container",
    "device_name_in_host",
];

/// The changes in a body, each kind once.
pub(super) fn changes(body: &[u8], host: &HostStatus) -> Result<Vec<Change>, ApiError> {
    let expected = "expected a JSON object such as {\"cpu\": {\"cpu_allowance_limit\": 200}}";
    let body: Value = serde_json::from_slice(body).map_err(|e| ApiError::bad(format!("the body is no JSON: {e}; {expected}")))?;
    let parts = body.as_object().ok_or_else(|| ApiError::bad(expected))?;
    let mut changes: Vec<Change> = Vec::new();
    for (part, settings) in parts {
        let settings = settings_of(part, settings)?;
        for (key, value) in settings {
            let named = |message| ApiError::bad(format!("{part}.{key} = {value}: {message}"));
            let Some(change) = change(part, key, value, host).map_err(named)? else { continue };
            match changes.iter().find(|known| discriminant(*known) == discriminant(&change)) {
                Some(known) if *known == change => {}
                Some(_) => return Err(named("the body also asks for another value".to_owned())),
                None => changes.push(change),
            }
        }
    }
    Ok(changes)
}

fn settings_of<'a>(part: &str, settings: &'a Value) -> Result<&'a Map<String, Value>, ApiError> {
    if !["cpu", "mem", "disk", "disk_read", "disk_write", "net"].contains(&part) {
        return Err(ApiError::bad(format!("{part:?} cannot be set; known are cpu, mem, disk_read, disk_write, net")));
    }
    settings.as_object().ok_or_else(|| ApiError::bad(format!("{part} = {settings}: expected an object of settings")))
}

/// What one setting changes; `None` for those that only describe. A disk's write limit is taken as it is meant wherever it stands.
fn change(part: &str, key: &str, value: &Value, host: &HostStatus) -> Result<Option<Change>, String> {
    let limit = |resource| limit(resource, value, host);
    let is_disk = part.starts_with("disk");
    Ok(Some(match (part, key) {
        ("cpu", "cpu_allowance_limit") => Change::CpuLimit(limit(Resource::Cpu)?),
        ("cpu", "cpu_num") => Change::Cpuset(cpus(value, &host.online_cpus)?),
        ("mem", "mem_limit") => Change::Memory(limit(Resource::Mem)?),
        ("net", "net_limit") => Change::Net(limit(Resource::Net)?),
        (_, "disk_read_limit") if is_disk => Change::DiskRead(limit(Resource::DiskRead)?),
        (_, "disk_write_limit") if is_disk => Change::DiskWrite(limit(Resource::DiskWrite)?),
        (_, "unit") => return unit(part, value).map(|()| None),
        (_, key) if READ_ONLY.contains(&key) => return Ok(None),
        _ => return Err(format!("there is no such setting; expected {}", expected_keys(part))),
    }))
}

fn expected_keys(part: &str) -> &'static str {
    match part {
        "cpu" => "cpu_allowance_limit or cpu_num",
        "mem" => "mem_limit",
        "net" => "net_limit",
        _ => "disk_read_limit or disk_write_limit",
    }
}

fn unit(part: &str, value: &Value) -> Result<(), String> {
    let known = match part {
        "mem" => "M",
        "cpu" => return Err("cpu has no unit: its amounts are shares, 100 for a core".to_owned()),
        _ => "Mbit",
    };
    match value.as_str() {
        Some(unit) if unit == known || unit == "unlimited" => Ok(()),
        _ => Err(format!("expected the unit {known:?}")),
    }
}

fn limit(resource: Resource, value: &Value, host: &HostStatus) -> Result<Limit, String> {
    let amount = number(value).ok_or("expected a number, or -1 for no limit")?;
    let lifts = (amount + 1.0).abs() < f64::EPSILON || (resource == Resource::Cpu && amount.abs() < f64::EPSILON);
    if lifts {
        return Ok(Limit::Unlimited);
    }
    let unit = resource.unit();
    let least = match resource {
        Resource::Cpu => host.least_cpu,
        Resource::Mem => LEAST_MEMORY,
        _ => 1.0,
    };
    if amount < least {
        return Err(format!("expected at least {least} {unit}, or -1 for no limit"));
    }
    match host.max[resource] {
        Some(max) if amount > max => Err(format!("the host has {max} {unit}; -1 takes the limit off")),
        _ => Ok(Limit::At(amount)),
    }
}

/// A number, or one in quotes.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| n.is_finite())
}

fn cpus(value: &Value, online: &[u32]) -> Result<Vec<u32>, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(cpu) => cpu.to_string(),
        _ => return Err("expected a list of CPUs such as \"0,1\" or \"0-3\"".to_owned()),
    };
    let cpus = cpu_list::parse(&text)?;
    if cpus.is_empty() {
        return Err("expected at least one CPU".to_owned());
    }
    match cpus.iter().find(|cpu| !online.contains(cpu)) {
        Some(cpu) => Err(format!("CPU {cpu} is not online; the host has {online:?}")),
        None => Ok(cpus),
    }
}
