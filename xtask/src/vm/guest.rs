//! One guest from its start to its end: the share it talks over, QEMU, the clock it is held to.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::assets::{self, KernelFiles, Tools};
use super::{Hierarchy, Kernel, cpio, modules};
use crate::process::{self, shell_word};
use crate::repo;

/// How often output and end are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How much of the console is shown when a guest goes wrong, in lines.
const CONSOLE_TAIL: usize = 25;

/// What the kernel says when it gives up.
const PANIC: &str = "Kernel panic";
/// What it says before that, with a trace, where a fault was the reason.
const FAULTS: [&str; 4] = ["BUG: ", "Oops: ", "general protection fault", "cut here"];
/// How much is shown from there on, in lines.
const FAULT_TAIL: usize = 80;

/// A guest that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// On which kernel.
    pub(crate) kernel: Kernel,
    /// With which cgroup hierarchies.
    pub(crate) cgroup: Hierarchy,
    /// With how many CPUs.
    pub(crate) cpus: u16,
    /// With how much memory, in MiB.
    pub(crate) memory_mib: u32,
    /// With an empty disk of so many MiB.
    pub(crate) disk_mib: Option<u32>,
    /// For how long at most, boot included.
    pub(crate) timeout: Duration,
    /// Whether the machine's systemd is PID 1 and runs the command as a service.
    pub(crate) systemd: bool,
}

/// How a guest ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The command ran and left this exit code.
    Exited(u8),
    /// The time was up first.
    TimedOut,
    /// A signal to us ended it.
    Interrupted,
    /// The kernel panicked or the guest never came up; the console's last lines.
    Broken(String),
}

impl Ending {
    /// The exit code for our caller, as `timeout` and shells have them.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Broken(_) => 125,
        }
    }

    /// What to tell when it was not the command that ended the guest.
    pub(crate) fn trouble(&self, guest: &Guest) -> Option<String> {
        let kernel = guest.kernel.name();
        match self {
            Self::Exited(_) => None,
            Self::TimedOut => {
                Some(format!("the guest (kernel {kernel}) was still running after {} s and was ended", guest.timeout.as_secs()))
            }
            Self::Interrupted => Some("interrupted; the guest was ended".to_owned()),
            Self::Broken(console) => {
                let how = if console.contains(PANIC) { "panicked" } else { "ended" };
                Some(format!("the guest's kernel ({kernel}) {how} before the command was done; its console:\n{console}"))
            }
        }
    }
}

impl Guest {
    /// Boots, runs the command in the current directory, and passes its output on to `stdout` and our stderr as it comes.
    pub(crate) fn run(&self, words: &[OsString], stdout: &mut dyn Write) -> Result<Ending> {
        super::check(self)?;
        let home = repo::root().join(super::HOME);
        let (tools, kernel) = assets::prepare(&home, self.kernel)?;
        // Signals are taken by the loop below, so that the guest and its directory go before we do.
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        let before = signals.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        let ending = self.boot(&home, &tools, &kernel, words, &signals, stdout);
        before.thread_set_mask()?;
        ending
    }

    fn boot(
        &self,
        home: &Path,
        tools: &Tools,
        kernel: &KernelFiles,
        words: &[OsString],
        signals: &SigSet,
        stdout: &mut dyn Write,
    ) -> Result<Ending> {
        let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let share = Share::new(home)?;
        fs::write(share.file("run"), include_str!("guest/run"))?;
        fs::write(share.file("command"), script(words, &std::env::current_dir()?))?;
        fs::write(share.file("initrd"), initramfs(tools, kernel)?)?;
        if let Some(mib) = self.disk_mib {
            File::create(share.file("disk"))?.set_len(u64::from(mib) << 20)?;
        }
        let mut qemu =
            Qemu(self.qemu(tools, kernel, &share.0).spawn().with_context(|| format!("{} did not start", tools.qemu.display()))?);
        let deadline = Instant::now() + self.timeout;
        let mut streams = [Stream::new(share.file("stdout")), Stream::new(share.file("stderr"))];
        loop {
            let ended = qemu.0.try_wait()?;
            streams[0].pass_on(stdout)?;
            streams[1].pass_on(&mut io::stderr().lock())?;
            if signals.read_signal()?.is_some() {
                return Ok(Ending::Interrupted);
            }
            if let Some(status) = ended {
                return share.ending(status, &mut qemu.0);
            }
            if Instant::now() >= deadline {
                return Ok(Ending::TimedOut);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What the kernel, the guest's init and systemd are told.
    fn options(&self) -> String {
        let cgroup = self.cgroup.name();
        // Without AppArmor, since nobody loads the profiles that engines and systemd ask for; without the timer's check, which waits for ticks that
        // emulation on a busy machine may not bring in time, and panics.
        let common = format!("console=ttyS0 quiet panic=-1 no_timer_check apparmor=0 headroom.cgroup={cgroup}");
        if !self.systemd {
            return common;
        }
        // Without what would look for disks, time or a user.
        format!(
            "{common} headroom.systemd=yes fstab=no systemd.gpt_auto=no systemd.firstboot=no systemd.show_status=no \
             systemd.mask=systemd-timesyncd.service systemd.mask=systemd-networkd.service systemd.unit=headroom-vm.service"
        )
    }

    /// The command line. `setpriv` has the kernel end QEMU when we are gone, however we went.
    fn qemu(&self, tools: &Tools, kernel: &KernelFiles, share: &Path) -> Command {
        let mut qemu = match process::which("setpriv") {
            Some(setpriv) => {
                let mut wrapped = Command::new(setpriv);
                wrapped.args(["--pdeathsig", "KILL", "--"]).arg(&tools.qemu);
                wrapped
            }
            None => Command::new(&tools.qemu),
        };
        if let Some(root) = &tools.root {
            let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|dir| root.join(dir).into_os_string());
            qemu.env("LD_LIBRARY_PATH", libraries.join(OsStr::new(":")));
            qemu.arg("-L").arg(root.join("usr/share/qemu")).arg("-L").arg(root.join("usr/share/seabios"));
        }
        let (cpus, memory) = (self.cpus.to_string(), self.memory_mib.to_string());
        qemu.args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            &cpus,
            "-m",
            &memory,
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]);
        qemu.arg("-chardev").arg(with_path("file,id=console,path=", &share.join("console"))).args(["-serial", "chardev:console"]);
        qemu.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        qemu.args(["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]);
        qemu.args(["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]);
        qemu.args(["-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot", "-fsdev"]);
        qemu.arg(with_path("local,id=share,security_model=none,path=", share))
            .args(["-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]);
        if self.disk_mib.is_some() {
            // Told by its serial number: the guest's root is the machine's, and so may its disks' names be.
            qemu.arg("-drive").arg(with_path("if=none,id=disk,format=raw,cache=unsafe,file=", &share.join("disk")));
            qemu.args(["-device", "virtio-blk-pci,drive=disk,serial=headroom-test"]);
        }
        qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(share.join("initrd"));
        qemu.args(["-append", &self.options()]);
        // A group of its own: Ctrl-C reaches us only, and we end it.
        qemu.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        qemu
    }
}

/// The directory that host and guest share; gone with this value.
struct Share(PathBuf);

impl Share {
    /// `target/vm/run/<pid>-<random>`; directories whose process is gone are swept away.
    fn new(home: &Path) -> Result<Self> {
        let runs = home.join("run");
        fs::create_dir_all(&runs)?;
        for entry in fs::read_dir(&runs)?.flatten() {
            let name = entry.file_name();
            let pid = name.to_string_lossy().split('-').next().unwrap_or_default().to_owned();
            if !Path::new("/proc").join(pid).exists() {
                // Someone else may sweep the same directory.
                drop(fs::remove_dir_all(entry.path()));
            }
        }
        let dir = tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempdir_in(&runs)?;
        Ok(Self(dir.keep()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// QEMU is gone: with an exit code in the share the command ended; without, the guest broke.
    fn ending(&self, status: std::process::ExitStatus, qemu: &mut Child) -> Result<Ending> {
        if let Ok(text) = fs::read_to_string(self.file("rc")) {
            let code = text.trim().parse().with_context(|| format!("the guest left {text:?} as its exit code"))?;
            return Ok(Ending::Exited(code));
        }
        let console = fs::read(self.file("console")).unwrap_or_default();
        let console = tail(&String::from_utf8_lossy(&console));
        if console.is_empty() {
            let mut said = String::new();
            if let Some(mut stderr) = qemu.stderr.take() {
                stderr.read_to_string(&mut said)?;
            }
            bail!("qemu ended ({status}) before the guest's kernel said anything: {}", said.trim());
        }
        Ok(Ending::Broken(console))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running QEMU, ended with this value.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A file that the guest appends to, read as it grows.
struct Stream {
    path: PathBuf,
    file: Option<File>,
}

impl Stream {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    fn pass_on(&mut self, to: &mut dyn Write) -> io::Result<()> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            io::copy(file, to)?;
            to.flush()?;
        }
        Ok(())
    }
}

/// The guest's init, busybox, and the kernel's modules with the order in which they load.
fn initramfs(tools: &Tools, kernel: &KernelFiles) -> Result<Vec<u8>> {
    let mut archive = cpio::Archive::default();
    for dir in ["bin", "modules"] {
        archive.directory(dir);
    }
    let busybox = fs::read(&tools.busybox).with_context(|| format!("{}", tools.busybox.display()))?;
    archive.file("bin/busybox", &busybox);
    let modules = modules::collect(&kernel.modules, &tools.busybox)?;
    let order: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
    archive.file("modules/order", order.join("\n").as_bytes());
    for module in &modules {
        archive.file(&format!("modules/{}", module.name), &module.content);
    }
    archive.file("init", include_bytes!("guest/init"));
    archive.file("headroom-vm.service", include_bytes!("guest/headroom-vm.service"));
    Ok(archive.finish())
}

/// A shell script that runs these words there, with what of our environment programs and tests look at.
fn script(words: &[OsString], dir: &Path) -> Vec<u8> {
    let mut script = Vec::new();
    for (name, value) in std::env::vars_os() {
        if is_carried(&name.to_string_lossy()) {
            script.extend([b"export ", name.as_bytes(), b"=", &shell_word(value.as_bytes()), b"\n"].concat());
        }
    }
    script.extend([b"cd ", shell_word(dir.as_os_str().as_bytes()).as_slice(), b" || exit 125\nexec"].concat());
    for word in words {
        script.push(b' ');
        script.extend(shell_word(word.as_bytes()));
    }
    script.push(b'\n');
    script
}

fn is_carried(name: &str) -> bool {
    ["PATH", "HOME", "LANG", "USER"].contains(&name)
        || ["CARGO_MANIFEST", "CARGO_BIN_EXE", "RUST_", "HEADROOM_"].iter().any(|prefix| name.starts_with(prefix))
}

/// An option with a path in it: QEMU ends values at commas, and a doubled comma is a comma.
fn with_path(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    let doubled: Vec<u8> = path
        .as_os_str()
        .as_bytes()
        .iter()
        .flat_map(|&byte| std::iter::repeat_n(byte, if byte == b',' { 2 } else { 1 }))
        .collect();
    text.push(OsStr::from_bytes(&doubled));
    text
}

/// The last lines; when there was a panic, those that begin with it, or with the fault that led to it.
fn tail(console: &str) -> String {
    let lines: Vec<_> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let first = |marks: &[&str]| lines.iter().position(|line| marks.iter().any(|mark| line.contains(mark)));
    let (from, most) = match (first(&[PANIC]), first(&FAULTS)) {
        (Some(panic), Some(fault)) if fault < panic => (fault, FAULT_TAIL),
        (Some(panic), _) => (panic, CONSOLE_TAIL),
        (None, _) => (lines.len().saturating_sub(CONSOLE_TAIL), CONSOLE_TAIL),
    };
    lines[from..].iter().take(most).copied().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
