//! Lists of texts in documents: names of members, of resources, of fields.

use serde_json::Value;

/// The texts of a list. What is no text there counts for nothing, and so does what is no list.
pub(crate) fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_texts_count() {
        assert_eq!(texts(&json!(["a", 1, null, "b"])).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(texts(&json!("a")).count(), 0);
    }
}
