//! Limits that central wants set at once, through the same way as the Container Scaler API's: all of one container's in one write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::{SetDone, SetLimit};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::api::command::{Change, ContainerWrite, ControlHandle, WriteError};

/// For so long what is in the way now (a decision's write, most likely) may go away: less than central waits.
const PATIENCE: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Setting {
    control: Arc<dyn ControlHandle>,
    shared: Shared,
    /// Taken already: central repeats each until a report has its outcome.
    taken: BTreeSet<u64>,
}

impl Setting {
    pub(super) fn new(control: Arc<dyn ControlHandle>, shared: Shared) -> Self {
        Self { control, shared, taken: BTreeSet::new() }
    }

    /// Sets what was not set yet, without waiting for it.
    pub(super) fn carry_out(&mut self, sets: &[SetLimit]) {
        self.taken.retain(|id| sets.iter().any(|set| set.id == *id));
        let mut by_container: BTreeMap<&str, Vec<&SetLimit>> = BTreeMap::new();
        for set in sets {
            if self.taken.insert(set.id) {
                by_container.entry(&set.structure).or_default().push(set);
            }
        }
        for (name, sets) in by_container {
            let (control, shared) = (Arc::clone(&self.control), self.shared.clone());
            let ids: Vec<u64> = sets.iter().map(|set| set.id).collect();
            let changes = sets.iter().map(|set| change(set.resource, set.limit)).collect();
            let name = name.to_owned();
            tokio::spawn(async move {
                let error = match changes {
                    Ok(changes) => write(&*control, name, changes).await.err(),
                    Err(why) => Some(why),
                };
                for id in ids {
                    shared.done.add(SetDone { id, error: error.clone() });
                }
                shared.now.notify_one();
            });
        }
    }
}

/// Whole or not at all.
async fn write(control: &dyn ControlHandle, name: String, changes: Vec<Change>) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let (reply, answer) = oneshot::channel();
        control.submit(ContainerWrite { name: name.clone(), changes: changes.clone(), reply }).map_err(|e| e.to_string())?;
        match answer.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(WriteError::Conflict { .. })) if Instant::now() < until => sleep(AGAIN).await,
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err("the agent is ending".to_owned()),
        }
    }
}

fn change(resource: Resource, limit: Limit) -> Result<Change, String> {
    match resource {
        Resource::Cpu => Ok(Change::CpuLimit(limit)),
        Resource::Mem => Ok(Change::Memory(limit)),
        Resource::DiskRead => Ok(Change::DiskRead(limit)),
        Resource::DiskWrite => Ok(Change::DiskWrite(limit)),
        Resource::Net => Ok(Change::Net(limit)),
        Resource::Energy => Err("energy limits cannot be set".to_owned()),
    }
}
