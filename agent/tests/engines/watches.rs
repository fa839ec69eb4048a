//! What is told by notifications alone, without a look around.

use std::time::Duration;

use crossbeam_channel::unbounded;
use headroom_agent::cgroup::Hierarchies;
use headroom_agent::containers::identity::Roots;
use headroom_agent::containers::watch::{Settings, spawn};
use headroom_agent::containers::{Discovered, Engine};

use crate::bed::quietly;
use crate::engine::LXC;

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn lxc() {
    let _bed = LXC.bed();
    let (out, told) = unbounded();
    let settings =
        Settings { engines: vec![Engine::Lxc], patterns: Vec::new(), roots: Roots::default(), rescan: Duration::from_hours(1) };
    let watcher = spawn(Hierarchies::probe().unwrap().cpu_root(), settings, out, Box::new(|| {})).unwrap();
    let next = || told.recv_timeout(Duration::from_mins(1)).expect("nothing was told");
    let appears = || {
        let Discovered::Appeared(container) = next() else { panic!("not a new one") };
        assert_eq!((container.engine, container.name.as_str()), (Engine::Lxc, "watched"));
        assert_eq!(container.path.as_str(), "lxc.payload.watched");
        container.cgroup_id
    };

    let container = LXC.start("watched", false);
    let first = appears();
    // A process that is attached has a group of its own inside, which is no container.
    assert!(quietly("lxc-attach -n watched -- /bin/true"));
    container.stop();
    assert!(matches!(next(), Discovered::Gone { cgroup_id } if cgroup_id == first));
    container.start();
    assert_ne!(appears(), first);
    watcher.stop();
}
