//! The threshold on the count of events in a rule's condition.

use headroom_model::number::lenient;
use headroom_model::policy::request::Direction;
use serde_json::Value;

/// Sets the number that the count of one direction's events is compared with; false where the condition has no such comparison. Of
/// several, it is the one that asks for so many at least, where `at_least`, else the one that allows so many at most.
pub(super) fn set_threshold(condition: &mut Value, counted: Direction, at_least: bool, threshold: i64) -> bool {
    let variable = match counted {
        Direction::Up => "events.scale.up",
        Direction::Down => "events.scale.down",
    };
    let mut found = Vec::new();
    comparisons(condition, variable, &mut found);
    let place = found.iter().position(|of| of.is_lower_bound == at_least).unwrap_or(0);
    if place >= found.len() {
        return false;
    }
    *found.swap_remove(place).number = threshold.into();
    true
}

struct Comparison<'a> {
    is_lower_bound: bool,
    number: &'a mut Value,
}

fn comparisons<'a>(condition: &'a mut Value, variable: &str, found: &mut Vec<Comparison<'a>>) {
    match condition {
        Value::Array(parts) => parts.iter_mut().for_each(|part| comparisons(part, variable, found)),
        Value::Object(operators) => {
            for (operator, arguments) in operators {
                match arguments.as_array().and_then(|parts| place_of_number(parts, variable)) {
                    Some(place) if is_comparison(operator) => {
                        let is_lower_bound = match operator.as_str() {
                            ">" | ">=" => place == 1,
                            "<" | "<=" => place == 0,
                            _ => true,
                        };
                        found.extend(arguments.get_mut(place).map(|number| Comparison { is_lower_bound, number }));
                    }
                    _ => comparisons(arguments, variable, found),
                }
            }
        }
        _ => {}
    }
}

fn is_comparison(operator: &str) -> bool {
    [">", ">=", "<", "<=", "==", "==="].contains(&operator)
}

/// Where the number stands in `[{"var": variable}, number]`, or the other way about.
fn place_of_number(parts: &[Value], variable: &str) -> Option<usize> {
    let is_variable = |part: &Value| match part.get("var") {
        Some(Value::Array(path)) => path.first().is_some_and(|name| name == variable),
        Some(name) => name == variable,
        None => false,
    };
    match parts {
        [left, right] if is_variable(left) && lenient(right).is_some() => Some(1),
        [left, right] if is_variable(right) && lenient(left).is_some() => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(mut condition: Value, counted: Direction, at_least: bool) -> Option<Value> {
        set_threshold(&mut condition, counted, at_least, 9).then_some(condition)
    }

    #[test]
    fn the_comparison_is_found_wherever_it_stands() {
        let up = |n: Value| json!({">=": [{"var": "events.scale.up"}, n]});
        let down = |n: Value| json!({"<=": [{"var": "events.scale.down"}, n]});
        let both = |u, d| json!({"and": [up(u), down(d)]});
        assert_eq!(set(both(json!(2), json!(2)), Direction::Up, true), Some(both(json!(9), json!(2))));
        assert_eq!(set(both(json!("2"), json!(2)), Direction::Up, true), Some(both(json!(9), json!(2))));
        assert_eq!(set(both(json!(2), json!(2)), Direction::Down, false), Some(both(json!(2), json!(9))));
        assert_eq!(set(up(json!(2)), Direction::Up, true), Some(up(json!(9))));
        let nested = json!({"or": [{"!": [up(json!(1))]}]});
        assert_eq!(set(nested, Direction::Up, true), Some(json!({"or": [{"!": [up(json!(9))]}]})));
        let turned = json!({"<": [3, {"var": ["events.scale.up", 0]}]});
        assert_eq!(set(turned, Direction::Up, true), Some(json!({"<": [9, {"var": ["events.scale.up", 0]}]})));
    }

    #[test]
    fn of_two_bounds_the_one_that_is_meant() {
        let band = |least: i64, most: i64| json!({"and": [{"<=": [{"var": "events.scale.up"}, most]}, {">=": [{"var": "events.scale.up"}, least]}]});
        assert_eq!(set(band(2, 20), Direction::Up, true), Some(band(9, 20)));
        assert_eq!(set(band(2, 20), Direction::Up, false), Some(band(2, 9)));
    }

    #[test]
    fn a_condition_without_it_stays_as_it_is() {
        let usage = json!({">": [{"var": "cpu.structure.cpu.usage"}, 5]});
        for condition in [usage, json!(null), json!("x"), json!({"and": []}), json!({">=": [{"var": "events.scale.down"}, 5]})] {
            assert_eq!(set(condition.clone(), Direction::Up, true), None, "{condition}");
        }
    }
}
