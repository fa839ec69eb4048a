//! A web server and its users, for `cargo xtask bench control`.
//!
//! - `bench_web serve`: an HTTP server on a free port of loopback, which it prints. Each request is real work of about 2 ms of CPU time: a
//!   list of orders is built, written as JSON, read back and summed up. Four worker threads. Ends with its stdin.
//! - `bench_web drive PORT PEAK SECONDS SEED`: its users, independent of each other and of how fast the answers come: arrivals at random
//!   (Poisson) whose rate follows a day compressed to so many seconds, at most `PEAK` a second. A request's latency counts from the moment
//!   when it was due to be sent, so that a server that holds everybody up is not flattered. Prints, in ms:
//!   `{"wanted", "answered", "errors", "p50_ms", "p99_ms", "max_ms", "late_ms"}`; `late_ms`: by how much the 99th percentile of the sends
//!   themselves was late.
//! - `bench_web work`: the mean CPU time of a request's work, in ms.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::routing::get;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Empty};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

#[path = "shared/random.rs"]
mod random;

use random::Random;

/// Threads that do the requests' work.
const WORKERS: usize = 4;
/// Orders in a request's list; gives about 2 ms.
const ORDERS: u64 = 1800;
/// Who has no answer by then goes away.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve(),
        ["drive", port, peak, seconds, seed] => drive(port.parse()?, peak.parse()?, seconds.parse()?, seed.parse()?),
        ["work"] => measure_work(),
        _ => bail!("usage: bench_web serve | bench_web drive PORT PEAK SECONDS SEED | bench_web work"),
    }
}

/// As many connections as the system lets us have.
fn more_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().max_blocking_threads(WORKERS).build()?)
}

fn serve() -> Result<()> {
    more_files()?;
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        thread::spawn(|| {
            std::io::stdin().read_to_end(&mut Vec::new()).ok();
            std::process::exit(0);
        });
        let answer = || async { tokio::task::spawn_blocking(work).await.unwrap_or_default() };
        axum::serve(listener, Router::new().route("/", get(answer))).await?;
        Ok(())
    })
}

#[derive(Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: String,
    items: Vec<u32>,
    price: f64,
}

/// One request's work; the answer is a summary.
fn work() -> String {
    let orders: Vec<Order> = (0..ORDERS)
        .map(|id| Order {
            id,
            customer: format!("customer {}", id * 7919 % 97),
            items: (0..id % 8).map(|item| u32::try_from(id * item % 1000).unwrap_or_default()).collect(),
            price: id as f64 * 1.25,
        })
        .collect();
    let text = serde_json::to_string(&orders).unwrap_or_default();
    let orders: Vec<Order> = serde_json::from_str(&text).unwrap_or_default();
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for order in &orders {
        *sums.entry(&order.customer).or_default() += order.price * order.items.len() as f64;
    }
    format!("{} customers, {} bytes, {:.2}\n", sums.len(), text.len(), sums.values().sum::<f64>())
}

fn measure_work() -> Result<()> {
    const ROUNDS: u32 = 500;
    let clock = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    (0..50).for_each(|_| drop(black_box(work())));
    let before = clock()?;
    (0..ROUNDS).for_each(|_| drop(black_box(work())));
    println!("{:.3}", (clock()?.saturating_sub(before)).as_secs_f64() * 1e3 / f64::from(ROUNDS));
    Ok(())
}

/// How busy a day is, from midnight (0) to midnight (1), as a part of its peak: quiet nights, a broad morning, a steep evening.
fn day(at: f64) -> f64 {
    let hump = |middle: f64, width: f64| (-((at - middle) / width).powi(2)).exp();
    (0.12 + 0.5 * hump(0.45, 0.13) + 0.87 * hump(0.8, 0.08)).min(1.0)
}

/// When requests are due, in s from the start: a Poisson process of the peak's rate, thinned to the day's.
fn arrivals(peak: f64, seconds: f64, seed: u64) -> Vec<f64> {
    let (mut random, mut at, mut due) = (Random::new(seed), 0.0, Vec::new());
    loop {
        at -= (1.0 - random.unit()).ln() / peak;
        if at >= seconds {
            return due;
        }
        if random.unit() < day(at / seconds) {
            due.push(at);
        }
    }
}

fn drive(port: u16, peak: f64, seconds: f64, seed: u64) -> Result<()> {
    more_files()?;
    let due = arrivals(peak, seconds, seed);
    let wanted = due.len();
    let (send, mut receive) = unbounded_channel();
    // The runtime's own timers are of whole milliseconds.
    let pace = thread::spawn(move || {
        let start = Instant::now();
        for at in due {
            let at = start + Duration::from_secs_f64(at);
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if send.send(at).is_err() {
                break;
            }
        }
    });
    let mut late = Histogram::<u64>::new(3)?;
    let answers = runtime()?.block_on(async {
        let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let uri: Uri = format!("http://127.0.0.1:{port}/").parse()?;
        let mut waiting = JoinSet::new();
        while let Some(at) = receive.recv().await {
            late.record(micros(at.elapsed()))?;
            let (client, uri) = (client.clone(), uri.clone());
            waiting.spawn(async move {
                let deadline = tokio::time::Instant::from_std(at + PATIENCE);
                let answer = timeout_at(deadline, ask(&client, uri)).await;
                (matches!(answer, Ok(Ok(()))), at.elapsed())
            });
        }
        anyhow::Ok(waiting.join_all().await)
    })?;
    pace.join().ok().context("the pace maker panicked")?;
    let mut latency = Histogram::<u64>::new(3)?;
    for (_, time) in &answers {
        latency.record(micros(*time))?;
    }
    let answered = answers.iter().filter(|(answered, _)| *answered).count();
    let ms = |us: u64| us as f64 / 1e3;
    let said = serde_json::json!({
        "wanted": wanted,
        "answered": answered,
        "errors": wanted - answered,
        "p50_ms": ms(latency.value_at_quantile(0.5)),
        "p99_ms": ms(latency.value_at_quantile(0.99)),
        "max_ms": ms(latency.max()),
        "late_ms": ms(late.value_at_quantile(0.99)),
    });
    println!("{said}");
    Ok(())
}

async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, uri: Uri) -> Result<()> {
    let answer = client.get(uri).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    if !status.is_success() {
        bail!("the server said {status}");
    }
    Ok(())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_quiet_night_and_its_peak_in_the_evening() {
        assert!(day(0.0) < 0.13 && day(1.0) < 0.15 && day(0.45) > 0.6 && day(0.8) > 0.98);
    }

    #[test]
    fn arrivals_follow_the_day() {
        let due = arrivals(500.0, 60.0, 1);
        assert!(due.is_sorted() && due == arrivals(500.0, 60.0, 1));
        let rate = |from: f64, to: f64| due.iter().filter(|at| (from..to).contains(*at)).count();
        let (night, evening) = (rate(0.0, 3.0), rate(46.5, 49.5));
        assert!((120..=250).contains(&night) && (1350..=1600).contains(&evening), "{night} {evening}");
    }

    #[test]
    fn the_work_is_done_and_summed_up() {
        let said = work();
        assert!(said.starts_with("97 customers, ") && said == work(), "{said}");
    }
}
