//! A node as the kubelet leaves it: real cgroups at its paths, containers that a real containerd runs there, and log files. No kubelet runs here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bed::{Bed, quota, set_quota, sh};
use crate::docs::section;

const UID: &str = "0a1b2c3d-0123-4567-89ab-0123456789ab";

/// A pod's cgroup with one container in it, in every hierarchy; gone when this is dropped.
struct Pod(Vec<PathBuf>);

impl Pod {
    fn new(class: &str, id: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let cgroups =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|mount| mount[2].starts_with("cgroup"));
        let path = format!("kubepods/{class}pod{UID}/{id}");
        let dirs: Vec<_> = cgroups.map(|mount| PathBuf::from(mount[1]).join(path.trim_start_matches('/'))).collect();
        for dir in &dirs {
            fs::create_dir_all(dir).unwrap();
            let mut above: Vec<_> = dir.ancestors().skip(1).filter(|dir| dir.join("cgroup.controllers").exists()).collect();
            above.reverse();
            above.into_iter().for_each(enable);
        }
        Self(dirs)
    }

    /// The container's directory that has this file.
    fn with(&self, file: &str) -> &PathBuf {
        self.0.iter().find(|dir| dir.join(file).exists()).unwrap()
    }

    fn cpu(&self) -> &PathBuf {
        self.0.iter().find(|dir| dir.join("cpu.max").exists() || dir.join("cpu.cfs_quota_us").exists()).unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for dir in &self.0 {
            for above in dir.ancestors().take_while(|dir| dir.to_string_lossy().contains("kubepods")) {
                drop(fs::remove_dir(above));
            }
        }
    }
}

/// Lets the groups below one of the v2 tree have all the controllers that it has.
fn enable(dir: &Path) {
    for controller in fs::read_to_string(dir.join("cgroup.controllers")).unwrap().split_whitespace() {
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    }
}

/// The first CPU, for itself.
fn give_cpus(pod: &Pod) {
    let cpuset = pod.with("cpuset.cpus");
    // On v1 nothing runs in a group without CPUs, nor below one.
    for dir in [cpuset.ancestors().nth(2).unwrap(), cpuset.parent().unwrap(), cpuset] {
        fs::write(dir.join("cpuset.cpus"), "0").unwrap();
    }
}

fn logs(id: &str) {
    fs::create_dir_all(format!("/var/log/pods/shop_web-5d4f_{UID}/app")).unwrap();
    fs::create_dir_all("/var/log/containers").unwrap();
    fs::write(format!("/var/log/containers/web-5d4f_shop_app-{id}.log"), "").unwrap();
}

fn forget_logs() {
    fs::remove_dir_all("/var/log/containers").unwrap();
    fs::remove_dir_all("/var/log/pods").unwrap();
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn a_pods_container_has_its_name_and_stays_under_the_pods_limit() {
    let bed = Bed::new();
    let id = "0123456789abcdef".repeat(4);
    let pod = Pod::new("burstable/", &id);
    set_quota(pod.cpu().parent().unwrap(), 150_000);
    let agent = bed.agent(&section("Kubernetes").settings);
    // What has no log yet is not known to be the rule's.
    let early = agent.container(&id[..12]);
    assert!(early["notes"].to_string().contains("discovery.roots.kubernetes"), "{early}");
    assert_eq!((&early["guard"], quota(&format!("kubepods/burstable/pod{UID}/{id}"))), (&json!("off"), None));

    logs(&id);
    let name = "shop_web-5d4f_app";
    agent.until_guarded(name);
    let found = agent.container(name);
    assert_eq!((&found["container"]["engine"], agent.container(&id[..12])), (&json!("kubernetes"), Value::Null));
    assert!(found["notes"].to_string().contains("the pod's own limit is 150"), "{found}");
    assert_eq!(quota(&format!("kubepods/burstable/pod{UID}/{id}")), Some(150.0));
    assert_eq!(found["resources"]["cpu"]["max"], 150.0);

    // The pod's sandbox has no log of its own, and is in the same namespace.
    let sandbox = "9876543210abcdef".repeat(4);
    let beside = Pod::new("burstable/", &sandbox);
    let (of_sandbox, path) = (format!("shop_web-5d4f_{}", &sandbox[..12]), format!("kubepods/burstable/pod{UID}/{sandbox}"));
    agent.until("it is known as one", |agent| agent.notes(&of_sandbox).contains("the pod's sandbox"));
    assert_eq!((&agent.container(&of_sandbox)["guard"], quota(&path)), (&json!("off"), None));
    drop(beside);

    // The pod is resized.
    set_quota(pod.cpu().parent().unwrap(), 180_000);
    agent.until("the pod's new limit counts", |agent| agent.container(name)["resources"]["cpu"]["max"] == 180.0);
    forget_logs();
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn a_pod_of_the_static_cpu_policy_is_left_alone() {
    let bed = Bed::new();
    let id = "fedcba9876543210".repeat(4);
    let pod = Pod::new("", &id);
    logs(&id);
    give_cpus(&pod);
    set_quota(pod.cpu(), 100_000);
    let agent = bed.agent(&section("Kubernetes").settings);
    let name = "shop_web-5d4f_app";
    agent.until("it says so", |agent| agent.notes(name).contains("static CPU policy"));
    assert_eq!(agent.container(name)["resources"]["cpu"]["guard"], false);
    assert_eq!(quota(&format!("kubepods/pod{UID}/{id}")), Some(100.0), "it was not touched");
    assert!(agent.decisions(name).is_empty());
    forget_logs();
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn a_pod_that_the_static_cpu_policy_comes_to_gets_its_limit_back() {
    let bed = Bed::new();
    let id = "89abcdef01234567".repeat(4);
    let pod = Pod::new("", &id);
    logs(&id);
    set_quota(pod.cpu(), 120_000);
    let agent = bed.deciding_agent(&section("Kubernetes").settings);
    let (name, path) = ("shop_web-5d4f_app", format!("kubepods/pod{UID}/{id}"));
    agent.until("idle it has less", |_| quota(&path) < Some(120.0));
    give_cpus(&pod);
    agent.until("it says so", |agent| agent.notes(name).contains("static CPU policy"));
    assert_eq!((quota(&path), &agent.container(name)["guard"]), (Some(120.0), &json!("off")));
    forget_logs();
}

/// A real containerd, and what it runs.
struct Containerd(Bed);

impl Containerd {
    fn new() -> Self {
        let mut bed = Bed::new();
        bed.image("", &[]);
        bed.daemon("containerd", &[], "ctr version");
        Self(bed)
    }

    /// Runs a container.
    fn begin(&self, namespace: &str, options: &str, id: &str) {
        let root = self.0.dir.path().join("image");
        sh(&format!("ctr -n {namespace} run -d --rootfs {options} {} {id} /bin/sleep 3600", root.display()));
    }
}

/// Ends one that containerd runs.
fn end(namespace: &str, id: &str) {
    sh(&format!("ctr -n {namespace} tasks kill --signal SIGKILL {id}"));
    sh(&format!("until ctr -n {namespace} tasks delete {id}; do sleep 0.1; done; ctr -n {namespace} containers delete {id}"));
}

#[test]
#[ignore = "cargo xtask test runs it where the engines are"]
fn containerd_tells_a_pods_annotations() {
    let containerd = Containerd::new();
    let id = "00112233445566778899aabbccddeeff".repeat(2);
    let path = format!("kubepods/besteffort/pod{UID}/{id}");
    containerd.begin("k8s.io", &format!("--cgroup /{path} --annotation headroom.application=shop"), &id);
    containerd.begin("default", "", "nightly-1");
    logs(&id);

    let settings = section("Kubernetes").settings + "[[discovery.pattern]]\npath = '^default/(?<name>[^/]+)$'\n";
    let agent = containerd.0.agent(&settings);
    let name = "shop_web-5d4f_app";
    agent.until_guarded(name);
    assert_eq!(agent.container(name)["container"]["application"], "shop");
    assert_eq!(quota(&path), Some(200.0));
    assert_eq!(agent.container("nightly-1")["container"]["engine"], "custom");

    end("k8s.io", &id);
    end("default", "nightly-1");
    agent.until("both are gone", |agent| agent.status()["containers"] == json!([]));
    forget_logs();
    // The kubelet removes the pod's own group.
    drop(Pod::new("besteffort/", &id));
}

/// As a kubelet and a containerd with systemd's driver leave it, where systemd runs.
#[test]
#[ignore = "cargo xtask test --on systemd runs it where systemd is"]
fn a_pod_in_systemds_slices() {
    let containerd = Containerd::new();
    let id = "ffeeddccbbaa99887766554433221100".repeat(2);
    let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
    containerd.begin("k8s.io", &format!("--runc-systemd-cgroup --cgroup {slice}:cri-containerd:{id}"), &id);
    sh(&format!("systemctl set-property --runtime {slice} CPUQuota=150%"));
    logs(&id);

    let agent = containerd.0.agent(&section("Kubernetes").settings);
    let name = "shop_web-5d4f_app";
    agent.until_guarded(name);
    let found = agent.container(name);
    let path = format!("kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-{id}.scope");
    assert_eq!((&found["container"]["engine"], &found["container"]["path"]), (&json!("kubernetes"), &json!(path)));
    assert!(found["notes"].to_string().contains("the pod's own limit is 150"), "{found}");
    assert_eq!(quota(&path), Some(150.0));

    sh("systemctl daemon-reload");
    agent.until("it is counted", |agent| agent.container(name)["foreign_changes"] == 1);
    agent.until("it is put right", |_| quota(&path) == Some(150.0));

    sh(&format!("systemctl set-property --runtime {slice} CPUQuota=120%"));
    agent.until("the pod's new limit counts", |agent| agent.container(name)["resources"]["cpu"]["max"] == 120.0);

    end("k8s.io", &id);
    agent.until("it is gone", |agent| agent.status()["containers"] == json!([]));
    forget_logs();
    sh("systemctl stop kubepods.slice");
}
