//! Texts of documents in less room. A fleet has two documents a container, which differ in names and a few numbers: what stands in most of
//! them is one character each. JSON has control characters only as escapes, so these are free to stand for it.

/// What stands in most texts, each by the character of its number. Of those that begin alike the longer one is first.
const COMMON: [&str; 27] = [
    r#"{"discovered":true,"guard":false,"host":""#,
    r#"{"discovered":true,"guard":true,"host":""#,
    r#"{"guard":false,"host":""#,
    r#"{"guard":true,"host":""#,
    r#"","host_rescaler_ip":""#,
    r#"","host_rescaler_port":"#,
    r#","name":""#,
    r#"{"name":""#,
    r#"","resources":{"cpu":{"#,
    r#"","resources":{"#,
    r#"},"mem":{"#,
    r#"},"disk_read":{"#,
    r#"},"disk_write":{"#,
    r#"},"net":{"#,
    r#""boundary":"#,
    r#","boundary_type":"percentage_of_max""#,
    r#","boundary_type":""#,
    r#""current":"#,
    r#","guard":false"#,
    r#","guard":true"#,
    r#""guard":false,"max":"#,
    r#""guard":true,"max":"#,
    r#","max":"#,
    r#","min":"#,
    r#","weight":"#,
    r#"}},"subtype":"container","type":"structure"}"#,
    r#"}},"type":"limit"}"#,
];

/// What these begin with.
const FIRST: [char; 4] = ['{', '}', '"', ','];

/// `text`: JSON without spaces, its keys sorted, as `serde_json` writes it. Another is only not as short.
pub(super) fn shorten(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text.chars();
    loop {
        let left = rest.as_str();
        let Some(next) = rest.next() else { return short };
        let common = || (0_u8..).zip(&COMMON).find_map(|(number, common)| Some((number, left.strip_prefix(common)?)));
        match FIRST.contains(&next).then(common).flatten() {
            Some((number, left)) => {
                short.push(char::from(number));
                rest = left.chars();
            }
            None => short.push(next),
        }
    }
}

/// The text that was shortened.
pub(super) fn expand(short: &str) -> String {
    let mut text = String::with_capacity(5 * short.len());
    for next in short.chars() {
        match COMMON.get(next as usize) {
            Some(common) => text.push_str(common),
            None => text.push(next),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_containers_documents_take_little() {
        let amounts = |max: u32| json!({"current": max, "guard": true, "max": max, "min": 0});
        let container = json!({
            "discovered": true, "guard": false, "host": "host17", "host_rescaler_ip": "host17", "host_rescaler_port": 8000,
            "name": "cont17-4", "resources": {"cpu": amounts(200), "mem": amounts(4096)}, "subtype": "container", "type": "structure",
        });
        let boundary = json!({"boundary": 25, "boundary_type": "percentage_of_max"});
        let limits = json!({"name": "cont17-4", "resources": {"cpu": boundary, "mem": boundary}, "type": "limit"});
        for (document, most) in [(container, 60), (limits, 20)] {
            let text = document.to_string();
            let short = shorten(&text);
            assert!(short.len() <= most, "{} bytes of {}: {short:?}", short.len(), text.len());
            assert_eq!(expand(&short), text);
        }
    }

    #[test]
    fn those_that_begin_alike_have_the_longer_one_first_and_all_begin_as_is_said() {
        for (at, common) in COMMON.iter().enumerate() {
            assert!(common.starts_with(FIRST), "{common}");
            assert!(COMMON[..at].iter().all(|earlier| !common.starts_with(earlier)), "{common} is never found");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(names in proptest::collection::vec((any::<String>(), 0..COMMON.len()), 0..8)) {
            // What is common stands in names, too.
            let fields = names.iter().map(|(name, at)| (format!("{name}{}", COMMON[*at]), Value::from(name.as_str())));
            let text = Value::Object(fields.collect()).to_string();
            prop_assert_eq!(expand(&shorten(&text)), text);
        }
    }
}
