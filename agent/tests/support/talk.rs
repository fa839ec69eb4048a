//! Two processes that talk over a cable of the test's own (a pair of virtual network cards), for those tests that count what they say.
#![allow(dead_code, reason = "every test uses the part that it needs")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Tells this binary, started again, that it is to be one of the two, and how many bytes it sends and receives.
const ENV: &str = "HEADROOM_TEST_TALK";
/// What it says when it waits to be told where.
const READY: &str = "ready to talk";
/// How long one waits for the other; long, for an emulated machine is slow.
const LONGEST: Duration = Duration::from_mins(1);

/// Who speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Connects, sends, and then receives.
    Asks,
    /// Is connected to, receives, and then sends.
    Answers,
}

/// Whose network a process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// The test's.
    Host,
    /// One of its own, with a loopback that is down.
    Own,
}

impl Network {
    /// A command in it: as it is, or by way of another one, which becomes it.
    fn command(self, program: &Path, way: &[&str]) -> Command {
        if self == Self::Host {
            return Command::new(program);
        }
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).arg(program);
        command
    }
}

/// One of the two. Dropped, it is killed, and a cable to a network of its own is gone with it.
pub(crate) struct Party {
    process: Child,
    network: Network,
}

impl Party {
    /// Starts it, where it does nothing yet, so that it can be put into a cgroup.
    pub(crate) fn start(role: Role, network: Network, [sends, receives]: [u64; 2]) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut process = network
            .command(&exe, &["unshare", "--net"])
            .args(["--exact", &party_test(), "--ignored", "--nocapture", "--test-threads=1"])
            .env(ENV, format!("{role:?} {sends} {receives}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let party = Self { process, network };
        assert!(said.any(|line| line.unwrap().ends_with(READY)), "the process that is to talk did not start");
        // Nobody reads on; what the harness says at its end must not fail.
        thread::spawn(move || said.count());
        party
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lets it talk, at this address: its own, or the other's.
    pub(crate) fn talk(&mut self, address: &str) {
        writeln!(self.process.stdin.take().unwrap(), "{address}").unwrap();
    }

    /// Waits until it has said and heard everything.
    pub(crate) fn finish(mut self) {
        assert!(self.process.wait().unwrap().success(), "the process that was to talk failed");
    }

    /// The commands of `ip`, in its network.
    fn ip(&self, command: &str) {
        let inside = format!("--net=/proc/{}/ns/net", self.pid());
        done(self.network.command(Path::new("ip"), &["nsenter", &inside]).args(command.split(' ')));
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Connects the network of one to that of the other, which has one of its own. Gives the address of each.
pub(crate) fn cable(one: &Party, other: &Party) -> [String; 2] {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Those of one test are gone a moment after it: the next has others.
    let [near, far] = ["a", "b"].map(|end| format!("hrt{}{end}{count}", std::process::id() % 1_000_000));
    let end = |party: &Party| match party.network {
        Network::Host => String::new(),
        Network::Own => format!(" netns {}", party.pid()),
    };
    done(Command::new("ip").args(format!("link add {near}{} type veth peer name {far}{}", end(one), end(other)).split(' ')));
    let network = format!("10.{}.{}", 200 + std::process::id() % 50, count % 250);
    let addresses = [format!("{network}.1"), format!("{network}.2")];
    for ((party, card), address) in [(one, near), (other, far)].into_iter().zip(&addresses) {
        party.ip(&format!("address add {address}/24 dev {card}"));
        party.ip(&format!("link set {card} up"));
    }
    addresses
}

/// One of the two talks to the other over a cable, from a cgroup that `place` puts it into; the other is in none, and answers
/// from a network of its own, or asks.
pub(crate) fn over_a_cable(role: Role, network: Network, [sends, receives]: [u64; 2], place: impl FnOnce(u32)) {
    let theirs = if role == Role::Asks { Role::Answers } else { Role::Asks };
    let mut one = Party::start(role, network, [sends, receives]);
    let mut other = Party::start(theirs, Network::Own, [receives, sends]);
    place(one.pid());
    let [near, far] = cable(&one, &other);
    let at = format!("{}:9000", if role == Role::Answers { near } else { far });
    one.talk(&at);
    other.talk(&at);
    one.finish();
    other.finish();
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What libtest calls [`party`]: that depends on where this file is a module.
fn party_test() -> String {
    module_path!().split_once("::").map_or("party".to_owned(), |(_, module)| format!("{module}::party"))
}

/// The process itself, when this binary was started for it.
#[test]
#[ignore = "a part of the tests that talk: in a process of its own"]
fn party() {
    let Ok(order) = std::env::var(ENV) else { return };
    let words: Vec<_> = order.split(' ').collect();
    let [sends, receives] = [words[1], words[2]].map(|bytes| bytes.parse::<usize>().unwrap());
    println!("{READY}");
    let mut address = String::new();
    std::io::stdin().read_line(&mut address).unwrap();
    let address = address.trim();
    if words[0] == "Asks" {
        let mut stream = connected(address);
        stream.write_all(&vec![1; sends]).unwrap();
        stream.read_exact(&mut vec![0; receives]).unwrap();
    } else {
        let (mut stream, _) = TcpListener::bind(address).unwrap().accept().unwrap();
        stream.read_exact(&mut vec![0; receives]).unwrap();
        stream.write_all(&vec![1; sends]).unwrap();
    }
}

/// To one who may not listen yet.
fn connected(address: &str) -> TcpStream {
    let until = Instant::now() + LONGEST;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(e) => assert!(Instant::now() < until, "{address}: {e}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
