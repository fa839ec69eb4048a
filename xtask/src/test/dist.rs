//! The static programs in a root that has nothing else: do they find a host by its name, and trust whom they should over TLS?
//!
//! Central, an agent and headroomctl run in a directory of their own with a network of their own, whose only name server is ours. The agent is
//! given what it works on: /sys, /proc and /dev.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::Outcome;
use crate::{dist, process, repo};

/// What central is called; no file has it.
const NAME: &str = "central.headroom.test";
const LONGEST: Duration = Duration::from_secs(30);

/// Builds the programs and runs them.
pub(super) fn run() -> Result<Outcome> {
    let built = dist::build("dev")?;
    // Whatever it mounts and listens on is gone with the thread.
    let proved = std::thread::spawn(move || prove(&built)).join().map_err(|_panic| anyhow!("the proof panicked"))?;
    if let Err(e) = &proved {
        eprintln!("test: static programs: {e:#}");
    }
    Ok(Outcome::Check { passed: proved.is_ok() })
}

fn prove(built: &Path) -> Result<()> {
    let root = Root::make(built)?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("no namespaces of our own")?;
    process::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    root.mount()?;
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).context("no name server of our own")?;
    std::thread::spawn(move || answer_names(&names));

    let mut central = root.start(&["/headroom-central", "serve", "--config", "/etc/central.toml"], "central.log")?;
    let url = format!("https://{NAME}:5443");
    let ask = |ca: &str| root.command(&["/headroomctl", "--central", &url, "--ca", ca, "--output", "json", "hosts"]).output();
    root.until("central answers who finds it by name and trusts its authority", || Ok(ask("/etc/ours.pem")?.status.success()))?;
    let told = ask("/etc/other.pem")?;
    ensure!(told.status.code() == Some(3), "headroomctl trusts an authority that it should not: {told:?}");

    let mut agent = root.start(&["/headroom-agent", "run", "--config", "/etc/agent.toml"], "agent.log")?;
    root.until("the agent is linked", || Ok(String::from_utf8_lossy(&ask("/etc/ours.pem")?.stdout).contains("headroom-static")))?;
    for child in [&mut agent, &mut central] {
        child.0.kill()?;
        child.0.wait()?;
    }
    Ok(())
}

/// A directory with the programs, their settings and nothing else.
struct Root(TempDir);

impl Root {
    fn make(built: &Path) -> Result<Self> {
        let dir = TempDir::new_in(repo::root().join("target")).context("no directory for an empty root")?;
        let root = Self(dir);
        for directory in ["etc", "state", "sys", "proc", "dev"] {
            fs::create_dir(root.path(directory))?;
        }
        for program in dist::PROGRAMS {
            fs::copy(built.join(program), root.path(program))?;
        }
        root.certificates()?;
        let write = |file: &str, text: &str| fs::write(root.path(file), text);
        write("etc/resolv.conf", "nameserver 127.0.0.1\n")?;
        write(
            "etc/central.toml",
            "listen = '127.0.0.1:5443'\nstate_dir = '/state/central'\n\
             allowed_hosts = ['central.headroom.test']\n[tls]\ncertificate = '/etc/central.crt'\nkey = '/etc/central.key'\n",
        )?;
        write(
            "etc/agent.toml",
            "host.name = 'headroom-static'\nagent.state_dir = '/state/agent'\ndiscovery.engines = []\napi.listen = 'off'\n\
             api.socket = '/state/agent.sock'\nsampler.source = 'cgroupfs'\n\
             [central]\nurl = 'https://central.headroom.test:5443'\nca = '/etc/ours.pem'\nreport_interval = '500ms'\n",
        )?;
        Ok(root)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn certificates(&self) -> Result<()> {
        for name in ["ours", "other"] {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            fs::write(self.path(&format!("etc/{name}.pem")), params.self_signed(&key)?.pem())?;
            if name == "ours" {
                let own = KeyPair::generate()?;
                let signed =
                    CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&own, &Issuer::from_params(&params, &key))?;
                fs::write(self.path("etc/central.crt"), signed.pem())?;
                fs::write(self.path("etc/central.key"), own.serialize_pem())?;
            }
        }
        Ok(())
    }

    /// Only for this thread and what it starts.
    fn mount(&self) -> Result<()> {
        const NONE: Option<&str> = None;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("mounts cannot be kept to ourselves")?;
        for directory in ["sys", "proc", "dev"] {
            let from = Path::new("/").join(directory);
            mount(Some(&from), &self.path(directory), NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
                .with_context(|| format!("/{directory} cannot be shown in the empty root"))?;
        }
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.0.path()).args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    fn start(&self, words: &[&str], log: &str) -> Result<Killed> {
        let log = fs::File::create(self.path(log))?;
        Ok(Killed(self.command(words).stdout(Stdio::null()).stderr(log).spawn().context("chroot cannot be started")?))
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + LONGEST;
        while !done()? {
            let logs = || ["central.log", "agent.log"].map(|log| fs::read_to_string(self.path(log)).unwrap_or_default()).concat();
            ensure!(Instant::now() < until, "waited in vain: {what}\n{}", logs());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Every name is loopback's address; there are no others (RFC 1035, 4.1).
fn answer_names(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let Some(end) = question.get(12..length).and_then(|names| names.iter().position(|byte| *byte == 0)).map(|at| 12 + at + 5)
        else {
            continue;
        };
        let Some(asked) = question.get(..end).filter(|_| end <= length) else { continue };
        let is_address = asked.get(end - 4..end - 2) == Some(&[0, 1]);
        let mut answer = asked.to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
        if is_address {
            // The question's name, an address, for a minute.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        if let Err(e) = socket.send_to(&answer, from) {
            eprintln!("test: the name server: {e}");
        }
    }
}
