//! Writes a day of one container's series, for `cargo xtask bench central`: `bench_series STATE_DIR END`, END in seconds since the epoch.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use headroom_central::series::{Embedded, Field, Kind, Metric, Owner, Sample, Settings, TimeSeriesSink as _};
use headroom_model::resource::Resource;

/// Seconds between two samples.
const STEP: u32 = 5;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let directory: PathBuf = args.next().context("expected a state directory")?.into();
    let end: f64 = args.next().context("expected a time")?.parse()?;
    std::fs::create_dir_all(&directory)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let sink = Embedded::open(&directory.join("series.db"), &Settings::default())?;
        let owner = Owner { kind: Kind::Structure, name: Arc::from("cont0") };
        for step in 0..86_400 / STEP {
            let at = end - 86_400.0 + f64::from(step * STEP);
            let usage = 80.0 + 60.0 * (f64::from(step) / 500.0).sin() + f64::from(step % 17);
            let limit = (usage / 25.0).ceil() * 25.0 + 50.0;
            let of = |field, value| (Metric::of(Resource::Cpu, field), value);
            let values = vec![
                of(Field::Usage, usage),
                of(Field::Current, limit),
                of(Field::Upper, limit - 25.0),
                of(Field::Lower, limit - 50.0),
                of(Field::Max, 400.0),
                of(Field::Min, 50.0),
            ];
            sink.append(at, vec![Sample { owner: owner.clone(), values }]).await?;
        }
        sink.flush().await?;
        anyhow::Ok(())
    })
}
