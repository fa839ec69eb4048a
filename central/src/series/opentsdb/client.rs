//! OpenTSDB's HTTP interface.

use std::time::Duration;

use serde_json::Value;

/// For everything, a slow answer too.
const LONGEST: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);

/// One OpenTSDB.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.text).ok()
    }

    /// The status, and what it says of it.
    pub(super) fn said(&self) -> String {
        let message = self.json().and_then(|body| Some(body.pointer("/error/message")?.as_str()?.to_owned()));
        let text = message.unwrap_or_else(|| self.text.chars().take(200).collect());
        format!("it answered {}: {text}", self.status)
    }
}

impl Client {
    pub(super) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LONGEST))
            .timeout_connect(Some(CONNECT))
            .user_agent(concat!("headroom-central/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), url: url.trim_end_matches('/').to_owned() }
    }

    /// Data points, compressed. With their length told: OpenTSDB takes no chunked request as it comes.
    pub(super) fn put(&self, body: &[u8]) -> Result<Answer, String> {
        let request = self.agent.post(format!("{}/api/put?details", self.url)).header("Content-Encoding", "gzip");
        self.sent(request.content_type("application/json").send(body))
    }

    /// A question.
    pub(super) fn query(&self, query: &Value) -> Result<Answer, String> {
        let body = query.to_string();
        self.sent(self.agent.post(format!("{}/api/query", self.url)).content_type("application/json").send(body.as_bytes()))
    }

    fn sent(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
        let of = |e: ureq::Error| format!("OpenTSDB at {}: {e}", self.url);
        let mut response = sent.map_err(of)?;
        let text = response.body_mut().with_config().limit(256 << 20).read_to_string().map_err(of)?;
        Ok(Answer { status: response.status().as_u16(), text })
    }
}
