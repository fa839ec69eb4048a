//! Bytes of containers' sockets, in the v2 tree: also in the one that hybrid hosts have beside their controllers.

use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use headroom_agent::cgroup::{Cgroup, CgroupPath, Hierarchies, Mode};
use headroom_agent::sampler::ebpf::cost::keep_statistics;
use headroom_agent::sampler::ebpf::{EbpfSource, Program};
use headroom_agent::sampler::{SlotId, UsageSource as _};
use nix::libc;

use crate::talk::{Network, Party, Role, over_a_cable};
use crate::testbed::TestCgroup;

const MIB: u64 = 1 << 20;
/// What a container sends and receives.
const SAID: [u64; 2] = [6 * MIB, 16 * MIB];
/// What headers, acknowledgements and the end of a connection may add.
const MORE: f64 = 1.02;
/// How often they talk until TCP has sent nothing again, which is use of the network, too: a busy machine delays acknowledgements.
const TRIES: usize = 5;

/// The v2 tree by itself. `None` where there is none: then that is what the source has to say.
fn tree() -> Option<Hierarchies> {
    let found = Hierarchies::probe().unwrap();
    match found.mode() {
        Mode::V2 => Some(found),
        Mode::Hybrid => Some(Hierarchies::at(found.unified_root().unwrap()).unwrap()),
        Mode::V1 => {
            assert_eq!(source().net_reason(), Some("eBPF is not available: there is no v2 tree"));
            None
        }
    }
}

/// A source that follows the v2 tree.
fn source() -> EbpfSource {
    EbpfSource::load(Mode::V2, 64).unwrap()
}

/// A cgroup as it stands in that tree.
fn in_tree(tree: &Hierarchies, cgroup: &TestCgroup) -> Cgroup {
    tree.open(&CgroupPath::new(cgroup.path()).unwrap()).unwrap()
}

/// Talks over a cable from a cgroup, of which `slot` is told. By how much its bytes grew, sent and received: what was said, and little more.
fn counted(source: &EbpfSource, slot: SlotId, role: Role, network: Network, cgroup: &TestCgroup) -> [u64; 2] {
    let most = SAID.map(|said| said as f64 * MORE);
    let mut all = Vec::new();
    for _ in 0..TRIES {
        let before = source.net_bytes(slot).unwrap();
        over_a_cable(role, network, SAID, |process| cgroup.attach(process));
        let now = source.net_bytes(slot).unwrap();
        let counted = [now[1] - before[1], now[0] - before[0]];
        assert!(counted.iter().zip(SAID).all(|(counted, said)| *counted >= said), "{counted:?} bytes counted of {SAID:?}");
        if counted.iter().zip(most).all(|(counted, most)| *counted as f64 <= most) {
            return counted;
        }
        all.push(counted);
    }
    panic!("{all:?} bytes counted of {SAID:?}, expected at most {most:?}");
}

#[test]
fn what_sockets_send_and_receive_is_their_containers() {
    let Some(tree) = tree() else { return };
    let mut source = source();
    assert_eq!(source.net_reason(), None);
    let (outer, other) = (TestCgroup::new(), TestCgroup::new());
    let inner = outer.below("inner");
    // Nobody tracks the one that processes are in.
    let leaf = inner.below("leaf");
    let [outer, inner, other] = [&outer, &inner, &other].map(|cgroup| source.track(&in_tree(&tree, cgroup)).unwrap());
    assert_eq!([outer, inner, other].map(|slot| source.net_bytes(slot)), [Some([0, 0]); 3]);
    let _statistics = keep_statistics().unwrap();
    let cost = |source: &EbpfSource| [Program::Received, Program::Sent].map(|program| source.cost_of(program).unwrap());
    let cost_before = cost(&source);
    for (role, network) in [(Role::Asks, Network::Host), (Role::Asks, Network::Own), (Role::Answers, Network::Own)] {
        let counted = counted(&source, outer, role, network, &leaf);
        println!("{role:?} in the network {network:?}: {counted:?} of {SAID:?} bytes");
    }
    for (now, before) in cost(&source).into_iter().zip(cost_before) {
        println!("{} packets, {:?} ns each, statistics included", now.runs - before.runs, now.mean_ns_since(before));
    }
    assert_eq!(source.net_bytes(inner), source.net_bytes(outer), "what is an inner container's is the outer one's too");
    assert_eq!(source.net_bytes(other), Some([0, 0]));

    source.untrack(inner);
    assert_eq!(source.net_bytes(inner), None);
    counted(&source, outer, Role::Asks, Network::Host, &leaf);
}

#[test]
fn what_a_container_says_to_its_own_host_is_no_use_of_the_network() {
    let Some(tree) = tree() else { return };
    let mut source = source();
    let container = TestCgroup::new();
    let slot = source.track(&in_tree(&tree, &container)).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut parties = [Role::Answers, Role::Asks].map(|role| Party::start(role, Network::Host, [MIB, MIB]));
    for party in &mut parties {
        container.attach(party.pid());
        party.talk(&address);
    }
    parties.into_iter().for_each(Party::finish);
    assert_eq!(source.net_bytes(slot), Some([0, 0]));
}

#[test]
fn a_slot_that_is_taken_anew_begins_at_nothing() {
    let Some(tree) = tree() else { return };
    let mut source = EbpfSource::load(Mode::V2, 1).unwrap();
    let (container, next) = (TestCgroup::new(), TestCgroup::new());
    let slot = source.track(&in_tree(&tree, &container)).unwrap();
    over_a_cable(Role::Asks, Network::Host, [MIB, MIB], |process| container.attach(process));
    assert!(source.net_bytes(slot).unwrap().iter().all(|bytes| *bytes >= MIB));
    source.untrack(slot);
    let again = source.track(&in_tree(&tree, &next)).unwrap();
    assert_eq!((again, source.net_bytes(again)), (slot, Some([0, 0])));
}

#[test]
fn where_containers_are_followed_in_v1_interfaces_are_read() {
    let mut source = crate::ebpf();
    let container = TestCgroup::new();
    let slot = source.track(&container.open()).unwrap();
    if Hierarchies::probe().unwrap().mode() == Mode::V2 {
        assert_eq!((source.net_reason(), source.net_bytes(slot)), (None, Some([0, 0])));
    } else {
        let why = source.net_reason().unwrap();
        assert!(why.contains("a socket has a cgroup in the v2 tree alone"), "{why}");
        assert_eq!(source.net_bytes(slot), None);
    }
}

#[test]
fn programs_of_others_at_the_root_are_left_alone() {
    let Some(tree) = tree() else { return };
    let container = TestCgroup::new();
    let mut sources = [source(), source()];
    let slots = sources.each_mut().map(|source| source.track(&in_tree(&tree, &container)).unwrap());
    over_a_cable(Role::Asks, Network::Host, [MIB, MIB], |process| container.attach(process));
    let [first, second] = sources;
    let [one, two] = [first.net_bytes(slots[0]).unwrap(), second.net_bytes(slots[1]).unwrap()];
    assert!(one == two && one.iter().all(|bytes| *bytes >= MIB), "{one:?} {two:?}");
    // One goes: the other's programs stay.
    drop(first);
    over_a_cable(Role::Asks, Network::Host, [MIB, MIB], |process| container.attach(process));
    assert!(second.net_bytes(slots[1]).unwrap()[0] >= two[0] + MIB);
}

#[test]
#[ignore = "it has the root of the v2 tree for itself: in VMs only"]
fn a_program_that_leaves_no_room_is_named() {
    let tree = tree().unwrap();
    let alone = Alone::attach(&tree);
    let mut refused = source();
    let why = refused.net_reason().unwrap();
    assert!(why.contains("leaves no room for others"), "{why}");
    let container = TestCgroup::new();
    let slot = refused.track(&in_tree(&tree, &container)).unwrap();
    assert_eq!(refused.net_bytes(slot), None);
    assert!(refused.used_ns(slot).is_some(), "CPU time is counted all the same");
    drop(alone);
    assert_eq!(source().net_reason(), None);
}

/// A program that lets everything pass, at what sockets receive, attached as old programs do: with no room for another. Until it is dropped.
struct Alone {
    program: OwnedFd,
    root: OwnedFd,
}

/// `BPF_PROG_LOAD`, `BPF_PROG_ATTACH` and `BPF_PROG_DETACH` of `bpf(2)`.
const LOAD: libc::c_int = 5;
const ATTACH: libc::c_int = 8;
const DETACH: libc::c_int = 9;

impl Alone {
    fn attach(tree: &Hierarchies) -> Self {
        /// `BPF_PROG_TYPE_CGROUP_SKB`
        const CGROUP_SKB: u32 = 8;
        // r0 = 1; exit
        let instructions: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        let licence = c"GPL";
        let load = [u64::from(CGROUP_SKB) | (2 << 32), instructions.as_ptr() as u64, licence.as_ptr() as u64];
        let program = bpf(LOAD, &load);
        // SAFETY: the kernel has just given it to us.
        let program = unsafe { OwnedFd::from_raw_fd(program) };
        let root = tree.unified_fd().unwrap().try_clone_to_owned().unwrap();
        let alone = Self { program, root };
        alone.at_the_root(ATTACH);
        alone
    }

    /// Without flags, at `BPF_CGROUP_INET_INGRESS`, which is 0.
    fn at_the_root(&self, command: libc::c_int) {
        let [root, program] = [self.root.as_raw_fd(), self.program.as_raw_fd()].map(|fd| u64::from(fd.cast_unsigned()));
        bpf(command, &[root | (program << 32), 0]);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.at_the_root(DETACH);
    }
}

fn bpf(command: libc::c_int, words: &[u64]) -> i32 {
    // SAFETY: the words, and what they point to, live as long as the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, words.as_ptr(), size_of_val(words)) };
    assert!(answer >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    i32::try_from(answer).unwrap()
}
