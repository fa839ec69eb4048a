//! Amounts with what they cost: for people and programs, as JSON and as CSV.

use std::collections::BTreeMap;

use headroom_model::accounting::Areas;
use headroom_model::resource::Resource;
use serde::{Serialize, Serializer};

use super::config::Prices;
use super::query::{Line, Wanted};
use super::spread::add;

/// What was used, allocated and reserved within a time, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Bill {
    /// Seconds since the epoch.
    #[serde(serialize_with = "headroom_model::number::serialize")]
    pub from: f64,
    /// Seconds since the epoch.
    #[serde(serialize_with = "headroom_model::number::serialize")]
    pub to: f64,
    /// What costs are in.
    pub currency: String,
    /// The sums, by resource.
    pub resources: BTreeMap<&'static str, Amounts>,
    /// What is to be paid: what was used, at the configured prices; `allocated` and `reserved` say what it would have been by the limits, and with
    /// fixed limits. Null where nothing has a price.
    pub bill: Option<Cost>,
    /// By container, and by whom it belonged to at the time. Only where somebody is named, or `details=true`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
}

/// One container, for as long as it belonged to the same.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Account {
    /// The container.
    pub structure: String,
    /// The host it was on.
    pub host: String,
    /// The application it was part of.
    pub application: Option<String>,
    /// The user that was whose.
    pub user: Option<String>,
    /// By resource.
    pub resources: BTreeMap<&'static str, Amounts>,
}

/// Amounts of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Amounts {
    /// Of the amounts: `share-hours` (100 are a core for an hour), `MiB-hours`, ..
    pub unit: String,
    /// Consumed.
    #[serde(serialize_with = "rounded")]
    pub used: f64,
    /// Under the limits that were in force.
    #[serde(serialize_with = "rounded")]
    pub allocated: f64,
    /// Under `max`: what fixed limits would have reserved.
    #[serde(serialize_with = "rounded")]
    pub reserved: f64,
    /// Used over allocated; null where nothing was allocated.
    #[serde(serialize_with = "option_rounded")]
    pub utilization: Option<f64>,
    /// Used over reserved.
    #[serde(serialize_with = "option_rounded")]
    pub fixed_utilization: Option<f64>,
    /// Null where the resource has no price.
    pub cost: Option<Cost>,
}

/// What amounts cost, in the bill's currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Cost {
    /// What was used.
    #[serde(serialize_with = "rounded")]
    pub used: f64,
    /// If what was allocated were paid for.
    #[serde(serialize_with = "rounded")]
    pub allocated: f64,
    /// If what was reserved were paid for.
    #[serde(serialize_with = "rounded")]
    pub reserved: f64,
}

type ByResource = BTreeMap<Resource, Areas>;

impl Bill {
    /// Adds lines up.
    pub(super) fn of(lines: &[Line], wanted: &Wanted, prices: &Prices, with_accounts: bool) -> Self {
        let mut sums = ByResource::new();
        for line in lines {
            add(sums.entry(line.resource).or_default(), line.areas);
        }
        let resources = amounts(&sums, prices);
        let costs: Vec<Cost> = resources.values().filter_map(|amounts| amounts.cost).collect();
        let sum = |a: Cost, b: &Cost| Cost {
            used: a.used + b.used,
            allocated: a.allocated + b.allocated,
            reserved: a.reserved + b.reserved,
        };
        let has_prices = prices.core_hour.is_some() || prices.gib_hour.is_some();
        Self {
            from: wanted.from,
            to: wanted.to,
            currency: prices.currency.clone(),
            resources,
            bill: has_prices.then(|| costs.iter().fold(Cost::default(), sum)),
            accounts: if with_accounts { accounts(lines, prices) } else { Vec::new() },
        }
    }
}

fn is_of_same(a: &Line, b: &Line) -> bool {
    (&a.structure, &a.host, &a.application, &a.user) == (&b.structure, &b.host, &b.application, &b.user)
}

fn accounts(lines: &[Line], prices: &Prices) -> Vec<Account> {
    let account = |lines: &[Line]| {
        let Line { structure, host, application, user, .. } = lines.first()?.clone();
        let sums = lines.iter().map(|line| (line.resource, line.areas)).collect();
        Some(Account { structure, host, application, user, resources: amounts(&sums, prices) })
    };
    lines.chunk_by(is_of_same).filter_map(account).collect()
}

fn amounts(sums: &ByResource, prices: &Prices) -> BTreeMap<&'static str, Amounts> {
    sums.iter().map(|(resource, areas)| (resource.key(), Amounts::of(*resource, *areas, prices))).collect()
}

impl Amounts {
    fn of(resource: Resource, areas: Areas, prices: &Prices) -> Self {
        let hours = |amount: f64| amount / 3600.0;
        let (used, allocated, reserved) = (hours(areas.used), hours(areas.allocated), hours(areas.reserved));
        let cost = |price: f64| Cost { used: used * price, allocated: allocated * price, reserved: reserved * price };
        let unit = if resource == Resource::Cpu { "share-hours".to_owned() } else { format!("{}-hours", resource.unit()) };
        let (utilization, fixed_utilization) = (areas.utilization(), areas.fixed_utilization());
        Self { unit, used, allocated, reserved, utilization, fixed_utilization, cost: prices.of(resource).map(cost) }
    }
}

/// The head of the CSV.
const HEAD: [&str; 15] = [
    "structure",
    "host",
    "application",
    "user",
    "resource",
    "unit",
    "used",
    "allocated",
    "reserved",
    "utilization",
    "fixed_utilization",
    "cost_used",
    "cost_allocated",
    "cost_reserved",
    "currency",
];

/// A row a container, whom it belonged to, and resource.
pub(super) fn csv(lines: &[Line], prices: &Prices) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(HEAD)?;
    let number = |n: f64| round(n).to_string();
    let option = |n: Option<f64>| n.map(number).unwrap_or_default();
    for line in lines {
        let a = Amounts::of(line.resource, line.areas, prices);
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        out.write_record([
            line.structure.clone(),
            line.host.clone(),
            name(&line.application),
            name(&line.user),
            line.resource.to_string(),
            a.unit,
            number(a.used),
            number(a.allocated),
            number(a.reserved),
            option(a.utilization),
            option(a.fixed_utilization),
            option(a.cost.map(|c| c.used)),
            option(a.cost.map(|c| c.allocated)),
            option(a.cost.map(|c| c.reserved)),
            prices.currency.clone(),
        ])?;
    }
    out.into_inner().map_err(|e| e.into_error().into())
}

/// To a millionth: adding up leaves bits that mean nothing.
fn round(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn rounded<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    headroom_model::number::serialize(&round(*number), serializer)
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn option_rounded<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    headroom_model::number::option::serialize(&number.map(round), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(structure: &str, resource: Resource, used: f64) -> Line {
        Line {
            structure: structure.into(),
            host: "host0".into(),
            application: Some("app, one".into()),
            user: None,
            resource,
            areas: Areas { used, allocated: 2.0 * used, reserved: 4.0 * used },
        }
    }

    fn prices() -> Prices {
        Prices { core_hour: Some(0.04), gib_hour: Some(0.005), ..Prices::default() }
    }

    #[test]
    fn a_core_for_an_hour_and_a_gib_for_an_hour() {
        let lines =
            [line("a", Resource::Cpu, 360_000.0), line("a", Resource::Mem, 1024.0 * 3600.0), line("b", Resource::Cpu, 360_000.0)];
        let wanted = Wanted { to: 7200.0, ..Wanted::default() };
        let bill = Bill::of(&lines, &wanted, &prices(), true);
        assert_eq!((bill.resources["cpu"].used, bill.resources["cpu"].unit.as_str()), (200.0, "share-hours"));
        assert_eq!((bill.resources["mem"].used, bill.resources["mem"].unit.as_str()), (1024.0, "MiB-hours"));
        assert_eq!((bill.resources["cpu"].utilization, bill.resources["cpu"].fixed_utilization), (Some(0.5), Some(0.25)));
        let json = serde_json::to_value(&bill).unwrap();
        assert_eq!(json["bill"], serde_json::json!({"used": 0.085, "allocated": 0.17, "reserved": 0.34}));
        assert_eq!(json["accounts"].as_array().unwrap().len(), 2);
        assert_eq!(json["accounts"][1]["resources"]["cpu"]["cost"]["used"], 0.04);
        let free = Bill::of(&lines, &wanted, &Prices::default(), false);
        assert_eq!((free.bill, free.resources["cpu"].cost, free.accounts.len()), (None, None, 0));
    }

    #[test]
    fn a_table_has_a_row_a_line() {
        let lines = [line("a", Resource::Cpu, 360_000.0), line("b\"c", Resource::Net, 3600.0)];
        let csv = String::from_utf8(csv(&lines, &prices()).unwrap()).unwrap();
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows[0].split(',').count(), 15);
        assert_eq!(rows[1], "a,host0,\"app, one\",,cpu,share-hours,100,200,400,0.5,0.25,0.04,0.08,0.16,EUR");
        assert_eq!(rows[2], "\"b\"\"c\",host0,\"app, one\",,net,Mbit/s-hours,1,2,4,0.5,0.25,,,,EUR");
    }
}
