//! A server that takes and answers what OpenTSDB 2.4 documents for `/api/put` and `/api/query`, and refuses what it refuses: characters in names,
//! values, times, numbers of tags, chunked bodies. It keeps what came in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

/// metric, tags as `key=value`, time in ms -> value.
type Series = BTreeMap<(String, String, i64), f64>;

#[derive(Default)]
struct Inner {
    series: Series,
    /// What it said no to.
    refused: Vec<String>,
    /// How it fails, if it does.
    fault: Option<Fault>,
    requests: u64,
}

/// Something that is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// 503, nothing taken.
    Busy,
    /// Takes what comes, and does not say so.
    Mute,
    /// Takes no body of more than so many bytes.
    Small(usize),
}

/// Ends with the value.
pub(crate) struct Tsdb {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Tsdb {
    /// Where nobody listens yet.
    pub(crate) fn down() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { address, inner: Arc::default(), runtime: None }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn up(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inner = Arc::clone(&self.inner);
        let api = Router::new().route("/api/put", post(put)).route("/api/query", post(query));
        let api = api.layer(from_fn_with_state(Arc::clone(&inner), faults)).with_state(inner);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(self.address)).unwrap();
        runtime.spawn(async move { axum::serve(listener, api).await });
        self.runtime = Some(runtime);
    }

    pub(crate) fn take_down(&mut self) {
        drop(self.runtime.take());
    }

    pub(crate) fn fails(&self, fault: Option<Fault>) {
        self.inner.lock().unwrap().fault = fault;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.inner.lock().unwrap().requests
    }

    /// Times in ms and values of one series.
    pub(crate) fn series(&self, metric: &str, tag: &str) -> Vec<(i64, f64)> {
        let inner = self.inner.lock().unwrap();
        let of = inner.series.iter().filter(|((m, t, _), _)| m == metric && t == tag);
        of.map(|((_, _, time), value)| (*time, *value)).collect()
    }

    /// Every metric that a tag has.
    pub(crate) fn metrics(&self, tag: &str) -> BTreeSet<String> {
        let inner = self.inner.lock().unwrap();
        inner.series.keys().filter(|(_, t, _)| t == tag).map(|(metric, _, _)| metric.clone()).collect()
    }

    /// It said no to nothing.
    pub(crate) fn took_all(&self) {
        assert!(self.inner.lock().unwrap().refused.is_empty(), "{:?}", self.inner.lock().unwrap().refused);
    }
}

async fn faults(State(inner): State<Arc<Mutex<Inner>>>, request: Request, next: Next) -> Response {
    let fault = {
        let mut inner = inner.lock().unwrap();
        inner.requests += 1;
        inner.fault
    };
    let length: usize = request.headers().get("content-length").and_then(|l| l.to_str().ok()?.parse().ok()).unwrap_or(0);
    match fault {
        Some(Fault::Busy) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::Small(most)) if length > most => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Some(Fault::Mute) => {
            next.run(request).await;
            (StatusCode::BAD_GATEWAY, "Bad Gateway").into_response()
        }
        _ => next.run(request).await,
    }
}

fn bad(message: &str) -> Response {
    let error = json!({"error": {"code": 400, "message": message}});
    (StatusCode::BAD_REQUEST, error.to_string()).into_response()
}

fn body(headers: &HeaderMap, body: &Bytes) -> Result<Value, String> {
    if headers.contains_key("transfer-encoding") {
        return Err("Chunked request not supported.".to_owned());
    }
    let mut text = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(&**body).read_to_end(&mut text).map_err(|e| e.to_string())?;
    } else {
        text.extend_from_slice(body);
    }
    serde_json::from_slice(&text).map_err(|e| format!("Unable to parse the given JSON: {e}"))
}

/// With `details`.
async fn put(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, bytes: Bytes) -> Response {
    let points = match body(&headers, &bytes) {
        Ok(Value::Array(points)) => points,
        Ok(one) => vec![one],
        Err(e) => return bad(&e),
    };
    let mut inner = inner.lock().unwrap();
    let (mut success, mut errors) = (0, Vec::new());
    for point in points {
        match checked(&point) {
            Ok((key, value)) => {
                inner.series.insert(key, value);
                success += 1;
            }
            Err(error) => {
                inner.refused.push(format!("{error}: {point}"));
                errors.push(json!({"datapoint": point, "error": error}));
            }
        }
    }
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    (status, json!({"success": success, "failed": errors.len(), "errors": errors}).to_string()).into_response()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphabetic() || c.is_ascii_digit() || "-_./".contains(c))
}

fn checked(point: &Value) -> Result<((String, String, i64), f64), String> {
    let metric = point["metric"].as_str().filter(|name| is_name(name)).ok_or("Metric name was empty or invalid")?;
    let tags: &Map<String, Value> = point["tags"].as_object().filter(|t| (1..=8).contains(&t.len())).ok_or("Missing tags")?;
    let mut told = Vec::new();
    for (key, value) in tags {
        let value = value.as_str().filter(|value| is_name(value) && is_name(key)).ok_or("Invalid tag")?;
        told.push(format!("{key}={value}"));
    }
    let time = point["timestamp"].as_i64().filter(|time| *time > 0).ok_or("Invalid timestamp")?;
    let time = match time.to_string().len() {
        10 => time * 1000,
        13 => time,
        _ => return Err("Invalid timestamp".to_owned()),
    };
    let value = point["value"].as_f64().filter(|value| value.is_finite()).ok_or("Unable to parse value to a number")?;
    Ok(((metric.to_owned(), told.join(","), time), value))
}

async fn query(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, bytes: Bytes) -> Response {
    let asked = match body(&headers, &bytes) {
        Ok(asked) => asked,
        Err(e) => return bad(&e),
    };
    let inner = inner.lock().unwrap();
    let (Some(start), Some(end)) = (asked["start"].as_i64(), asked["end"].as_i64()) else { return bad("Missing start time") };
    let mut answer = Vec::new();
    for one in asked["queries"].as_array().into_iter().flatten() {
        let metric = one["metric"].as_str().unwrap_or_default();
        if !inner.series.keys().any(|(m, _, _)| m == metric) {
            return bad(&format!("No such name for 'metrics': '{metric}'"));
        }
        let filter = &one["filters"][0];
        assert_eq!((&filter["type"], &one["aggregator"]), (&json!("literal_or"), &json!("none")));
        let tag = format!("{}={}", filter["tagk"].as_str().unwrap(), filter["filter"].as_str().unwrap());
        let of = inner.series.iter().filter(|((m, t, at), _)| m == metric && *t == tag && (start..=end).contains(at));
        let mut times: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        let (step, way) = match one["downsample"].as_str() {
            Some(text) => {
                let (step, way) = text.split_once("ms-").unwrap();
                (step.parse().unwrap(), way)
            }
            None => (1, "avg"),
        };
        for ((_, _, at), value) in of {
            times.entry(at - at % step).or_default().push(*value);
        }
        let value = |values: &Vec<f64>| match way {
            "max" => values.iter().copied().fold(f64::MIN, f64::max),
            _ => values.iter().sum::<f64>() / values.len() as f64,
        };
        let dps: Map<String, Value> = times.iter().map(|(at, values)| (at.to_string(), json!(value(values)))).collect();
        if !dps.is_empty() {
            answer.push(json!({"metric": metric, "tags": {}, "dps": dps}));
        }
    }
    Value::from(answer).to_string().into_response()
}
