use super::*;

/// Two sockets of two cores of two threads, numbered as Linux does: first threads 0-3, siblings 4-7.
fn topology() -> Topology {
    let core = |a, b| vec![a, b];
    BTreeMap::from([
        (0, BTreeMap::from([(0, core(0, 4)), (1, core(1, 5))])),
        (1, BTreeMap::from([(0, core(2, 6)), (1, core(3, 7))])),
    ])
}

fn flat(cores: u32) -> Topology {
    BTreeMap::from([(0, (0..cores).map(|c| (c, vec![c])).collect())])
}

fn name(n: &str) -> Arc<str> {
    Arc::from(n)
}

#[test]
fn five_distributions() {
    let order = |name: &str| name.parse::<Distribution>().unwrap().order(&topology());
    assert_eq!(order("Group_PP_LL"), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(order("Group_P&L"), [0, 4, 1, 5, 2, 6, 3, 7]);
    assert_eq!(order("Group_1P_2L"), [0, 1, 4, 5, 2, 3, 6, 7]);
    assert_eq!(order("Spread_P&L"), [0, 4, 2, 6, 1, 5, 3, 7]);
    assert_eq!(order("Spread_PP_LL"), [0, 2, 1, 3, 4, 6, 5, 7]);
    assert!("Group".parse::<Distribution>().is_err());
}

#[test]
fn subscribing_takes_free_cores_in_order_then_the_freest() {
    let mut map = CoreMap::new(&flat(4), Distribution::default());
    map.subscribe(&name("a"), 250.0).unwrap();
    assert_eq!((map.cpuset("a"), map.held(2, "a")), (vec![0, 1, 2], 50.0));
    map.subscribe(&name("b"), 120.0).unwrap();
    assert_eq!((map.held(3, "b"), map.held(2, "b")), (100.0, 20.0));
    assert_eq!(map.subscribe(&name("c"), 31.0), Err(CoresFull { wanted: 31.0, free: 30.0 }));
    assert_eq!(map.cpuset("c"), [0; 0], "whole or not at all");
    let mapping = map.mapping();
    assert_eq!(mapping[&2], BTreeMap::from([("a".into(), 50.0), ("b".into(), 20.0), ("free".into(), 30.0)]));
}

#[test]
fn up_fills_own_cores_first_and_down_gives_up_the_smallest() {
    let mut map = CoreMap::new(&flat(4), Distribution::default());
    map.subscribe(&name("a"), 50.0).unwrap();
    map.subscribe(&name("b"), 60.0).unwrap();
    map.up(&name("a"), 120.0).unwrap();
    assert_eq!((map.held(0, "a"), map.held(1, "a"), map.held(2, "a")), (100.0, 0.0, 70.0), "core 1 is not wholly free");
    map.up(&name("a"), 150.0).unwrap();
    assert_eq!((map.held(1, "a"), map.held(2, "a"), map.held(3, "a")), (20.0, 100.0, 100.0));
    assert_eq!(map.down("a", 130.0), 130.0);
    // 20 of core 1, then of the full ones the last: all of 3 and 10 of 2.
    assert_eq!(map.cpuset("a"), [0, 2]);
    assert_eq!((map.held(0, "a"), map.held(2, "a")), (100.0, 90.0));
    assert_eq!(map.down("a", 500.0), 190.0, "not more than it had");
    assert_eq!((map.cpuset("a"), map.total_held("b")), (vec![], 60.0));
}

#[test]
fn cores_come_and_go() {
    let mut map = CoreMap::new(&flat(3), Distribution::default());
    map.subscribe(&name("a"), 200.0).unwrap();
    map.subscribe(&name("b"), 60.0).unwrap();
    assert_eq!(map.set_topology(&flat(2), Distribution::default()), [(name("b"), 60.0)], "nothing is free for b");
    assert_eq!((map.cpuset("a"), map.cpuset("b")), (vec![0, 1], vec![]));
    assert_eq!(map.set_topology(&flat(4), Distribution::default()), []);
    assert_eq!(map.total_free(), 200.0);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_core_gives_out_more_than_it_has(steps in prop::collection::vec((0..4_u8, 0..4_usize, 0.0..250.0_f64), 1..60)) {
            let names = ["a", "b", "c", "d"].map(name);
            let mut map = CoreMap::new(&topology(), Distribution::SpreadPpLl);
            for (step, who, shares) in steps {
                let before = map.clone();
                let shares = shares.trunc();
                let who = &names[who];
                match step {
                    0 | 1 => {
                        let done = if step == 0 { map.subscribe(who, shares) } else { map.up(who, shares) };
                        let more = if done.is_ok() { shares } else { 0.0 };
                        prop_assert_eq!(map.total_held(who), before.total_held(who) + more);
                        prop_assert!(done.is_ok() || map == before);
                    }
                    2 => {
                        let taken = map.down(who, shares);
                        prop_assert_eq!(map.total_held(who), before.total_held(who) - taken);
                    }
                    _ => map.remove(who),
                }
                for cpu in 0..8 {
                    let held: f64 = names.iter().map(|n| map.held(cpu, n)).sum();
                    prop_assert!(held <= WHOLE && map.free(cpu) >= 0.0);
                }
            }
        }
    }
}
