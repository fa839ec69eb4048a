//! Two requests that are done whole or not at all.

use smallvec::{SmallVec, smallvec};

use super::super::ledger::Ledger;
use super::{Grant, Outcome, Refusal, target, whole};
use crate::policy::request::{Field, Request};

/// Both, the one that gives first; or both refused.
pub(super) fn grant([gives, takes]: &[Request; 2], ledger: &Ledger) -> SmallVec<[Grant; 2]> {
    let targets = [target(gives, ledger), target(takes, ledger)];
    let mut grants: SmallVec<[Grant; 2]> = smallvec![whole(gives, &targets[0], ledger), whole(takes, &targets[1], ledger)];
    let mut after = ledger.clone();
    let possible = grants.iter().zip(&targets).all(|(grant, target)| {
        let Ok(target) = target else { return false };
        let need = target.to - target.from;
        let disk = after.entry(&grant.request.structure, grant.request.resource).and_then(|e| e.disk.clone());
        let fits = need <= 0.0 || after.free_for(grant.request.resource, disk.as_deref(), None).is_none_or(|free| need <= free);
        after.account(grant, target.to);
        fits && is_whole(grant, ledger)
    });
    if !possible {
        for grant in &mut grants {
            if !matches!(grant.outcome, Outcome::Refused(_)) {
                grant.outcome = Outcome::Refused(Refusal::PairNotWhole);
            }
        }
    }
    grants
}

/// Whether the bounds leave the whole amount.
#[expect(clippy::float_cmp, reason = "whole means exactly the amount")]
fn is_whole(grant: &Grant, ledger: &Ledger) -> bool {
    let Some(entry) = ledger.entry(&grant.request.structure, grant.request.resource) else { return false };
    match grant.request.field {
        Field::Current => entry.limit.amount().is_some_and(|from| grant.to == from + grant.request.amount),
        Field::Max => entry.share.is_some_and(|share| grant.max == Some(share.max + grant.request.amount)),
    }
}
