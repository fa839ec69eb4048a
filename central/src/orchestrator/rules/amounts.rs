//! The numbers that a policy needs. Most rules have none for the policies that they do not follow, and there is no path to set them: a rule
//! that is given another policy gets those that are missing.

use headroom_model::documents::rule::Rule;
use headroom_model::number::plain;
use headroom_model::policy::request::Direction;
use headroom_model::policy::rules::direction;
use serde_json::Value;

use crate::orchestrator::fields::{number, set};
use crate::store::Body;

/// What a limit is multiplied with where no factor was chosen: doubled, halved.
const FACTORS: (f64, f64) = (2.0, 0.5);

/// Gives a rule that is to follow `policy` the numbers that this needs. An amount that a rule which scales down does not have is that of
/// the rule which scales the same resource up.
pub(super) fn complete(body: &mut Body, policy: &str, way: Option<Direction>, all: impl Fn() -> Vec<Body>) {
    let scales_down = way == Some(Direction::Down);
    if policy == "multiplicative" && !has_number(body, "factor") {
        set(body, "factor", if scales_down { FACTORS.1 } else { FACTORS.0 });
    }
    if !scales_down || !["amount", "proportional"].contains(&policy) {
        return;
    }
    let amount = number(body, "amount").or_else(|| upward_amount(body.get("resource")?, &all()));
    if let Some(amount) = amount {
        // Proportional: what it is multiplied with is negative already, the usage being below `upper`.
        let signed = if policy == "amount" { -amount.abs() } else { amount.abs() };
        body.insert("amount".into(), plain(signed));
    }
}

fn has_number(body: &Body, key: &str) -> bool {
    number(body, key).is_some()
}

fn upward_amount(resource: &Value, all: &[Body]) -> Option<f64> {
    let is_up = |body: &&Body| {
        let is_of = body.get("resource") == Some(resource) && body.get("generates").is_some_and(|g| g == "requests");
        let rule = || serde_json::from_value::<Rule>(Value::Object((*body).clone())).ok();
        is_of && rule().is_some_and(|rule| direction(&rule) == Ok(Some(Direction::Up)))
    };
    all.iter().filter(is_up).find_map(|body| number(body, "amount").filter(|amount| *amount > 0.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(rule: &Value, policy: &str, way: Direction) -> Value {
        let up =
            json!({"name": "CpuRescaleUp", "resource": "cpu", "generates": "requests", "rescale_type": "up", "amount": "75"});
        let mut body = rule.as_object().unwrap().clone();
        complete(&mut body, policy, Some(way), || vec![Body::new(), up.as_object().unwrap().clone()]);
        Value::Object(body)
    }

    #[test]
    fn what_is_missing_is_given() {
        let cpu = json!({"resource": "cpu"});
        let table = [
            ("multiplicative", Direction::Up, json!({"resource": "cpu", "factor": 2})),
            ("multiplicative", Direction::Down, json!({"resource": "cpu", "factor": 0.5})),
            ("amount", Direction::Down, json!({"resource": "cpu", "amount": -75})),
            ("proportional", Direction::Down, json!({"resource": "cpu", "amount": 75})),
            ("amount", Direction::Up, cpu.clone()),
            ("fit_to_usage", Direction::Down, cpu.clone()),
        ];
        for (policy, way, expected) in table {
            assert_eq!(completed(&cpu, policy, way), expected, "{policy} {way:?}");
        }
        let net = json!({"resource": "net"});
        assert_eq!(completed(&net, "amount", Direction::Down), net, "no rule scales it up");
    }

    #[test]
    fn what_was_chosen_stays_but_its_sign_follows_the_policy() {
        let own = json!({"resource": "cpu", "amount": -20, "factor": 0.9});
        assert_eq!(completed(&own, "amount", Direction::Down), own);
        assert_eq!(completed(&own, "proportional", Direction::Down)["amount"], 20);
        assert_eq!(completed(&own, "multiplicative", Direction::Down), own);
    }
}
