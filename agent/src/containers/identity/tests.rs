//! On files as the engines write them (Docker 20.10, Podman 4.3, LXD and LXC 5.0), cut to what is read and something around it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::containers::APPLICATION;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// An empty host; a root of each kind in it.
struct Host {
    dir: TempDir,
    asker: Asker,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = |name: &str| vec![dir.path().join("elsewhere"), dir.path().join(name)];
        let roots = Roots {
            docker: root("docker"),
            podman: root("podman"),
            lxc: root("lxc"),
            lxd: root("lxd"),
            kubernetes: root("log"),
            containerd: root("containerd"),
            crio: root("crio"),
        };
        let mut asker = Asker::new(roots);
        asker.sockets = dir.path().join("sockets");
        Self { dir, asker }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path.replace("ID", ID));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As the engines do it: what is read is the old or the new, and another file.
        let new = path.with_extension("new");
        fs::write(&new, text.replace("ID", ID)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// The containers of LXC and LXD in these directories run.
    fn run(&self, directories: &[&str]) {
        let mut sockets = b"Num       RefCount Protocol Flags    Type St Inode Path\n".to_vec();
        sockets.extend(b"0000000000000000: 00000002 00000000 00010000 0001 01 17216 @caf\xe9\n");
        for directory in directories {
            let directory = self.dir.path().join(directory);
            sockets.extend(
                format!("0000000000000000: 00000002 0 00010000 0001 01 20713 @{}/command\n", directory.display()).bytes(),
            );
        }
        fs::write(self.dir.path().join("sockets"), sockets).unwrap();
    }

    /// What is said of the container at `path`.
    fn ask(&mut self, path: &str) -> Identity {
        let path = CgroupPath::new(&path.replace("ID", ID)).unwrap();
        let engines = vec![Engine::Lxc, Engine::Docker, Engine::Podman, Engine::Kubernetes];
        let found = crate::containers::engines::Recogniser::new(engines, Vec::new()).recognise(&path).unwrap();
        self.asker.ask(&found, &path)
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn docker_says_name_and_labels_and_is_asked_again_when_it_renames() {
    let mut host = Host::new();
    let file = |name: &str| {
        format!(
            r#"{{"State":{{"Pid":166}},"ID":"ID","Path":"sleep","Config":{{"Hostname":"6ad0","Env":null,
            "Labels":{{"headroom.application":"shop","tier":"front"}}}},"Name":"/{name}","Driver":"overlay2"}}"#
        )
    };
    host.write("docker/containers/ID/config.v2.json", &file("web"));
    let expected =
        Identity { name: Some("web".into()), labels: labels(&[(APPLICATION, "shop"), ("tier", "front")]), ..Identity::default() };
    assert_eq!(host.ask("docker/ID"), expected);
    assert_eq!(host.ask("system.slice/docker-ID.scope"), expected);
    host.write("docker/containers/ID/config.v2.json", &file("wob"));
    assert_eq!(host.ask("docker/ID").name.as_deref(), Some("wob"));
    host.write("docker/containers/ID/config.v2.json", r#"{"Name":"/bare","Config":{"Labels":null}}"#);
    assert_eq!(host.ask("docker/ID"), Identity { name: Some("bare".into()), ..Identity::default() });
}

#[test]
fn what_cannot_be_read_says_why_and_what_to_do() {
    let mut host = Host::new();
    let trouble = |identity: Identity| (identity.name, identity.trouble.unwrap());
    let (name, why) = trouble(host.ask("docker/ID"));
    assert!(name.is_none() && why.contains("config.v2.json: No such file") && why.contains("discovery.roots.docker"), "{why}");
    host.write("docker/containers/ID/config.v2.json", "{\"Name\":");
    assert!(trouble(host.ask("docker/ID")).1.contains("EOF while parsing"));
    for name in ["", "a/b", "a b", "a:b", "caf\u{e9}"] {
        host.write("docker/containers/ID/config.v2.json", &format!(r#"{{"Name":"/{name}","Config":{{}}}}"#));
        assert!(trouble(host.ask("docker/ID")).1.contains("expected a name without spaces"), "{name}");
    }
    let (name, why) = trouble(host.ask("machine.slice/libpod-ID.scope"));
    assert!(name.is_none() && why.contains("discovery.roots.podman"), "{why}");
    let (_, why) = trouble(host.ask("kubepods/pod0a1b/ID"));
    assert!(why.contains("discovery.roots.kubernetes"), "{why}");
    let (_, why) = trouble(host.ask("lxc.payload.c1/docker/ID"));
    assert!(why.contains("not an engine of the host's own"), "{why}");
}

#[test]
fn podman_says_the_name_and_the_runtime_the_annotations() {
    let mut host = Host::new();
    let path = "libpod_parent/libpod-ID";
    host.write(
        "podman/overlay-containers/containers.json",
        r#"[{"id":"other","names":["db"]},{"id":"ID","names":["p1"],"metadata":"{}"}]"#,
    );
    assert_eq!(host.ask(path), Identity { name: Some("p1".into()), ..Identity::default() });
    host.write(
        "podman/overlay-containers/ID/userdata/config.json",
        r#"{"ociVersion":"1.0.2-dev","process":{"args":["sleep"]},"annotations":{"headroom.application":"shop"}}"#,
    );
    host.write(
        "podman/overlay-containers/containers.json",
        r#"[{"id":"other","names":["db"]},{"id":"ID","names":["p2"],"metadata":"{}"}]"#,
    );
    let renamed = host.ask(path);
    assert_eq!((renamed.name.as_deref(), renamed.labels), (Some("p2"), labels(&[(APPLICATION, "shop")])));

    host.write("podman/overlay-containers/containers.json", "[]");
    assert!(host.ask(path).trouble.unwrap().contains("containers.json does not have it"));
    host.write("podman/overlay-containers/volatile-containers.json", r#"[{"id":"ID","names":["gone-with-the-boot"]}]"#);
    assert_eq!(host.ask(path).name.as_deref(), Some("gone-with-the-boot"));
}

#[test]
fn lxd_is_told_from_lxc_and_both_have_labels() {
    let mut host = Host::new();
    let backup = "container:\n  architecture: x86_64\n  config:\n    user.own: only here\n  devices: {}\n  expanded_config:\n    \
                  user.headroom.application: shop\n    user.quoted: \"1\"\n    user.single: 'it''s'\n    volatile.uuid: 0160af14\n  \
                  expanded_devices:\n    root:\n      path: /\n  name: web\nsnapshots:\n- config:\n  expanded_config:\n    user.old: yes\n";
    host.write("lxd/storage-pools/default/containers/team_web/backup.yaml", backup);
    fs::create_dir_all(host.dir.path().join("lxd/containers")).unwrap();
    let link = |name: &str| host.dir.path().join("lxd/containers").join(name);
    std::os::unix::fs::symlink(host.dir.path().join("lxd/storage-pools/default/containers/team_web"), link("team_web")).unwrap();
    std::os::unix::fs::symlink(Path::new("/nowhere"), link("unreadable")).unwrap();
    let config = "# comment\nlxc.net.0.type = empty\nlxc.environment = headroom.application=shop\nlxc.environment=A=\"b c\"\nlxc.uts.name = c1\n";
    host.write("lxc/c1/config", config);

    let of_lxd = host.ask("lxc.payload.team_web");
    assert_eq!(of_lxd.engine, Some(Engine::Lxd));
    assert_eq!(of_lxd.labels, labels(&[(APPLICATION, "shop"), ("quoted", "1"), ("single", "it's")]));
    let unreadable = host.ask("lxc.payload.unreadable");
    assert!(unreadable.trouble.as_ref().is_some_and(|why| why.contains("its labels cannot be read: ")), "{unreadable:?}");
    assert_eq!(Identity { trouble: None, ..unreadable }, Identity { engine: Some(Engine::Lxd), ..Identity::default() });
    let of_lxc = host.ask("lxc.payload.c1");
    assert_eq!((of_lxc.engine, of_lxc.labels), (Some(Engine::Lxc), labels(&[(APPLICATION, "shop"), ("A", "b c")])));
    assert_eq!(host.ask("lxc.payload.c2"), Identity { engine: Some(Engine::Lxc), ..Identity::default() });
    let instance = backup.replace("container:", "instance:");
    host.write("lxd/storage-pools/default/containers/team_web/backup.yaml", &instance.replace("shop", "other"));
    assert_eq!(host.ask("lxc.payload.team_web").labels[APPLICATION], "other");
}

#[test]
fn of_two_of_one_name_it_is_the_one_that_runs() {
    let mut host = Host::new();
    host.write("lxd/containers/web/backup.yaml", "container:\n  expanded_config:\n    user.of: lxd\n");
    host.write("lxc/web/config", "lxc.environment = of=lxc\n");
    let of = |engine, label| Identity { engine: Some(engine), labels: labels(&[("of", label)]), ..Identity::default() };
    host.run(&["lxc/web", "lxd/containers/webs", "lxd/containers/other"]);
    assert_eq!(host.ask("lxc.payload.web"), of(Engine::Lxc, "lxc"));
    host.run(&["lxd/containers/web", "elsewhere/web"]);
    assert_eq!(host.ask("lxc.payload.web"), of(Engine::Lxd, "lxd"));

    for running in [&["lxd/containers/web", "lxc/web"][..], &[]] {
        host.run(running);
        let unknown = host.ask("lxc.payload.web");
        assert_eq!((unknown.engine, unknown.name, unknown.labels), (Some(Engine::Lxc), None, Labels::new()), "{running:?}");
        let why = unknown.trouble.unwrap();
        assert!(why.starts_with("taken for LXC's, without labels") && why.contains("lxd/containers/web and "), "{why}");
    }
    fs::remove_file(host.dir.path().join("sockets")).unwrap();
    assert!(host.ask("lxc.payload.web").trouble.is_some());
}

#[test]
fn lxc_numbers_the_cgroup_where_one_of_that_name_is_left_over() {
    let mut host = Host::new();
    host.write("lxc/web/config", "lxc.environment = A=b\n");
    host.write("lxc/own-1/config", "");
    host.write("lxc/own/config", "lxc.environment = A=b\n");
    host.write("lxd/containers/team_db/backup.yaml", "");
    host.run(&["lxc/web"]);
    let web =
        Identity { engine: Some(Engine::Lxc), name: Some("web".into()), labels: labels(&[("A", "b")]), ..Identity::default() };
    assert_eq!(host.ask("lxc.payload.web-1"), web);
    assert_eq!(host.ask("lxc/web-12"), web, "as LXC before 4 has it");
    let of_lxd = Identity { engine: Some(Engine::Lxd), name: Some("team_db".into()), ..Identity::default() };
    assert_eq!(host.ask("lxc.payload.team_db-1"), of_lxd);

    let itself = Identity { engine: Some(Engine::Lxc), ..Identity::default() };
    for path in ["lxc.payload.web-x", "lxc.payload.web-", "lxc.payload.other-1", "lxc.payload.own-1"] {
        assert_eq!(host.ask(path), itself, "{path}");
    }
    host.run(&["lxc/web", "lxc/web-1"]);
    assert_eq!(host.ask("lxc.payload.web-1"), itself, "lxc-execute makes no directory");
}

#[test]
fn the_kubelets_logs_name_a_pods_containers() {
    let mut host = Host::new();
    let uid = "0a1b2c3d-0123-4567-89ab-0123456789ab";
    let path = format!("kubepods.slice/kubepods-pod{}.slice/cri-containerd-ID.scope", uid.replace('-', "_"));
    host.write(&format!("log/pods/shop_web-5d4f_{uid}/app/0.log"), "");
    let of_sandbox = host.ask(&path);
    assert_eq!(of_sandbox.name.as_deref(), Some("shop_web-5d4f_0123456789ab"));
    assert!(kubernetes::is_sandbox(&of_sandbox.labels), "{:?}", of_sandbox.labels);

    host.write("log/containers/web-5d4f_shop_app-ID.log", "");
    host.write("log/containers/not-one-of-them.log", "");
    let of_app = host.ask(&path);
    assert_eq!(of_app.name.as_deref(), Some("shop_web-5d4f_app"));
    let own = [
        ("io.kubernetes.pod.namespace", "shop"),
        ("io.kubernetes.pod.name", "web-5d4f"),
        ("io.kubernetes.container.name", "app"),
    ];
    assert_eq!(of_app.labels, labels(&own));
    assert!(!kubernetes::is_sandbox(&of_app.labels));
    assert_eq!(host.ask(&format!("kubepods/burstable/pod{uid}/ID")).name, of_app.name);

    let bundle = "containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json";
    host.write(bundle, r#"{"annotations":{"io.kubernetes.cri.container-type":"container","headroom.application":"shop"}}"#);
    assert_eq!(host.ask(&path).labels[APPLICATION], "shop");
}

#[test]
fn a_pods_labels_are_unfolded_where_crio_keeps_them() {
    let mut host = Host::new();
    let spec = r#"{"annotations":{"io.kubernetes.cri-o.Labels":"{\"tier\":\"front\"}",
        "io.kubernetes.cri-o.Annotations":"{\"headroom.application\":\"shop\"}"}}"#;
    host.write("crio/overlay-containers/ID/userdata/config.json", spec);
    let labels = host.ask("kubepods.slice/kubepods-pod0a1b.slice/crio-ID.scope").labels;
    assert_eq!((labels["tier"].as_str(), labels[APPLICATION].as_str()), ("front", "shop"));
}
