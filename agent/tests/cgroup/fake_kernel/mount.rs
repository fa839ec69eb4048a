//! The tree as a filesystem that is mounted.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, SessionACL, TimeOrNow,
    WriteFlags,
};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::Answer;
use super::tree::{Node, Tree};

/// Nothing is cached: what a name means may be another thing at once.
const NOT_AT_ALL: Duration = Duration::ZERO;

/// The mount, for this thread and what it starts: in a mount namespace that ends with them.
pub(super) struct Mount {
    _session: BackgroundSession,
    root: TempDir,
}

impl Mount {
    pub(super) fn new(tree: Arc<Mutex<Tree>>) -> Self {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let nothing: Option<&str> = None;
        mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
        let root = tempfile::tempdir().unwrap();
        let fuse = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("headroom-test"), root.path(), Some("fuse"), flags, Some(options.as_str())).unwrap();
        let session = Session::from_fd(Served(tree), fuse.into(), SessionACL::Owner, Config::default()).and_then(Session::spawn);
        Self { _session: session.unwrap(), root }
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also while a process still has something open there.
        let unmounted = umount2(self.root.path(), MntFlags::MNT_DETACH);
        assert!(unmounted.is_ok() || thread::panicking(), "{unmounted:?}");
    }
}

struct Served(Arc<Mutex<Tree>>);

impl Served {
    /// Not waiting for ever: a process that waits for an answer from itself cannot even be killed.
    fn tree(&self) -> MutexGuard<'_, Tree> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match self.0.try_lock() {
                Ok(tree) => return tree,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => assert!(Instant::now() < until, "the test holds the tree, and reads from it"),
            }
            thread::yield_now();
        }
    }
}

fn attributes(node: Node) -> FileAttr {
    let (kind, perm) = if node.is_directory() { (FileType::Directory, 0o755) } else { (FileType::RegularFile, 0o644) };
    FileAttr {
        ino: INodeNo(node.0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn refusal(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

fn entry(answer: Answer<Node>, reply: ReplyEntry) {
    match answer {
        Ok(node) => reply.entry(&NOT_AT_ALL, &attributes(node), Generation(0)),
        Err(errno) => reply.error(refusal(errno)),
    }
}

/// Names that are no text are nobody's here.
fn text(name: &OsStr) -> &str {
    name.to_str().unwrap_or("\u{fffd}")
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.tree().lookup(Node(parent.0), text(name)), reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(self.tree().mkdir(Node(parent.0), text(name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.tree().rmdir(Node(parent.0), text(name)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NOT_AT_ALL, &attributes(Node(inode.0)));
    }

    /// Lengths, owners and times of these files are nothing that could be set.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&NOT_AT_ALL, &attributes(Node(inode.0)));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.tree().open(Node(inode.0)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().read(Node(inode.0)) {
            Ok(text) => {
                let rest = text.as_bytes().get(usize::try_from(offset).unwrap()..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(size as usize)]);
            }
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree().write(Node(inode.0), String::from_utf8_lossy(data).trim()) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap()),
            Err(errno) => reply.error(refusal(errno)),
        }
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = self.tree().list(Node(inode.0));
        for (next, (name, node)) in (1..).zip(entries).skip(usize::try_from(offset).unwrap()) {
            if reply.add(INodeNo(node.0), next, attributes(node).kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
