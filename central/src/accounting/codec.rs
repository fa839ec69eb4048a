//! A [`Host`] as bytes: it is written with each report, so it is short. Numbers are little-endian, texts are the accounts'.

use headroom_model::accounting::Areas;
use headroom_model::resource::Resource;

use super::state::{Counted, Holder, Host, Process};

/// The first byte.
const VERSION: u8 = 1;

/// All of it but the texts.
pub(super) fn encode(host: &Host) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend(host.open_from.to_le_bytes());
    out.extend(host.until.to_le_bytes());
    count(&mut out, host.open.len());
    for ((account, resource), areas) in &host.open {
        out.extend(account.to_le_bytes());
        amounts(&mut out, *resource, areas);
    }
    count(&mut out, host.processes.len());
    for process in &host.processes {
        out.extend(process.instance.to_le_bytes());
        out.extend(process.started_at.to_le_bytes());
        out.extend(process.next.to_le_bytes());
        out.extend(process.at.to_le_bytes());
        count(&mut out, process.containers.len());
        for container in &process.containers {
            out.extend(container.account.to_le_bytes());
            out.extend(container.incarnation.to_le_bytes());
            // 0 but for a container that has gone.
            out.extend(age(process.at - container.at).to_le_bytes());
            out.extend(container.total.unwrap_or(f64::NAN).to_le_bytes());
            out.push(u8::try_from(container.areas.len()).unwrap_or(u8::MAX));
            container.areas.iter().for_each(|(resource, areas)| amounts(&mut out, *resource, areas));
        }
    }
    out
}

/// `holder` knows whom an account is for. `None`: the bytes are no host's.
pub(super) fn decode(bytes: &[u8], mut holder: impl FnMut(u32) -> Option<Holder>) -> Option<Host> {
    let mut bytes = Bytes(bytes);
    if bytes.take()? != [VERSION] {
        return None;
    }
    let (open_from, until) = (i64::from_le_bytes(bytes.take()?), bytes.number()?);
    let mut open = Vec::new();
    for _ in 0..bytes.count()? {
        let account = bytes.count()?;
        let (resource, areas) = bytes.amounts()?;
        open.push(((account, resource), areas));
    }
    let mut processes = Vec::new();
    for _ in 0..bytes.count()? {
        let (instance, started_at) = (u64::from_le_bytes(bytes.take()?), bytes.number()?);
        let (next, at) = (u64::from_le_bytes(bytes.take()?), bytes.number()?);
        let mut containers = Vec::new();
        for _ in 0..bytes.count()? {
            let account = bytes.count()?;
            let incarnation = u64::from_le_bytes(bytes.take()?);
            let at = at - f64::from(f32::from_le_bytes(bytes.take()?));
            let total = Some(bytes.number()?).filter(|total| !total.is_nan());
            let [count] = bytes.take()?;
            let areas = (0..count).map(|_| bytes.amounts()).collect::<Option<_>>()?;
            containers.push(Counted { holder: holder(account)?, incarnation, account, at, total, areas });
        }
        processes.push(Process { instance, started_at, next, at, containers });
    }
    bytes.0.is_empty().then_some(Host { open_from, until, open, processes })
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction of a millisecond in an hour")]
fn age(seconds: f64) -> f32 {
    seconds as f32
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn amounts(out: &mut Vec<u8>, resource: Resource, areas: &Areas) {
    out.push(resource as u8);
    for amount in [areas.used, areas.allocated, areas.reserved] {
        out.extend(amount.to_le_bytes());
    }
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }

    fn count(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn amounts(&mut self) -> Option<(Resource, Areas)> {
        let [resource] = self.take()?;
        let areas = Areas { used: self.number()?, allocated: self.number()?, reserved: self.number()? };
        Some((*Resource::ALL.get(usize::from(resource))?, areas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refeeder::Owners;

    fn holder(account: u32) -> Option<Holder> {
        let owners = Owners { application: (account == 1).then(|| "app1".into()), user: None };
        (account < 10).then(|| Holder { structure: format!("cont{account}").into(), owners })
    }

    fn host() -> Host {
        let areas = Areas { used: 1.5, allocated: 2e12, reserved: 0.1 };
        let container = |account| Counted {
            holder: holder(account).unwrap(),
            incarnation: u64::MAX - u64::from(account),
            account,
            at: 1_700_000_000.25,
            total: (account == 1).then_some(1e9),
            areas: [(Resource::Cpu, areas), (Resource::Mem, areas)].into(),
        };
        let process =
            |containers: Vec<Counted>| Process { instance: 7, started_at: 1.0, next: 3, at: 1_700_000_004.5, containers };
        Host {
            open_from: 1_700_000_100,
            until: 1_700_000_123.0,
            open: [((1, Resource::Cpu), areas), ((2, Resource::Energy), areas)].into(),
            processes: vec![process(vec![container(1), container(2)]), process(Vec::new())],
        }
    }

    #[test]
    fn a_host_goes_there_and_back() {
        for host in [host(), Host::default()] {
            assert_eq!(decode(&encode(&host), holder), Some(host));
        }
    }

    #[test]
    fn what_is_damaged_is_no_host() {
        let bytes = encode(&host());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length], holder), None, "{length}");
        }
        assert_eq!(decode(&[bytes.as_slice(), &[0]].concat(), holder), None);
        assert_eq!(decode(&bytes, |account| holder(account + 9)), None, "an account that is not there");
        let mut other = bytes;
        other[0] += 1;
        assert_eq!(decode(&other, holder), None);
    }
}
