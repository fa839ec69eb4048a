//! `captured.txt` has what kernels answered, a message a line, after what `tc` was told: 6.18, and 6.12 for policing.

use super::*;

/// Those of a name, in their order.
fn captured(name: &str) -> Vec<Vec<u8>> {
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let lines = include_str!("captured.txt").lines().filter_map(|line| line.split_once(' '));
    let messages = lines.filter(|(known, _)| *known == name);
    messages.map(|(_, hex)| (0..hex.len()).step_by(2).map(|at| byte(hex, at)).collect()).collect()
}

fn qdiscs(name: &str) -> Vec<Qdisc> {
    captured(name).iter().filter_map(|message| qdisc(message)).map(|(_, qdisc)| qdisc).collect()
}

fn filters(name: &str) -> Vec<Filter> {
    let messages = captured(name);
    assert!(!messages.is_empty(), "{name}");
    messages.iter().filter_map(|message| filter(message)).collect()
}

fn policed(name: &str) -> Option<Limit> {
    filters(name).first().map(|filter| filter.police)
}

#[test]
fn a_bucket_at_the_root() {
    assert_eq!(qdiscs("tbf"), [Qdisc::Tbf(Limit::At(50.0))]);
    assert_eq!(qdiscs("tbf_40_gbit"), [Qdisc::Tbf(Limit::At(40_000.0))]);
    assert_eq!((captured("noqueue").len(), qdiscs("noqueue")), (1, vec![]));
}

#[test]
fn what_comes_in_is_filtered() {
    assert!(qdiscs("ingress").contains(&Qdisc::Ingress));
    assert!(qdiscs("clsact").contains(&Qdisc::Ingress));
}

/// 1:1 of 40 Mbit/s has below it 1:10, of up to 60, and 1:20, of up to 20; beside it is 1:30, of 40 Gbit/s.
#[test]
fn of_classes_the_default_one_counts_and_those_above_it() {
    assert_eq!(qdiscs("htb"), [Qdisc::Htb { id: 0x1_0000, default: 0x1_0010 }]);
    let classes: Vec<_> = captured("class").iter().filter_map(|message| class(message)).collect();
    assert_eq!(classes.len(), 4);
    let through = |default| through_classes(default, &classes, &[]);
    assert_eq!(through(0x1_0010), Limit::At(40.0), "it may not have more than the one above");
    assert_eq!(through(0x1_0020), Limit::At(20.0));
    assert_eq!(through(0x1_0030), Limit::At(40_000.0));
    assert_eq!(through(0x1_0001), Limit::Unlimited, "no packet is queued in one that has others below");
    assert_eq!(through(0x1_0099), Limit::Unlimited, "there is none");
}

/// For 1:77, which is not there, 1:30 of port 80, 1:20 of all IPv4, 1:30 of IPv6.
#[test]
fn a_filter_for_everything_goes_before_the_default() {
    let filters = filters("filter");
    let classes: Vec<_> = captured("class").iter().filter_map(|message| class(message)).collect();
    assert_eq!(filters.iter().map(|filter| filter.class).collect::<Vec<_>>(), [Some(0x1_0077), Some(0x1_0020)]);
    assert_eq!(through_classes(0x1_0010, &classes, &filters), Limit::At(20.0));
}

#[test]
fn what_is_sent_on_is_held_back_elsewhere() {
    let [on] = filters("redirected")[..] else { panic!("{:?}", filters("redirected")) };
    assert_eq!((on.police, on.redirect.is_some()), (Limit::Unlimited, true));
    assert_eq!(filters("mirrored")[..], [Filter { redirect: None, ..on }], "a copy holds nothing back");
}

#[test]
fn what_is_policed() {
    assert_eq!(policed("police_u32"), Some(Limit::At(20.0)));
    assert_eq!(policed("police_action"), Some(Limit::At(20.0)));
    assert_eq!(policed("police_matchall"), Some(Limit::At(12.0)));
    assert_eq!(policed("police_40_gbit"), Some(Limit::At(40_000.0)));
    assert_eq!(policed("police_reclassifies"), Some(Limit::At(9.0)), "it is dropped in the end");
    assert_eq!(policed("police_continues"), Some(Limit::Unlimited), "what is too much goes on");
    assert_eq!(policed("police_port"), None, "a part");
    assert_eq!(policed("police_chain"), None, "nobody is sent there");
}

#[test]
fn what_is_cut_off_is_no_panic() {
    for (name, _) in include_str!("captured.txt").lines().filter_map(|line| line.split_once(' ')) {
        for message in captured(name) {
            for end in 0..message.len() {
                let cut = &message[..end];
                let understood = qdisc(cut).is_some() || class(cut).is_some() || filter(cut).is_some();
                assert!(!understood || end > HEADER, "{name}, of which {end} bytes came");
            }
        }
    }
}
