//! What a request document asks for. Pure.

use headroom_model::documents::request::Request as Document;
use headroom_model::policy::request::Request;
use serde_json::Value;

use crate::store::Body;

/// How a request looks, for those who made one that is none.
const EXPECTED: &str = r#"expected {"structure": "cont0", "resource": "cpu", "amount": 75}, and field ("current" or "max"), priority, pair_structure and timestamp where they matter"#;

/// The request, made at `now` (seconds since the epoch) unless it says that it is older; or why it makes no sense, and what would.
pub(crate) fn read(body: &Body, now: f64) -> Result<Request, String> {
    let document: Document = serde_json::from_value(Value::Object(body.clone())).map_err(|e| format!("{e}; {EXPECTED}"))?;
    let mut request = Request::from_document(&document, now);
    request.timestamp = request.timestamp.min(now);
    if request.structure.is_empty() {
        return Err(format!("structure is empty; {EXPECTED}"));
    }
    if request.amount == 0.0 {
        return Err("amount is 0, expected by how much the limit is to change, negative downwards".to_owned());
    }
    if request.pair.as_ref() == Some(&request.structure) {
        return Err(format!("pair_structure is {:?} itself, expected another structure", request.structure));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use headroom_model::policy::request::Field;
    use headroom_model::resource::Resource;
    use serde_json::json;

    use super::*;

    fn of(body: &Value) -> Result<Request, String> {
        read(body.as_object().unwrap(), 1000.0)
    }

    #[test]
    fn what_programs_write_is_understood() {
        let written = json!({"type": "request", "structure": "cont0", "structure_type": "container", "resource": "cpu", "amount": "-75",
            "action": "CpuRescaleDown", "field": "max", "priority": "2", "pair_structure": "cont1", "timestamp": 990, "host": "host0", "x": 1});
        let request = of(&written).unwrap();
        assert_eq!((&*request.structure, request.resource, request.field), ("cont0", Resource::Cpu, Field::Max));
        assert_eq!((request.amount, request.priority, request.pair.as_deref()), (-75.0, 2.0, Some("cont1")));
        assert_eq!(request.timestamp, 990.0);
        let short = of(&json!({"structure": "cont0", "resource": "mem", "amount": 256})).unwrap();
        assert_eq!((short.field, short.priority, short.pair, short.timestamp), (Field::Current, 0.0, None, 1000.0));
        let ahead = of(&json!({"structure": "cont0", "resource": "mem", "amount": 256, "timestamp": 5000})).unwrap();
        assert_eq!(ahead.timestamp, 1000.0, "a clock that is ahead makes nobody wait longer");
    }

    #[test]
    fn what_makes_no_sense_says_what_would() {
        let table = [
            (json!({"structure": "c", "resource": "cpu"}), "missing field `amount`; expected {\"structure\""),
            (json!({"structure": "c", "amount": 1}), "missing field `resource`; expected"),
            (json!({"structure": "c", "resource": "cpus", "amount": 1}), "unknown resource \"cpus\"; known are cpu, mem"),
            (json!({"structure": "c", "resource": "cpu", "amount": "lots"}), "\"lots\" is not a number; expected"),
            (
                json!({"structure": "c", "resource": "cpu", "amount": 1, "field": "min"}),
                "unknown variant `min`, expected `current` or `max`",
            ),
            (json!({"structure": "c", "resource": "cpu", "amount": 0}), "amount is 0, expected by how much"),
            (json!({"structure": "", "resource": "cpu", "amount": 1}), "structure is empty; expected"),
            (json!({"structure": "c", "resource": "cpu", "amount": 1, "pair_structure": "c"}), "is \"c\" itself"),
        ];
        for (body, expected) in table {
            let why = of(&body).unwrap_err();
            assert!(why.contains(expected), "{body}: {why}");
        }
    }
}
