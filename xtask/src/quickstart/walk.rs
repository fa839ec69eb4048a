//! The policy's walk-through around the five phases, through the Orchestrator: unguarded, guarded with the Scaler inactive, active; at the end
//! unguarded again, and reset.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::Interrupted;
use super::agent::{Agent, amount};
use super::central::Central;
use super::load::Load;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// From containers that were only found to containers whose limits move.
pub(super) fn guard(central: &Central, agent: &Agent, names: &[&str], loads: &mut [Load], stop: &dyn Fn() -> bool) -> Result<()> {
    let mut until = |what: &str, done: &mut dyn FnMut() -> Result<bool>| wait(what, loads, stop, done);
    until("the containers are found", &mut || Ok(names.iter().all(|name| central.get(&format!("/structure/{name}")).is_ok())))?;
    println!(
        "\nfound, not guarded: no limit is touched. How far they may go, and half a second a window, which is easier on the eyes:"
    );
    central.put("/service/guardian/WINDOW_TIMELAPSE", Some(json!(0.5)))?;
    central.put("/service/guardian/EVENT_TIMEOUT", Some(json!(5)))?;
    for name in names {
        central.put(&format!("/structure/{name}/resources/cpu/max"), Some(json!(200)))?;
        central.put(&format!("/structure/{name}/resources/cpu/min"), Some(json!(50)))?;
        central.put(&format!("/structure/{name}/limits/cpu/boundary"), Some(json!(25)))?;
        central.put(&format!("/structure/{name}/limits/cpu/boundary_type"), Some(json!("absolute")))?;
    }
    println!("\nguarded, with the Scaler inactive: requests are made, nothing is applied:");
    central.put("/service/scaler/ACTIVE", Some(json!(false)))?;
    for name in names {
        central.put(&format!("/structure/{name}/guard"), None)?;
    }
    until("a request is made", &mut || Ok(agent.decisions()?.iter().any(|decision| decision.outcome == "inactive")))?;
    if let Some(decision) = agent.decisions()?.iter().find(|decision| decision.outcome == "inactive") {
        println!("  {}: {} ({})", decision.structure, decision.why, decision.outcome);
    }
    let unlimited = agent.status()?.iter().all(|container| container.cpu().is_none_or(|cpu| amount(&cpu.limit).is_none()));
    println!("  limits: {}", if unlimited { "none, as before" } else { "as they were" });
    println!("\nactive: from now on limits move:");
    central.put("/service/scaler/ACTIVE", Some(json!(true)))?;
    until("the containers have their first limits", &mut || {
        let status = agent.status()?;
        let is_limited = |name: &&str| {
            status.iter().any(|c| c.name() == *name && c.cpu().is_some_and(|cpu| cpu.guard && amount(&cpu.limit).is_some()))
        };
        Ok(names.iter().all(is_limited))
    })
}

/// Back to limits that nobody moves.
pub(super) fn leave(central: &Central, agent: &Agent, names: &[&str], stop: &dyn Fn() -> bool) -> Result<()> {
    println!("unguarded again, limits stay as they are; reset, they go to max:");
    for name in names {
        central.put(&format!("/structure/{name}/unguard"), None)?;
        central.put(&format!("/structure/{name}/reset"), None)?;
    }
    wait("the limits are at max", &mut [], stop, &mut || {
        let status = agent.status()?;
        Ok(status
            .iter()
            .filter(|c| names.contains(&c.name()))
            .all(|c| c.cpu().is_some_and(|cpu| amount(&cpu.limit) == Some(200.0))))
    })?;
    let bill = central.get("/accounting")?;
    let of = |key: &str| bill["resources"]["cpu"][key].as_f64().unwrap_or_default();
    println!(
        "the central service's accounts: {:.2} core-hours used, {:.2} allocated, {:.2} reserved\n",
        of("used") / 100.0,
        of("allocated") / 100.0,
        of("reserved") / 100.0
    );
    Ok(())
}

fn wait(what: &str, loads: &mut [Load], stop: &dyn Fn() -> bool, done: &mut dyn FnMut() -> Result<bool>) -> Result<()> {
    let (until, mut look) = (Instant::now() + PATIENCE, Instant::now());
    loop {
        for load in &mut *loads {
            load.steer();
        }
        if Instant::now() >= look {
            if done()? {
                return Ok(());
            }
            look = Instant::now() + Duration::from_millis(50);
        }
        if stop() {
            bail!(Interrupted);
        }
        if Instant::now() > until {
            bail!("waited in vain: {what}");
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_ends_a_wait() {
        let ended = wait("it never comes", &mut [], &|| true, &mut || Ok(false)).unwrap_err();
        assert!(ended.is::<Interrupted>());
        wait("it is there", &mut [], &|| false, &mut || Ok(true)).unwrap();
    }
}
