//! Without the capabilities for BPF, the kernel's files are the source.

use std::process::Command;

use headroom_agent::cgroup::Hierarchies;
use headroom_agent::sampler::SourceKind;
use headroom_agent::sampler::select::{Facts, Need, select};

use crate::load::Load;
use crate::testbed::TestCgroup;

/// Set in the process that has lost them.
const ENV: &str = "HEADROOM_TEST_WITHOUT_BPF";

#[test]
fn without_capabilities_the_kernels_files_take_over() {
    // CAP_PERFMON and CAP_BPF by number: names came late to some versions of the tool.
    let output = Command::new("setpriv")
        .args(["--bounding-set=-cap_38,-cap_39,-sys_admin", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "fallback::without_capabilities", "--ignored"])
        .env(ENV, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// What is to be seen there.
#[test]
#[ignore = "a part of the test above: in a process without capabilities"]
fn without_capabilities() {
    if std::env::var_os(ENV).is_none() {
        return;
    }
    let mode = Hierarchies::probe().unwrap().mode();
    assert_eq!(Facts::probe(mode).missing().map(|fact| fact.need), Some(Need::CapBpf));
    let forced = select(Some(SourceKind::Ebpf), mode, 8).map(|_| ()).unwrap_err().to_string();
    assert!(forced.contains("CAP_BPF: missing; run as root") && forced.contains("sampler.source forces it"), "{forced}");

    let mut selected = select(None, mode, 8).unwrap();
    assert_eq!(selected.source.kind(), SourceKind::Cgroupfs);
    assert!(selected.reason.unwrap().contains("CAP_BPF: missing"));
    let mut cgroup = TestCgroup::new();
    let slot = selected.source.track(&cgroup.open()).unwrap();
    assert!(!selected.source.arm(slot, Some(1)) && selected.source.events().is_none());
    cgroup.run(Load::Spin, crate::SETTLE);
    cgroup.wait();
    assert!(selected.source.used_ns(slot).unwrap() > 10_000_000);
}
