use super::*;
use crate::cgroup::Hierarchies;

fn mode() -> Mode {
    Hierarchies::probe().unwrap().mode()
}

#[test]
fn this_machine_offers_all_that_is_needed() {
    let facts = Facts::probe(mode());
    assert_eq!(facts.missing(), None);
    assert_eq!(facts.iter().count(), 7);
}

#[test]
fn each_lack_is_told_with_what_helps() {
    let capable = Facts::probe(mode());
    for taken in 0..7 {
        let mut facts = capable.clone();
        facts.0[taken].found = Err("taken away".into());
        let missing = facts.missing().unwrap();
        assert_eq!(missing.need, capable.0[taken].need);
        let told = missing.to_string();
        assert!(told.contains("taken away") && told.ends_with(missing.advice()), "{told}");
    }
}

#[test]
fn the_first_lack_explains_the_others() {
    let mut facts = Facts::probe(mode());
    for fact in &mut facts.0 {
        fact.found = Err("missing".into());
    }
    assert_eq!(facts.missing().unwrap().need, Need::Btf);
}

#[test]
fn capabilities_are_read_from_the_effective_set() {
    let status = |mask: &str| format!("Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t{mask}\n");
    assert_eq!(capability(&status("000001ffffffffff"), CAP_BPF), Ok("present".into()));
    assert_eq!(capability(&status("0000008000000000"), CAP_BPF), Ok("present".into()));
    assert_eq!(capability(&status("0000008000000000"), CAP_PERFMON), Err("missing".into()));
    assert_eq!(capability(&status("0000000000200000"), CAP_PERFMON), Ok("by CAP_SYS_ADMIN".into()));
    assert_eq!(capability("", CAP_BPF), Err("/proc/self/status shows no CapEff".into()));
}

#[test]
fn the_config_can_force_either_source() {
    assert_eq!(select(Some(SourceKind::Cgroupfs), mode(), 8).unwrap().source.kind(), SourceKind::Cgroupfs);
    let ebpf = select(Some(SourceKind::Ebpf), mode(), 8).unwrap();
    assert_eq!((ebpf.source.kind(), ebpf.reason), (SourceKind::Ebpf, None));
    assert_eq!(select(None, mode(), 8).unwrap().source.kind(), SourceKind::Ebpf);
}

#[test]
fn what_ebpf_refuses_is_an_error_when_forced_and_a_reason_otherwise() {
    // More slots than the kernel side can tell apart.
    let forced = select(Some(SourceKind::Ebpf), mode(), 70_000).map(|_| ()).unwrap_err().to_string();
    assert!(forced.contains("sampler.max_containers is 70000, expected 1 to 65534"), "{forced}");
    let fallen = select(None, mode(), 70_000).unwrap();
    assert_eq!(fallen.source.kind(), SourceKind::Cgroupfs);
    assert!(fallen.reason.unwrap().contains("70000"));
}
