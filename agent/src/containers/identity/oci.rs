//! The annotations in the `config.json` that an OCI runtime was started with: all that it knows of labels.

use serde::Deserialize;

use super::Labels;
use super::files::Said;

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: Option<Labels>,
}

/// CRI-O keeps a pod's labels and annotations as JSON in these two.
const FOLDED: [&str; 2] = ["io.kubernetes.cri-o.Labels", "io.kubernetes.cri-o.Annotations"];

pub(super) fn read(text: &str) -> Result<Said, String> {
    let spec: Spec = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut labels = spec.annotations.unwrap_or_default();
    for key in FOLDED {
        let folded = labels.get(key).and_then(|text| serde_json::from_str::<Labels>(text).ok());
        labels.extend(folded.unwrap_or_default());
    }
    Ok(Said { labels, ..Said::default() })
}
