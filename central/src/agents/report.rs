//! `POST /agent/report`.

use axum::body::Bytes;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use headroom_model::wire::{Received, Report};
use serde::Deserialize;

use super::register;
use crate::access::Caller;
use crate::answer::{Answer, json};
use crate::central::{Central, wall};
use crate::fleet::Heard;
use crate::leases::NotClaimed;

/// When it was sent, by the agent's clock.
#[derive(Deserialize)]
pub(super) struct Sent {
    sent_at: f64,
}

/// Makes sure that the host's name is this agent's, also where several centrals take reports. What is not known now is for a later report, unless
/// the agent had better go.
async fn claim(central: &Central, report: &Report) -> Result<(), Answer> {
    let stayed = central.fleet.has_stayed(report);
    match central.leases.claim(&report.host, &report.instance, stayed).await {
        Ok(()) => Ok(()),
        Err(NotClaimed::Anothers(instance)) => Err(central.fleet.claimed(&report.host, &instance)),
        Err(NotClaimed::Unknown(why)) => {
            tracing::debug!(host = report.host, "whose name it is cannot be made sure: {why}");
            central.may_take()
        }
    }
}

/// Takes a report in: live state, amounts, decisions, and documents for containers that have none.
pub(super) async fn take(
    State(central): State<Central>,
    Extension(caller): Extension<Caller>,
    Query(sent): Query<Sent>,
    body: Bytes,
) -> Result<Response, Answer> {
    let report: Report = serde_json::from_slice(&body).map_err(|e| Answer::bad(format!("this is no report: {e}")))?;
    if report.host.is_empty() {
        return Err(Answer::bad("host is empty, expected the host's name"));
    }
    if !caller.is_agent_of(&report.host) {
        let message = format!("the token of {:?} is not good for host {:?}", caller.name(), report.host);
        return Err(Answer::new(StatusCode::FORBIDDEN, message));
    }
    central.fleet.may_speak_for(&report.host, &report.instance)?;
    central.may_take()?;
    central.fleet.may_speak_for(&report.host, &report.instance)?;
    claim(&central, &report).await?;
    let now = wall();
    // By our clock. Amounts first, which count once however often they come: after an error the report comes again, whole.
    let at = (report.at - (sent.sent_at - now)).min(now);
    central.ledger.receive(&report, at, |container| central.groups.of(container)).await?;
    if let Heard::News { is_first, appeared } = central.fleet.receive(&report, sent.sent_at, now)? {
        if let Some(feed) = &central.raw_feed {
            feed.take(&report, at);
        }
        central.audit.decided(&report.host, at - report.at, &report.decisions);
        central.history.add(&report.host, at - report.at, &report.decisions);
        if !appeared.is_empty() {
            let registered = register::containers(&central, &report, &appeared).await;
            // The next report has them as new again.
            registered.inspect_err(|_| central.fleet.disown(&appeared))?;
            central.fleet.touch(&report.host);
        }
        if is_first {
            register::host(&central, &report).await?;
        }
    }
    Ok(json(StatusCode::OK, &Received { at: now }))
}
