//! What is mounted on this host.

use headroom_agent::cgroup::{Controller, Hierarchies, Mode, Version};

use crate::ground::Ground;

#[test]
fn what_is_mounted_is_found() {
    let hierarchies = Hierarchies::probe().unwrap();
    let v1 = hierarchies.controllers().iter().any(|place| place.version == Version::V1);
    println!("{:?}: {:?}", hierarchies.mode(), hierarchies.controllers());
    let mode = match (v1, hierarchies.unified_root().is_some()) {
        (true, true) => Mode::Hybrid,
        (true, false) => Mode::V1,
        (false, _) => Mode::V2,
    };
    assert_eq!(hierarchies.mode(), mode);
    assert!(hierarchies.controllers().iter().all(|place| place.root.join("cgroup.procs").exists()));
    assert_eq!(hierarchies.cpu_root(), Ground::Kernel.place(Controller::Cpu).root);
}
