//! Which host a request goes to, or why it goes nowhere. Pure, but for where structures are.

use std::sync::Arc;

use headroom_model::policy::request::Request;

/// Where a structure is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is no document of this name.
    Unknown,
    /// It is an application, a host.
    NoContainer(String),
    /// No host reports it.
    Nowhere,
    /// Its host is quiet.
    Quiet(Arc<str>),
    /// On a host whose agent reports.
    On(Arc<str>),
}

/// What is to be done with a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This host's Scaler is to carry it out.
    Ask(Arc<str>),
    /// Nothing yet, for this reason.
    Wait(String),
    /// It is refused, for this reason.
    Refuse(String),
}

/// What is to be done with `request`. `has_partner`: the other half of its pair is there.
pub(super) fn next(request: &Request, has_partner: bool, place: impl Fn(&str) -> Place) -> Next {
    let here = find(&request.structure, &place);
    let Some(partner) = &request.pair else { return here };
    let there = find(partner, &place);
    match (here, there) {
        (Next::Refuse(why), _) | (_, Next::Refuse(why)) => Next::Refuse(why),
        (Next::Ask(here), Next::Ask(there)) if here != there => Next::Refuse(format!(
            "{:?} is on host {here:?} and {partner:?} on host {there:?}; a pair is carried out on one host only, in this version",
            request.structure
        )),
        (Next::Ask(_), Next::Ask(_)) if !has_partner => Next::Wait(format!(
            "the other half of its pair is missing: a request for {partner:?} that names {:?}, of the same resource and field and the \
             opposite amount",
            request.structure
        )),
        (Next::Wait(why), _) | (_, Next::Wait(why)) => Next::Wait(why),
        (ask, _) => ask,
    }
}

fn find(structure: &str, place: &impl Fn(&str) -> Place) -> Next {
    match place(structure) {
        Place::Unknown => Next::Refuse(format!("there is no structure {structure:?}")),
        Place::NoContainer(what) => Next::Refuse(format!("{structure:?} is of subtype {what:?}, expected a container's name")),
        Place::Nowhere => Next::Wait(format!("no host reports container {structure:?}")),
        Place::Quiet(host) => Next::Wait(format!("host {host:?}, which has {structure:?}, is quiet")),
        Place::On(host) => Next::Ask(host),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::requests::intake;

    fn place(name: &str) -> Place {
        match name {
            "a0" | "b0" => Place::On("host0".into()),
            "a1" => Place::On("host1".into()),
            "q2" => Place::Quiet("host2".into()),
            "n" => Place::Nowhere,
            "app1" => Place::NoContainer("application".into()),
            _ => Place::Unknown,
        }
    }

    fn of(structure: &str, pair: &str, has_partner: bool) -> Next {
        let body = json!({"structure": structure, "resource": "cpu", "amount": 10, "pair_structure": pair});
        next(&intake::read(body.as_object().unwrap(), 0.0).unwrap(), has_partner, place)
    }

    #[test]
    fn one_goes_to_its_host_and_a_pair_to_one_host() {
        assert_eq!(of("a0", "", false), Next::Ask("host0".into()));
        assert_eq!(of("a0", "b0", true), Next::Ask("host0".into()));
        let says = |next: Next, words: &str| match next {
            Next::Wait(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        };
        says(of("q2", "", false), "host \"host2\", which has \"q2\", is quiet");
        says(of("n", "", false), "no host reports");
        says(of("a0", "b0", false), "the other half of its pair is missing: a request for \"b0\" that names \"a0\"");
        says(of("a0", "q2", true), "is quiet");
        says(of("n", "a0", true), "no host reports");
    }

    #[test]
    fn what_can_never_be_done_is_refused_at_once() {
        let says = |next: Next, words: &str| match next {
            Next::Refuse(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        };
        says(of("x", "", false), "there is no structure \"x\"");
        says(of("a0", "x", false), "there is no structure \"x\"");
        says(of("app1", "", false), "is of subtype \"application\", expected a container's name");
        says(of("a0", "a1", false), "a pair is carried out on one host only");
        says(of("a1", "a0", true), "\"a1\" is on host \"host1\" and \"a0\" on host \"host0\"");
    }
}
