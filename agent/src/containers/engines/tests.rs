use super::*;
use crate::containers::identity::Identity;
use crate::containers::naming;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const SHORT: &str = "0123456789ab";

fn every_engine() -> Recogniser {
    Recogniser::new(vec![Engine::Lxc, Engine::Docker, Engine::Podman, Engine::Kubernetes, Engine::Systemd], Vec::new())
}

/// `ID` in a path stands for 64 hexadecimal digits.
fn seen(recogniser: &Recogniser, path: &str) -> Option<(Engine, String, Option<String>)> {
    let path = CgroupPath::new(&path.replace("ID", ID)).unwrap();
    let found = recogniser.recognise(&path)?;
    Some((found.engine, naming::name(&found, &Identity::default()), naming::engine_id(&found)))
}

#[test]
fn the_engines_containers_are_recognised() {
    let named = |engine, name: &str| Some((engine, name.to_owned(), None));
    let with_id = |engine, name: &str| Some((engine, name.to_owned(), Some(ID.to_owned())));
    let table = [
        ("lxc.payload.cont0", named(Engine::Lxc, "cont0")),
        ("lxc.payload.project_web.1", named(Engine::Lxc, "project_web.1")),
        ("lxc/cont0", named(Engine::Lxc, "cont0")),
        ("lxc/lxc", named(Engine::Lxc, "lxc")),
        ("docker/ID", with_id(Engine::Docker, SHORT)),
        ("system.slice/docker-ID.scope", with_id(Engine::Docker, SHORT)),
        ("machine.slice/libpod-ID.scope", with_id(Engine::Podman, SHORT)),
        ("machine.slice/machine-libpod_pod_x.slice/libpod-ID.scope", with_id(Engine::Podman, SHORT)),
        ("libpod_parent/libpod-ID", with_id(Engine::Podman, SHORT)),
        ("system.slice/web.service/libpod-payload-ID", with_id(Engine::Podman, SHORT)),
        ("kubepods.slice/kubepods-pod0a_1b.slice/docker-ID.scope", with_id(Engine::Kubernetes, SHORT)),
        (
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a.slice/cri-containerd-ID.scope",
            with_id(Engine::Kubernetes, SHORT),
        ),
        ("kubepods/besteffort/pod0a-1b/crio-ID", with_id(Engine::Kubernetes, SHORT)),
        ("kubepods/pod0a-1b/ID", with_id(Engine::Kubernetes, SHORT)),
        ("system.slice/nginx.service", named(Engine::Systemd, "nginx.service")),
        ("system.slice/system-getty.slice/getty@tty1.service", named(Engine::Systemd, "getty@tty1.service")),
        ("batch.slice/foo.service", named(Engine::Systemd, "foo.service")),
        ("a.slice/a-b.slice/foo.service", named(Engine::Systemd, "foo.service")),
        ("machine.slice/systemd-nspawn@c1.service", named(Engine::Systemd, "systemd-nspawn@c1.service")),
        ("in-the-root-slice.service", named(Engine::Systemd, "in-the-root-slice.service")),
        ("system.slice/_memory.service", named(Engine::Systemd, "memory.service")),
        ("_cpu.slice/__own.service", named(Engine::Systemd, "_own.service")),
    ];
    for (path, expected) in table {
        assert_eq!(seen(&every_engine(), path), expected, "{path}");
    }
}

#[test]
fn a_nested_container_is_its_own_and_its_name_says_where() {
    let table = [
        ("lxc.payload.c1/docker/ID", "c1:0123456789ab"),
        ("lxc.payload.c1/system.slice/docker-ID.scope", "c1:0123456789ab"),
        ("lxc.payload.c1/lxc.payload.c1", "c1:c1"),
        ("lxc.payload.c1/lxc/c2", "c1:c2"),
        ("docker/ID/docker/ID", "0123456789ab:0123456789ab"),
        ("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", "u1000:0123456789ab"),
        ("user.slice/user-1000.slice/user@1000.service/lxc.payload.cont0", "u1000:cont0"),
    ];
    for (path, expected) in table {
        assert_eq!(seen(&every_engine(), path).map(|(_, name, _)| name), Some(expected.to_owned()), "{path}");
    }
}

#[test]
fn what_lies_inside_a_container_or_beside_it_is_none() {
    for path in [
        "",
        "lxc.payload.",
        "lxc.payload.c1/.lxc",
        "lxc.payload.c1/init.scope",
        "lxc.payload.c1/system.slice/nginx.service",
        "lxc.payload.c1/sub/lxc/c2",
        "lxc.monitor.c1",
        "lxc.pivot",
        "lxc",
        "lxc/.lxc",
        "lxc/lxc/inner",
        "lxc/c1/inner",
        "docker",
        "docker/buildkit",
        "docker/0123",
        "docker/ID/init.scope",
        "docker/ID/system.slice/nginx.service",
        "system.slice",
        "system.slice/docker-0123.scope",
        "kubepods",
        "kubepods/burstable",
        "kubepods/burstable/pod0a-1b",
        "kubepods.slice/kubepods-pod0a.slice",
        "kubepods.slice/kubepods-pod0a.slice/crio-conmon-ID.scope",
        "kubepods.slice/docker-ID.scope",
        "kubepods/ID",
        "kubepods/burstable/podx/ID",
        "system.slice/docker.socket",
        "system.slice/nginx.service/inner.service",
        "init.scope",
        "machine.slice/libpod-ID.scope/container",
        "machine.slice/libpod-conmon-ID.scope",
        "libpod_parent/conmon",
        "user.slice/user-1000.slice/user@1000.service",
        "user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        "user.slice/web.service",
        "batch/foo.service",
        "batch.slice/foo.service/inner.slice/bar.service",
        "machine.slice/machine-qemu.scope",
        "system.slice/_.service",
        "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(seen(&every_engine(), path), None, "{path}");
    }
}

#[test]
fn docker_is_found_below_any_parent_that_it_was_given() {
    let root = tempfile::tempdir().unwrap();
    let has = |id: &str| {
        let dir = root.path().join("containers").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.v2.json"), "{}").unwrap();
    };
    let recogniser = every_engine().with_docker(vec!["/nowhere".into(), root.path().to_owned()]);
    let name = |path: &str| seen(&recogniser, path).map(|(engine, name, _)| (engine, name));
    assert_eq!(name("jobs/ID"), None, "Docker knows nothing of it");
    has(ID);
    for path in ["jobs/ID", "batch.slice/jobs/ID", "ID"] {
        assert_eq!(name(path), Some((Engine::Docker, SHORT.to_owned())), "{path}");
        assert_eq!(seen(&every_engine(), path), None, "{path}");
    }
    assert_eq!(name("jobs/ID/init.scope"), None);
    assert_eq!(name(&format!("jobs/{}", "f".repeat(64))), None);
    assert_eq!(name("kubepods/ID"), None, "the kubelet's");
    // Whoever is inside takes no name of the host's.
    assert_eq!(name("jobs/ID/docker/ID"), Some((Engine::Docker, format!("{SHORT}:{SHORT}"))));
    assert_eq!(name("lxc.payload.c1/jobs/ID"), Some((Engine::Docker, format!("c1:{SHORT}"))));
}

#[test]
fn only_the_engines_asked_for_but_names_are_the_same() {
    let docker = Recogniser::new(vec![Engine::Docker], Vec::new());
    assert_eq!(seen(&docker, "lxc.payload.c1"), None);
    assert_eq!(seen(&docker, "system.slice/nginx.service"), None);
    assert_eq!(seen(&docker, "lxc.payload.c1/docker/ID").map(|(_, name, _)| name), Some(format!("c1:{SHORT}")));
    assert_eq!(seen(&Recogniser::default(), "docker/ID"), None);
}

#[test]
fn patterns_name_containers_of_the_users_own() {
    let pattern = |text: &str| Recogniser::new(vec![Engine::Lxc], vec![Regex::new(text).unwrap()]);
    let custom = |name: &str| Some((Engine::Custom, name.to_owned(), None));
    let jobs = pattern("^batch/job-(?<name>[^/]+)");
    assert_eq!(seen(&jobs, "batch/job-7"), custom("7"));
    assert_eq!(seen(&jobs, "batch/job-7/step"), None, "a group inside it");
    assert_eq!(seen(&jobs, "batch"), None);
    assert_eq!(seen(&jobs, "lxc.payload.c1").map(|found| found.0), Some(Engine::Lxc), "engines go on beside patterns");
    assert_eq!(seen(&pattern("^lxc.payload.(?<name>.+)"), "lxc.payload.c1"), custom("c1"));
    assert_eq!(seen(&pattern("x(?<name>.*)"), "x"), None, "an empty name is none");
    assert_eq!(seen(&pattern("(?<name>a/b)"), "a/b"), custom("a.b"), "a slash would break the name in two in a URL");
    assert_eq!(seen(&pattern("^no-name-group$"), "no-name-group"), None);
    assert_eq!(seen(&pattern("web(?<name>.*)"), "lxc.payload.evil/web1"), custom("evil:1"), "a guest takes no name of the host");
}

#[test]
fn descends_where_a_container_may_lie() {
    let below = |recogniser: &Recogniser, path: &str| recogniser.descends(&CgroupPath::new(path).unwrap());
    for path in ["", "lxc", "docker", "system.slice", "lxc.payload.c1", "lxc.payload.c1/system.slice", "user.slice"] {
        assert!(below(&every_engine(), path), "{path}");
    }
    let leaves = ["lxc.payload.c1/.lxc", "init.scope", "lxc.monitor.c1", "system.slice/boot.mount"];
    let pattern = Recogniser::new(Vec::new(), vec![Regex::new("(?<name>x)").unwrap()]);
    for path in leaves {
        assert!(!below(&every_engine(), path), "{path}");
        assert!(below(&pattern, path), "{path}: a pattern may name anything");
    }
    assert!(!below(&pattern, &["d"; 30].join("/")));
}
