//! The cgroups, and what happens to them whatever the controller: made, removed, frozen, threaded, given controllers.

use std::collections::{BTreeMap, BTreeSet};

use headroom_agent::cgroup::{Controller, Version};
use nix::errno::Errno;

use super::Answer;
use super::cpu::Cpu;
use super::cpuset::Cpus;
use super::disk::Disks;
use super::files::{FILES, Of};
use super::memory::Memory;

pub(super) const MIB: u64 = 1 << 20;

/// Which interfaces a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    V1,
    V2,
    Hybrid,
}

/// One hierarchy: where it is, and what it has.
#[derive(Clone, Copy)]
pub(super) struct Hierarchy {
    pub(super) name: &'static str,
    pub(super) version: Version,
    controllers: &'static [Controller],
}

const fn v1(name: &'static str, controllers: &'static [Controller]) -> Hierarchy {
    Hierarchy { name, version: Version::V1, controllers }
}

const fn v2(name: &'static str, controllers: &'static [Controller]) -> Hierarchy {
    Hierarchy { name, version: Version::V2, controllers }
}

const UNIFIED: Hierarchy = v2("", &[Controller::Cpuset, Controller::Cpu, Controller::Io, Controller::Memory]);
const CPUSET: Hierarchy = v1("cpuset", &[Controller::Cpuset]);
const MEMORY: Hierarchy = v1("memory", &[Controller::Memory]);
const BLKIO: Hierarchy = v1("blkio", &[Controller::Io]);
/// No business of the module's.
const FREEZER: Hierarchy = v1("freezer", &[]);
/// With the two in one hierarchy, and each in its own.
const V1: [Hierarchy; 5] = [v1("cpu,cpuacct", &[Controller::Cpu, Controller::CpuAcct]), CPUSET, MEMORY, BLKIO, FREEZER];
const HYBRID: [Hierarchy; 6] =
    [v1("cpu", &[Controller::Cpu]), v1("cpuacct", &[Controller::CpuAcct]), CPUSET, MEMORY, BLKIO, v2("unified", &[])];

/// A directory or a file, as an inode: never given out twice. The cgroup's number above eight bits for which of its files, below
/// two the directory itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Node(pub(super) u64);

impl Node {
    fn directory(group: u64) -> Self {
        // A mount's root is 1.
        Self((group << 8) | u64::from(group == 0))
    }

    fn file(group: u64, index: usize) -> Self {
        Self((group << 8) | (index as u64 + 2))
    }

    fn group(self) -> u64 {
        self.0 >> 8
    }

    fn index(self) -> Option<usize> {
        usize::try_from(self.0 & 0xff).unwrap().checked_sub(2)
    }

    pub(super) fn is_directory(self) -> bool {
        self.index().is_none()
    }
}

/// One cgroup in one hierarchy; or the directory that v1's hierarchies lie in, which has none.
pub(super) struct Group {
    hierarchy: Option<Hierarchy>,
    pub(super) parent: Option<u64>,
    pub(super) children: BTreeMap<String, u64>,
    delegated: Vec<Controller>,
    threaded: bool,
    frozen: bool,
    members: BTreeSet<u32>,
    pub(super) cpu: Cpu,
    pub(super) cpus: Cpus,
    pub(super) memory: Memory,
    pub(super) disks: Disks,
}

impl Group {
    fn new(hierarchy: Option<Hierarchy>, parent: Option<u64>) -> Self {
        Self {
            hierarchy,
            parent,
            children: BTreeMap::new(),
            delegated: Vec::new(),
            threaded: false,
            frozen: false,
            members: BTreeSet::new(),
            cpu: Cpu::default(),
            cpus: Cpus::default(),
            memory: Memory::default(),
            disks: Disks::default(),
        }
    }

    /// What a controller that is taken away forgets.
    fn forget(&mut self, controller: Controller) {
        match controller {
            Controller::Cpu => self.cpu = Cpu::default(),
            Controller::Cpuset => self.cpus = Cpus::default(),
            Controller::Memory => self.memory.forget(),
            Controller::Io => self.disks = Disks::default(),
            Controller::CpuAcct => {}
        }
    }
}

/// A fault to come.
pub(super) struct Fault {
    pub(super) after: usize,
    pub(super) file: &'static str,
    pub(super) errno: Errno,
}

pub(super) struct Tree {
    groups: BTreeMap<u64, Group>,
    next: u64,
    pub(super) fault: Option<Fault>,
}

impl Tree {
    pub(super) fn new(shape: Shape) -> Self {
        let mut tree = Self { groups: BTreeMap::new(), next: 1, fault: None };
        let hierarchies: &[Hierarchy] = match shape {
            Shape::V2 => &[],
            Shape::V1 => &V1,
            Shape::Hybrid => &HYBRID,
        };
        tree.groups.insert(0, Group::new((shape == Shape::V2).then_some(UNIFIED), None));
        for hierarchy in hierarchies {
            let id = tree.add(0, hierarchy.name, Group::new(Some(*hierarchy), None));
            tree.at(id).cpus = Cpus::all();
        }
        tree.at(0).cpus = Cpus::all();
        tree
    }

    /// The names of all hierarchies.
    pub(super) fn hierarchies(&self) -> Vec<&'static str> {
        let roots = self.groups.values().filter(|group| group.parent.is_none());
        roots.filter_map(|group| Some(group.hierarchy?.name)).collect()
    }

    pub(super) fn group(&self, id: u64) -> &Group {
        &self.groups[&id]
    }

    pub(super) fn at(&mut self, id: u64) -> &mut Group {
        self.groups.get_mut(&id).unwrap()
    }

    /// The cgroups right below.
    pub(super) fn below(&self, id: u64) -> impl Iterator<Item = u64> {
        self.group(id).children.values().copied()
    }

    pub(super) fn version(&self, id: u64) -> Version {
        self.group(id).hierarchy.map_or(Version::V1, |hierarchy| hierarchy.version)
    }

    fn add(&mut self, parent: u64, name: &str, group: Group) -> u64 {
        let id = self.next;
        self.next += 1;
        self.groups.insert(id, group);
        self.at(parent).children.insert(name.to_owned(), id);
        id
    }

    /// The cgroup of that path in that hierarchy.
    fn find(&self, hierarchy: &str, path: &str) -> Option<u64> {
        let mut id = 0;
        for part in [hierarchy].into_iter().chain(path.split('/')).filter(|part| !part.is_empty()) {
            id = *self.group(id).children.get(part)?;
        }
        Some(id)
    }

    /// Ends what runs there and below.
    pub(super) fn empty(&mut self, hierarchy: &str, path: &str) {
        let mut ids: Vec<u64> = self.find(hierarchy, path).into_iter().collect();
        while let Some(id) = ids.pop() {
            self.at(id).members.clear();
            ids.extend(self.below(id));
        }
    }

    pub(super) fn charge(&mut self, path: &str, bytes: u64) {
        let hierarchy = if self.group(0).hierarchy.is_some() { "" } else { "memory" };
        let mut id = self.find(hierarchy, path);
        while let Some(charged) = id {
            self.at(charged).memory.usage += bytes;
            id = self.group(charged).parent;
        }
    }

    /// What may be limited in it.
    fn controllers(&self, id: u64) -> Vec<Controller> {
        let group = self.group(id);
        let Some(hierarchy) = group.hierarchy else { return Vec::new() };
        match (hierarchy.version, group.parent) {
            (Version::V2, Some(parent)) => {
                let delegated = self.group(parent).delegated.iter().copied();
                delegated.filter(|controller| !group.threaded || is_threaded(*controller)).collect()
            }
            _ => hierarchy.controllers.to_vec(),
        }
    }

    fn has(&self, id: u64, index: usize) -> bool {
        let (version, of, _, everywhere) = FILES[index];
        let group = self.group(id);
        group.hierarchy.is_some_and(|hierarchy| {
            let here = match of {
                Of::Every => true,
                Of::Controller(controller) => self.controllers(id).contains(&controller),
                Of::Freezer => hierarchy.name == FREEZER.name,
            };
            here && version == hierarchy.version && (everywhere || group.parent.is_some())
        })
    }

    pub(super) fn list(&self, directory: Node) -> Vec<(String, Node)> {
        let Some(group) = self.groups.get(&directory.group()) else { return Vec::new() };
        let files = (0..FILES.len()).filter(|index| self.has(directory.group(), *index));
        let files = files.map(|index| (FILES[index].2.to_owned(), Node::file(directory.group(), index)));
        files.chain(group.children.iter().map(|(name, id)| (name.clone(), Node::directory(*id)))).collect()
    }

    pub(super) fn lookup(&self, directory: Node, name: &str) -> Answer<Node> {
        self.list(directory).into_iter().find(|(known, _)| known == name).map(|(_, node)| node).ok_or(Errno::ENOENT)
    }

    pub(super) fn mkdir(&mut self, directory: Node, name: &str) -> Answer<Node> {
        let id = directory.group();
        let group = self.groups.get(&id).ok_or(Errno::ENODEV)?;
        let hierarchy = group.hierarchy.ok_or(Errno::EPERM)?;
        if group.children.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        Ok(Node::directory(self.add(id, name, Group::new(Some(hierarchy), Some(id)))))
    }

    pub(super) fn rmdir(&mut self, directory: Node, name: &str) -> Answer<()> {
        let id = *self.groups.get(&directory.group()).and_then(|group| group.children.get(name)).ok_or(Errno::ENOENT)?;
        let group = self.group(id);
        if group.parent.is_none() || !group.children.is_empty() || !group.members.is_empty() {
            return Err(Errno::EBUSY);
        }
        self.groups.remove(&id);
        self.at(directory.group()).children.remove(name);
        Ok(())
    }

    pub(super) fn open(&self, file: Node) -> Answer<()> {
        self.locate(file).map(drop)
    }

    /// A file that is open answers so when its cgroup is gone, or its controller.
    fn locate(&self, file: Node) -> Answer<(u64, &'static str)> {
        let (id, index) = (file.group(), file.index().ok_or(Errno::EISDIR)?);
        if self.groups.contains_key(&id) && self.has(id, index) { Ok((id, FILES[index].2)) } else { Err(Errno::ENODEV) }
    }

    pub(super) fn read(&self, file: Node) -> Answer<String> {
        let (id, name) = self.locate(file)?;
        let group = self.group(id);
        let text = match name.split('.').next() {
            Some("cgroup") => self.read_core(id, name)?,
            Some("freezer") => if group.frozen { "FROZEN" } else { "THAWED" }.to_owned(),
            Some("cpu" | "cpuacct") => self.read_cpu(id, name, self.controllers(id).contains(&Controller::Cpu)),
            Some("cpuset") => self.read_cpus(id, name),
            Some("memory") => self.read_memory(id, name),
            _ => group.disks.read(name),
        };
        Ok(if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" })
    }

    pub(super) fn write(&mut self, file: Node, text: &str) -> Answer<()> {
        let (id, name) = self.locate(file)?;
        match &mut self.fault {
            Some(fault) if fault.after > 0 => fault.after -= 1,
            Some(fault) if fault.file == name => return Err(fault.errno),
            _ => {}
        }
        match name.split('.').next() {
            Some("cgroup") => self.write_core(id, name, text),
            Some("freezer") => {
                self.at(id).frozen = text == "FROZEN";
                Ok(())
            }
            Some("cpu") => self.write_cpu(id, name, text),
            Some("cpuset") => self.write_cpus(id, text, self.is_populated(id)),
            Some("memory") => self.write_memory(id, name, text),
            _ => {
                let version = self.version(id);
                self.at(id).disks.write(version, name, text)
            }
        }
    }

    fn read_core(&self, id: u64, name: &str) -> Answer<String> {
        let group = self.group(id);
        let names = |controllers: &[Controller]| {
            controllers.iter().map(|controller| controller.key(Version::V2)).collect::<Vec<_>>().join(" ")
        };
        let members = |members: Vec<u32>| members.iter().map(u32::to_string).collect::<Vec<_>>().join("\n");
        Ok(match name {
            "cgroup.controllers" => names(&self.controllers(id)),
            "cgroup.subtree_control" => names(&group.delegated),
            "cgroup.type" => if group.threaded { "threaded" } else { "domain" }.to_owned(),
            "cgroup.freeze" => u8::from(group.frozen).to_string(),
            "cgroup.events" => {
                format!("populated {}\nfrozen {}\n", u8::from(self.is_populated(id)), u8::from(group.frozen))
            }
            "cgroup.procs" if group.threaded => return Err(Errno::EOPNOTSUPP),
            "cgroup.procs" => {
                // Those with threads in a cgroup below are this one's still.
                let threaded = self.below(id).filter(|below| self.group(*below).threaded);
                members(threaded.chain([id]).flat_map(|id| self.group(id).members.iter().copied()).collect())
            }
            _ => members(group.members.iter().copied().collect()),
        })
    }

    fn write_core(&mut self, id: u64, name: &str, text: &str) -> Answer<()> {
        match name {
            "cgroup.subtree_control" => text.split_whitespace().try_for_each(|word| self.delegate(id, word)),
            "cgroup.type" if text == "threaded" => {
                self.at(id).threaded = true;
                Ok(())
            }
            "cgroup.freeze" => {
                self.at(id).frozen = text == "1";
                Ok(())
            }
            "cgroup.procs" if self.group(id).threaded => Err(Errno::EOPNOTSUPP),
            "cgroup.procs" | "cgroup.threads" => {
                let pid = text.parse().map_err(|_not| Errno::EINVAL)?;
                self.join(id, pid);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// A process is in one cgroup of a hierarchy.
    fn join(&mut self, id: u64, pid: u32) {
        let hierarchy = self.group(id).hierarchy.map(|hierarchy| hierarchy.name);
        for group in self.groups.values_mut().filter(|group| group.hierarchy.map(|hierarchy| hierarchy.name) == hierarchy) {
            group.members.remove(&pid);
        }
        self.at(id).members.insert(pid);
    }

    fn is_populated(&self, id: u64) -> bool {
        !self.group(id).members.is_empty() || self.below(id).any(|below| self.is_populated(below))
    }

    /// `+memory`, `-cpu`: what the cgroups below have.
    fn delegate(&mut self, id: u64, word: &str) -> Answer<()> {
        let (sign, name) = word.split_at_checked(1).ok_or(Errno::EINVAL)?;
        let controller =
            Controller::ALL.into_iter().find(|controller| controller.key(Version::V2) == name).ok_or(Errno::EINVAL)?;
        let below: Vec<_> = self.below(id).collect();
        match sign {
            "+" if !self.controllers(id).contains(&controller) => Err(Errno::ENOENT),
            // No processes beside cgroups that share out what they use.
            "+" if !self.group(id).members.is_empty() && self.group(id).parent.is_some() && !is_threaded(controller) => {
                Err(Errno::EBUSY)
            }
            "+" => {
                if !self.group(id).delegated.contains(&controller) {
                    self.at(id).delegated.push(controller);
                }
                Ok(())
            }
            "-" if below.iter().any(|below| self.group(*below).delegated.contains(&controller)) => Err(Errno::EBUSY),
            "-" => {
                self.at(id).delegated.retain(|delegated| *delegated != controller);
                for below in below {
                    self.at(below).forget(controller);
                }
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Those that threads of one process may have differently.
fn is_threaded(controller: Controller) -> bool {
    matches!(controller, Controller::Cpu | Controller::Cpuset)
}
