//! A host that has less than is wanted.

use std::thread;
use std::time::Duration;

use crate::bed::Bed;
use crate::files::{Watch, prefer, shares};

const HOST: f64 = 150.0;

#[test]
fn the_sum_of_limits_never_passes_the_host() {
    let bed = Bed::new("full");
    let cgroups = ["cont0", "cont1", "cont2"].map(|name| bed.container(name));
    cgroups.iter().for_each(prefer);
    let mut loads = cgroups.each_ref().map(|cgroup| cgroup.burn(2, 0.0));
    let mut config = bed.config();
    config.set("guardian.window", "cpu", "'100ms'").set("host.max", "cpu", &HOST.to_string());
    for name in ["cont0", "cont1", "cont2"] {
        config.guard(name, "true", [20, 120, 5]);
    }
    let watch = Watch::of(&cgroups.each_ref());
    let agent = bed.run(&config);
    for name in ["cont0", "cont1", "cont2"] {
        agent.until_guarded(name);
    }
    // All want all at once, give back, and want again.
    for round in 0..4 {
        for (n, load) in loads.iter_mut().enumerate() {
            load.set_duty(if (round + n) % 4 == 3 { 0.05 } else { 1.0 });
        }
        thread::sleep(Duration::from_millis(1500));
    }
    for load in &mut loads {
        load.set_duty(1.0);
    }
    agent
        .until("some are starved", |agent| agent.get("/decisions").as_array().unwrap().iter().any(|d| d["outcome"] == "starved"));
    let all = agent.get("/decisions?limit=1000");
    let told = |outcome| all.as_array().unwrap().iter().filter(|d| d["outcome"] == outcome).count();
    assert!(told("applied") + told("partial") > 3, "{all}");
    assert!(told("failed") == 0, "{all}");
    let starved = all.as_array().unwrap().iter().find(|d| d["outcome"] == "starved").unwrap();
    assert_eq!(starved["from"], starved["to"], "{starved}");
    assert!(starved["detail"].as_str().unwrap().contains("the host has nothing free"), "{starved}");

    let seen = watch.end();
    let sum = |shares: &[Option<f64>]| shares.iter().flatten().sum::<f64>();
    // Raises and lowerings of one look are not of one moment: a look is three files' reading long, the sum of limits only ever
    // falls before it rises.
    let worst = seen.iter().map(|seen| sum(&seen.shares)).fold(0.0, f64::max);
    assert!(worst <= HOST + 0.01, "{worst}");
    assert!(seen.len() > 100 && worst > HOST - 20.0, "{} looks, {worst} at most", seen.len());
    let counts = agent.status()["counters"]["decisions"].to_string();
    assert!(counts.contains("starved"), "{counts}");
    let metrics = agent.send("GET", "/metrics", "").body;
    assert!(metrics.lines().any(|line| line.contains("starved") && !line.starts_with('#') && !line.ends_with(" 0")), "{metrics}");
}

#[test]
fn what_is_short_is_split_by_weight() {
    let bed = Bed::new("weights");
    let [light, heavy] = ["light", "heavy"].map(|name| bed.container(name));
    [&light, &heavy].into_iter().for_each(prefer);
    let mut loads = [light.burn(2, 0.0), heavy.burn(2, 0.0)];
    let mut config = bed.config();
    // At rest at 30 each: 60 are free, and each wants 75 more.
    config.set("host.max", "cpu", "120").set("guardian", "rejudge", "false");
    config.guard("light", "true", [20, 110, 5]).resource("weight = 1.0");
    config.guard("heavy", "true", [20, 110, 5]).resource("weight = 3.0");
    let agent = bed.run(&config);
    agent.until("both are at rest", |_| shares(&light) == Some(30.0) && shares(&heavy) == Some(30.0));
    for load in &mut loads {
        load.set_duty(1.0);
    }
    agent.until("both have been raised or starved", |agent| {
        ["light", "heavy"].iter().all(|name| agent.decisions(name).iter().any(|d| d.action == "CpuRescaleUp"))
    });
    let first = |name| agent.decisions(name).into_iter().find(|d| d.action == "CpuRescaleUp").unwrap();
    let (to_light, to_heavy) = (first("light"), first("heavy"));
    let sum = shares(&light).unwrap() + shares(&heavy).unwrap();
    assert!(sum <= 120.0, "{sum}");
    assert!([&to_light, &to_heavy].iter().any(|d| d.outcome == "partial"), "{to_light:?} {to_heavy:?}");
    if to_light.outcome == "partial" && to_heavy.outcome == "partial" {
        assert_eq!((to_light.to, to_heavy.to), (Some(45.0), Some(75.0)));
    }
}
