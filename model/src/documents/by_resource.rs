//! `"resources": {"cpu": {..}, "mem": {..}}`: an entry for each resource, and whatever else stands there.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::Rest;
use crate::resource::{PerResource, Resource};

/// An entry for each resource that has one. What is no resource (`disk`, `disks`) stays in `rest`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByResource<T> {
    /// The entries.
    pub known: PerResource<Option<T>>,
    /// Everything else, as it is.
    pub rest: Rest,
}

/// No entries, whatever they would be of.
impl<T> Default for ByResource<T> {
    fn default() -> Self {
        Self { known: PerResource::from_fn(|_| None), rest: Rest::new() }
    }
}

impl<T: Serialize> Serialize for ByResource<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (resource, entry) in self.known.present() {
            map.serialize_entry(resource.key(), entry)?;
        }
        for (key, value) in &self.rest {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for ByResource<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = Map::<String, Value>::deserialize(deserializer)?;
        let mut known = PerResource::from_fn(|_| None);
        for resource in Resource::ALL {
            if let Some(value) = rest.remove(resource.key()) {
                let entry = T::deserialize(value).map_err(|e| D::Error::custom(format_args!("resources.{resource}: {e}")))?;
                known[resource] = Some(entry);
            }
        }
        Ok(Self { known, rest })
    }
}
