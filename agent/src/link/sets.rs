//! Limits that central wants set at once, through the same way as the Container Scaler API's.

use std::collections::BTreeSet;
use std::sync::Arc;

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;
use headroom_model::wire::{SetDone, SetLimit};
use tokio::sync::oneshot;

use super::Shared;
use crate::api::command::{Change, ContainerWrite, ControlHandle};

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
        for set in sets {
            if !self.taken.insert(set.id) {
                continue;
            }
            let (id, shared) = (set.id, self.shared.clone());
            let (reply, answer) = oneshot::channel();
            let changes = vec![change(set.resource, set.limit)];
            let submitted = match changes.first() {
                Some(Some(_)) => {
                    let changes = changes.into_iter().flatten().collect();
                    self.control.submit(ContainerWrite { name: set.structure.clone(), changes, reply }).map_err(|e| e.to_string())
                }
                _ => Err(format!("{} limits cannot be set", set.resource)),
            };
            tokio::spawn(async move {
                let error = match submitted {
                    Err(why) => Some(why),
                    Ok(()) => match answer.await {
                        Ok(written) => written.err().map(|e| e.to_string()),
                        Err(_) => Some("the agent is ending".to_owned()),
                    },
                };
                shared.done.add(SetDone { id, error });
                shared.now.notify_one();
            });
        }
    }
}

fn change(resource: Resource, limit: Limit) -> Option<Change> {
    match resource {
        Resource::Cpu => Some(Change::CpuLimit(limit)),
        Resource::Mem => Some(Change::Memory(limit)),
        Resource::DiskRead => Some(Change::DiskRead(limit)),
        Resource::DiskWrite => Some(Change::DiskWrite(limit)),
        Resource::Net => Some(Change::Net(limit)),
        Resource::Energy => None,
    }
}
