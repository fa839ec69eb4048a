//! The threads for writes that can take long: memory, cpusets, disks, and the state directory.
//!
//! Lowering a memory limit reclaims inside the writer, for seconds if it comes to the worst, so such writes have a lane of
//! their own: nobody's raise waits behind somebody's reclaim. The control loop keeps at most one job of a container in
//! flight, which keeps a container's writes in order.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::originals::{Originals, Record};
use crate::cgroup::{ApplyError, Cgroup, Change};
use crate::clock;

/// Something to be done off the control thread.
#[derive(Debug)]
pub enum Job {
    /// Keep what was found, before the first touch.
    Save(Record),
    /// Forget what was kept of a container.
    Forget {
        /// Its cgroup's id.
        cgroup_id: u64,
    },
    /// Carry out changes, all or none.
    Apply {
        /// Comes back with the report.
        ticket: u64,
        /// Whose limits.
        cgroup: Arc<Cgroup>,
        /// What to set, in this order.
        changes: Vec<Change>,
        /// Whether it may reclaim memory, and so take long.
        reclaims: bool,
    },
}

/// What became of a job. [`Job::Forget`] has none.
#[derive(Debug)]
pub enum Report {
    /// Of [`Job::Save`].
    Saved {
        /// The record's cgroup.
        cgroup_id: u64,
        /// Why not.
        result: Result<(), String>,
    },
    /// Of [`Job::Apply`].
    Applied {
        /// The job's.
        ticket: u64,
        /// What was refused, and whether all is as before.
        result: Result<(), ApplyError>,
        /// When it was finished, `CLOCK_MONOTONIC` ns.
        finished_ns: u64,
        /// How long it took, in ns.
        took_ns: u64,
    },
}

/// Both lanes.
#[derive(Debug)]
pub struct Writer {
    lanes: Option<Lanes>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Lanes {
    quick: Sender<Job>,
    reclaiming: Sender<Job>,
}

impl Writer {
    /// Starts both threads; every report goes through `report`.
    pub fn spawn(originals: &Originals, report: impl Fn(Report) + Send + Clone + 'static) -> std::io::Result<Self> {
        let (quick, quick_jobs) = unbounded();
        let (reclaiming, reclaiming_jobs) = unbounded();
        let lane = |name: &str, jobs: Receiver<Job>| {
            let (originals, report) = (originals.clone(), report.clone());
            std::thread::Builder::new().name(name.into()).stack_size(256 * 1024).spawn(move || {
                for job in jobs {
                    if let Some(done) = carry_out(&originals, job) {
                        report(done);
                    }
                }
            })
        };
        let threads = vec![lane("writer", quick_jobs)?, lane("reclaimer", reclaiming_jobs)?];
        Ok(Self { lanes: Some(Lanes { quick, reclaiming }), threads })
    }

    /// Queues a job; never waits.
    pub fn submit(&self, job: Job) {
        let Some(lanes) = &self.lanes else { return };
        let lane = if matches!(job, Job::Apply { reclaims: true, .. }) { &lanes.reclaiming } else { &lanes.quick };
        if lane.send(job).is_err() {
            tracing::error!("a writer thread has ended; its job is lost");
        }
    }

    /// Finishes what is queued on the quick lane and ends; a reclaim under way is left to the kernel.
    pub fn finish(mut self) {
        self.lanes = None;
        let reclaimer = self.threads.pop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a writer thread panicked");
            }
        }
        drop(reclaimer);
    }
}

fn carry_out(originals: &Originals, job: Job) -> Option<Report> {
    match job {
        Job::Save(record) => {
            let result = originals.save(&record).map_err(|e| e.to_string());
            Some(Report::Saved { cgroup_id: record.cgroup_id, result })
        }
        Job::Forget { cgroup_id } => {
            if let Err(e) = originals.forget(cgroup_id) {
                tracing::warn!("{e}");
            }
            None
        }
        Job::Apply { ticket, cgroup, changes, reclaims: _ } => {
            let begun = clock::monotonic_ns();
            let result = cgroup.apply(&changes);
            let finished_ns = clock::monotonic_ns();
            Some(Report::Applied { ticket, result, finished_ns, took_ns: finished_ns.saturating_sub(begun) })
        }
    }
}
