//! Time series: what the documents of structures, users and services said when.
//!
//! [`TimeSeriesSink`] is what a place for them has to do; [`open`] gives the one that the settings name. OpenTSDB is written to and asked over HTTP
//! ([`opentsdb`]). The embedded one is a SQLite file in the state directory: it buffers
//! about a minute of each owner's rows, packed as they come ([`packing`]), and writes them down staggered, one transaction a second. Each finished
//! hour is packed anew as one row an owner, and rolled up to minutes and to an hour ([`compaction`]); each of the three is kept as long as the
//! settings say, and the file as small ([`retention`]).

mod buffer;
mod cells;
mod compaction;
mod config;
mod embedded;
mod metric;
mod opentsdb;
mod packing;
mod reader;
mod retention;
mod rollup;
mod route;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;

pub use config::{Place, Settings};
pub use embedded::Embedded;
pub use metric::{Field, Metric};
pub use opentsdb::{OpenTsdb, RawFeed, Settings as OpenTsdbSettings};
pub use route::__path_timeseries;
pub(crate) use route::time;
pub use route::{Series, timeseries};

use crate::answer::Answer;
use crate::central::Central;
use crate::config::Config;

/// What kind of thing has a series: the tag's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A container, an application or a host.
    Structure,
    /// A user.
    User,
    /// A service, with its settings.
    Service,
}

impl Kind {
    /// All of them, in the order of their numbers in files.
    pub const ALL: [Self; 3] = [Self::Structure, Self::User, Self::Service];

    /// The tag's key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

/// Whose series it is: the tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The tag's key.
    pub kind: Kind,
    /// The tag's value.
    pub name: Arc<str>,
}

/// Everything that is known of one owner at one moment. A metric that is not there has no value then.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Whose.
    pub owner: Owner,
    /// In the units of the metrics' resources; settings in s.
    pub values: Vec<(Metric, f64)>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Whose.
    pub owner: Owner,
    /// Which.
    pub metrics: Vec<Metric>,
    /// Seconds since the epoch, inclusive.
    pub from: f64,
    /// Seconds since the epoch, inclusive.
    pub to: f64,
    /// Length in s of the times that are made one point each, counted from the epoch; each time that `from..=to` touches is answered whole.
    /// 0: the samples themselves.
    pub step: f64,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Ascending, in seconds since the epoch: when a sample was taken, or when a step began. Steps without a sample are not there.
    pub times: Vec<f64>,
    /// For each metric that has any value, its value at each of the times: a sample's, or the mean of a step's samples; for
    /// [`Metric::peak`] the greatest.
    pub columns: Vec<(Metric, Vec<Option<f64>>)>,
}

/// Why series are not kept, or not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// The place where they are kept does not answer, or is broken.
    #[error("the time series cannot be reached: {0}")]
    Unreachable(String),
    /// More points than one answer may have.
    #[error("that is more than {most} points; ask for a larger step, fewer metrics or less time")]
    TooMany {
        /// The most that there may be.
        most: usize,
    },
}

impl From<SeriesError> for Answer {
    fn from(error: SeriesError) -> Self {
        match &error {
            SeriesError::Unreachable(_) => Self::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            SeriesError::TooMany { .. } => Self::bad(error.to_string()),
        }
    }
}

/// Where time series are kept.
#[async_trait]
pub trait TimeSeriesSink: Send + Sync + std::fmt::Debug {
    /// Takes samples that were all taken at `at`, in seconds since the epoch. They are in the answers from now on, and durable within about a
    /// minute, or with [`TimeSeriesSink::flush`].
    async fn append(&self, at: f64, samples: Vec<Sample>) -> Result<(), SeriesError>;

    /// What is kept. An owner that nothing is known of has no points.
    async fn query(&self, query: Query) -> Result<Points, SeriesError>;

    /// Returns when all that was appended is durable.
    async fn flush(&self) -> Result<(), SeriesError>;

    /// What keeps it from taking samples now.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// The place for series that the settings name, and the way of the agents' raw series, where they are wanted.
pub fn open(config: &Config) -> Result<(Arc<dyn TimeSeriesSink>, Option<RawFeed>), SeriesError> {
    match (config.time_series, &config.opentsdb) {
        (Place::OpenTsdb, Some(settings)) => {
            let place = Arc::new(OpenTsdb::new(settings)?);
            let raw = settings.raw_feed.then(|| RawFeed::new(Arc::clone(&place)));
            Ok((place, raw))
        }
        _ => Ok((Arc::new(Embedded::open(&config.state_dir.join("series.db"), &config.series)?), None)),
    }
}

/// `GET /timeseries`.
pub fn router() -> Router<Central> {
    Router::new().route("/timeseries", get(timeseries)).route("/timeseries/", get(timeseries))
}
