//! Which CPU is a thread of which core of which socket.

use std::collections::BTreeMap;
use std::path::Path;

use super::{HostError, parse_error, read};
use crate::cgroup::CpuList;

/// Socket to core to CPUs. Serialises as `{"0": {"0": [0, 4], "1": [1, 5]}}`: keys in numeric order (which is why it
/// should be written out as it is, not turned into a `serde_json::Value` first, whose keys are sorted as text), CPUs
/// ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Topology(BTreeMap<u32, BTreeMap<u32, Vec<u32>>>);

/// Where one CPU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The CPU.
    pub cpu: u32,
    /// Its socket's number.
    pub socket: u32,
    /// Its core's number, unique on its socket only.
    pub core: u32,
    /// The CPUs that are threads of the same core, itself among them.
    pub threads: CpuList,
}

impl Topology {
    /// As the policy takes it.
    pub fn into_map(self) -> headroom_model::policy::cores::Topology {
        self.0
    }

    /// That of this host's online CPUs; offline ones have no place.
    pub fn read(online: &CpuList) -> Result<Self, HostError> {
        Self::read_at(Path::new("/sys/devices/system/cpu"), online)
    }

    fn read_at(root: &Path, online: &CpuList) -> Result<Self, HostError> {
        let places = online.iter().map(|cpu| place(root, cpu)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::of(places))
    }

    /// Puts the CPUs together. Where a core's number stands for two cores (dies that number theirs alike), the second
    /// gets the next number that is free on the socket.
    pub fn of(mut places: Vec<Place>) -> Self {
        places.sort_unstable_by_key(|place| place.cpu);
        let highest = places.iter().map(|place| place.core).max().unwrap_or_default();
        let mut sockets: BTreeMap<u32, BTreeMap<u32, Vec<u32>>> = BTreeMap::new();
        for place in places {
            let cores = sockets.entry(place.socket).or_default();
            let sibling = |cpus: &Vec<u32>| cpus.iter().any(|&cpu| place.threads.contains(cpu));
            let known = cores.iter().find(|(_, cpus)| sibling(cpus)).map(|(&core, _)| core);
            let core = known.unwrap_or_else(|| match cores.last_key_value() {
                Some((&last, _)) if cores.contains_key(&place.core) => last.max(highest) + 1,
                _ => place.core,
            });
            cores.entry(core).or_default().push(place.cpu);
        }
        Self(sockets)
    }

    /// Each core in the order of sockets and cores: socket, core, CPUs ascending.
    pub fn cores(&self) -> impl Iterator<Item = (u32, u32, &[u32])> {
        self.0.iter().flat_map(|(&socket, cores)| cores.iter().map(move |(&core, cpus)| (socket, core, cpus.as_slice())))
    }
}

fn place(root: &Path, cpu: u32) -> Result<Place, HostError> {
    let dir = root.join(format!("cpu{cpu}/topology"));
    let number = |name: &str| {
        let file = dir.join(name);
        let text = read(&file)?;
        match text.parse::<i64>() {
            // -1 where the machine does not say: then there is one.
            Ok(number) => Ok(u32::try_from(number).unwrap_or_default()),
            Err(_) => Err(parse_error(&file, &text, "a whole number")),
        }
    };
    // Its name before Linux 5.3 was thread_siblings_list.
    let file = ["core_cpus_list", "thread_siblings_list"].map(|name| dir.join(name));
    let text = read(&file[0]).or_else(|_| read(&file[1]))?;
    let Ok(threads) = text.parse() else { return Err(parse_error(&file[0], &text, "a list of CPUs such as 0,4")) };
    Ok(Place { cpu, socket: number("physical_package_id")?, core: number("core_id")?, threads })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::host::cpus::Hotplug;

    fn place(cpu: u32, socket: u32, core: u32, threads: &[u32]) -> Place {
        Place { cpu, socket, core, threads: threads.iter().copied().collect() }
    }

    #[test]
    fn keys_are_in_numeric_order_and_cpus_ascend() {
        let places = (0..24).rev().map(|cpu| place(cpu, 0, cpu % 12, &[cpu % 12, cpu % 12 + 12])).collect();
        let json = serde_json::to_string(&Topology::of(places)).unwrap();
        let cores: Vec<_> = (0..12).map(|core| format!(r#""{core}":[{core},{}]"#, core + 12)).collect();
        assert_eq!(json, format!(r#"{{"0":{{{}}}}}"#, cores.join(",")));
    }

    #[test]
    fn sockets_number_their_cores_each_for_itself() {
        let places = vec![place(0, 0, 0, &[0]), place(1, 1, 0, &[1]), place(2, 0, 9, &[2]), place(3, 1, 9, &[3])];
        let topology = Topology::of(places);
        let expected = [(0, 0, [0].as_slice()), (0, 9, &[2]), (1, 0, &[1]), (1, 9, &[3])];
        assert_eq!(topology.cores().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn dies_that_number_their_cores_alike_do_not_become_siblings() {
        let places = vec![
            place(0, 0, 0, &[0, 4]),
            place(1, 0, 1, &[1]),
            place(2, 0, 0, &[2, 6]),
            place(4, 0, 0, &[0, 4]),
            place(6, 0, 0, &[2, 6]),
        ];
        let topology = Topology::of(places);
        let expected = [(0, 0, [0, 4].as_slice()), (0, 1, &[1]), (0, 2, &[2, 6])];
        assert_eq!(topology.cores().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn reads_the_kernels_files_of_online_cpus_only() {
        let root = tempfile::tempdir().unwrap();
        for (cpu, socket, core, threads) in [(0, "0", "0", "0,2"), (2, "0", "0", "0,2"), (3, "-1", "1", "1,3")] {
            let dir = root.path().join(format!("cpu{cpu}/topology"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("physical_package_id"), format!("{socket}\n")).unwrap();
            fs::write(dir.join("core_id"), format!("{core}\n")).unwrap();
            fs::write(dir.join("core_cpus_list"), format!("{threads}\n")).unwrap();
        }
        let read = |cpus: &[u32]| Topology::read_at(root.path(), &cpus.iter().copied().collect());
        let topology = read(&[0, 2, 3]).unwrap();
        assert_eq!(serde_json::to_string(&topology).unwrap(), r#"{"0":{"0":[0,2],"1":[3]}}"#);
        assert!(read(&[1]).unwrap_err().to_string().contains("cpu1/topology"));
        fs::write(root.path().join("cpu0/topology/core_id"), "zero\n").unwrap();
        let error = read(&[0]).unwrap_err().to_string();
        assert!(error.contains("core_id") && error.contains("zero"), "{error}");
    }

    #[test]
    fn every_online_cpu_of_this_host_has_one_place() {
        let online = Hotplug::open().unwrap().online().unwrap();
        let topology = Topology::read(&online).unwrap();
        let mut cpus: Vec<u32> = topology.cores().flat_map(|(_, _, cpus)| cpus.to_vec()).collect();
        cpus.sort_unstable();
        assert_eq!(cpus, online.iter().collect::<Vec<_>>());
    }
}
