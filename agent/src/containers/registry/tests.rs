use crossbeam_channel::Receiver;

use super::*;
use crate::containers::Engine;
use crate::containers::engines::Label;

/// Containers whose engines say what the test says.
struct World {
    registry: Registry,
    told: Receiver<Discovered>,
    there: Vec<(Recognised, Known)>,
    /// Where nothing runs.
    empty: Vec<&'static str>,
}

impl World {
    /// `(id, path, name)` of those that are there at the start, in the order in which they are found. The older a cgroup, the lower its id.
    fn new(there: &[(u64, &str, &str)]) -> Self {
        let (out, told) = crossbeam_channel::unbounded();
        let mut world = Self { registry: Registry::new(out), told, there: Vec::new(), empty: Vec::new() };
        for (id, path, name) in there {
            world.add(*id, path, name);
        }
        assert_eq!(world.registry.told(), 0, "names are given when all are there");
        world.ask(&[]);
        world
    }

    fn add(&mut self, id: u64, path: &str, name: &str) {
        let engine = if path.starts_with("lxc.payload") { Engine::Lxc } else { Engine::Docker };
        let own = Label::Id { engine, id: "0123456789abcdef".repeat(4) };
        let found = Recognised { engine, within: Vec::new(), own };
        let known = self.registry.add(&found, called(name), &CgroupPath::new(path).unwrap(), id);
        self.there.push((found, known));
    }

    fn remove(&mut self, id: u64) {
        let at = self.there.iter().position(|(_, known)| known.container.cgroup_id == id).unwrap();
        let (_, known) = self.there.remove(at);
        self.registry.remove(&known.container);
    }

    /// The engines are asked about everyone: of those in `now` they say this, of the others what they said before.
    fn ask(&mut self, now: &[(u64, Identity)]) {
        let answers = self.there.iter_mut().map(|(found, known)| {
            let said = now.iter().find(|(id, _)| *id == known.container.cgroup_id).map(|(_, identity)| identity.clone());
            let identity = said.unwrap_or_else(|| called(&known.wanted));
            Answer::new(known, found, identity)
        });
        self.registry.refresh(answers.collect(), |path| !self.empty.contains(&path.as_str()));
    }

    /// They are called so now.
    fn rename(&mut self, now: &[(u64, &str)]) {
        self.ask(&now.iter().map(|(id, name)| (*id, called(name))).collect::<Vec<_>>());
    }

    /// What was told since, as `<id> <name>`. At no time do two have one name.
    fn news(&self, names: &mut HashMap<u64, String>) -> Vec<String> {
        let mut news = Vec::new();
        for what in self.told.try_iter() {
            let now = match what {
                Discovered::Appeared(now) | Discovered::Changed(now) => now,
                Discovered::Gone { cgroup_id } => {
                    names.remove(&cgroup_id).unwrap();
                    continue;
                }
            };
            news.push(format!("{} {}", now.cgroup_id, now.name));
            names.insert(now.cgroup_id, now.name.clone());
            assert_eq!(names.values().collect::<HashSet<_>>().len(), names.len(), "{names:?}");
        }
        news
    }
}

fn called(name: &str) -> Identity {
    Identity { name: Some(name.to_owned()), ..Identity::default() }
}

#[test]
fn each_name_is_one_containers_and_free_again_when_it_is_gone() {
    let (mut world, mut names) = (World::new(&[]), HashMap::new());
    world.add(1, "a/web", "web");
    world.add(2, "batch/jobs/web", "web");
    world.add(3, "web", "web");
    world.add(4, "batch/jobs/web", "web");
    assert_eq!(world.news(&mut names), ["1 web", "2 web@batch.jobs", "3 web@root", "4 web@batch.jobs#4"]);
    assert_eq!((world.registry.len(), world.registry.told()), (4, 4));
    assert_eq!(world.registry.holder("web@root").map(CgroupPath::as_str), Some("web"));

    world.remove(1);
    world.add(5, "a/web", "web");
    assert_eq!(world.news(&mut names), ["5 web"]);
    world.remove(2);
    world.ask(&[]);
    assert_eq!(world.news(&mut names), Vec::<String>::new(), "4 keeps the name that it has");
    assert!(!world.registry.is_closed());
    world.told = crossbeam_channel::never();
    world.remove(5);
    assert!(world.registry.is_closed());
}

#[test]
fn at_the_start_the_oldest_has_the_name_whichever_is_found_first() {
    let (docker, lxc) = ((7, "docker/1", "web"), (3, "lxc.payload.web", "web"));
    for found in [[docker, lxc], [lxc, docker]] {
        let mut world = World::new(&found);
        assert_eq!(world.news(&mut HashMap::new()), ["7 web@docker", "3 web"]);
        assert_eq!(world.registry.len(), 2);
        world.ask(&[]);
        assert_eq!(world.registry.told(), 2, "nothing changed");
    }
}

#[test]
fn who_goes_before_all_are_introduced_was_never_there() {
    let mut world = World::new(&[]);
    world.registry.introduced = false;
    world.add(1, "docker/1", "web");
    world.remove(1);
    world.ask(&[]);
    assert_eq!((world.registry.len(), world.registry.told()), (0, 0));
}

#[test]
fn a_name_that_becomes_free_is_taken_by_who_wanted_it() {
    let mut names = HashMap::new();
    // `docker rename web web-old; docker run --name web`, and the new one was seen first.
    let mut world = World::new(&[(1, "docker/1", "web")]);
    world.add(2, "docker/2", "web");
    assert_eq!(world.news(&mut names), ["1 web", "2 web@docker"]);
    world.rename(&[(1, "web-old")]);
    assert_eq!(world.news(&mut names), ["1 web-old", "2 web"]);

    // Of two that wait the older one has it, and the other goes on waiting.
    world.add(4, "docker/4", "web");
    world.add(3, "docker/3", "web");
    assert_eq!(world.news(&mut names), ["4 web@docker", "3 web@docker#3"]);
    world.remove(2);
    world.ask(&[]);
    assert_eq!(world.news(&mut names), ["3 web"]);
    world.remove(3);
    world.ask(&[]);
    assert_eq!(world.news(&mut names), ["4 web"]);
}

#[test]
fn who_has_the_name_that_it_wants_keeps_it() {
    let mut names = HashMap::new();
    let mut world = World::new(&[(5, "lxc.payload.web", "web"), (1, "docker/1", "shop")]);
    world.rename(&[(1, "web")]);
    assert_eq!(world.news(&mut names), ["1 shop", "5 web", "1 web@docker"]);
    world.ask(&[]);
    world.rename(&[(1, "shop")]);
    assert_eq!(world.news(&mut names), ["1 shop"]);
}

#[test]
fn what_lxc_left_over_gives_its_name_to_the_one_that_runs() {
    let mut names = HashMap::new();
    let (old, new) = ("lxc.payload.web", "lxc.payload.web-1");
    let mut world = World::new(&[(1, old, "web")]);
    world.empty = vec![old, new];
    world.add(2, new, "web");
    world.ask(&[]);
    assert_eq!(world.news(&mut names), ["1 web", "2 web@root"], "nothing runs there yet");
    assert!(world.there[1].1.awaits_name(&world.there[1].0));
    world.empty = vec![old];
    world.ask(&[]);
    assert_eq!(world.news(&mut names).last().map(String::as_str), Some("2 web"));
    assert_eq!(names, [(1, "web@root".to_owned()), (2, "web".to_owned())].into());
    world.ask(&[]);
    assert_eq!(world.news(&mut names), Vec::<String>::new());
    world.empty = vec![old, new];
    world.ask(&[]);
    assert_eq!(world.news(&mut names), Vec::<String>::new(), "it has the name, and ends");

    // In both something runs, as with two directories of LXC's; and nobody gives way to another engine's.
    for (empty, second) in [(&[][..], new), (&[old][..], "docker/1")] {
        names.clear();
        let mut world = World::new(&[(1, old, "web")]);
        world.empty = empty.to_vec();
        world.add(2, second, "web");
        world.ask(&[]);
        assert_eq!(world.news(&mut names)[0], "1 web");
        assert_eq!((names[&1].as_str(), names.len()), ("web", 2), "{second}");
    }
}

#[test]
fn at_the_start_too_the_one_that_runs_has_the_name() {
    let mut world = World::new(&[]);
    world.registry.introduced = false;
    world.add(1, "lxc.payload.web", "web");
    world.add(2, "lxc.payload.web-1", "web");
    world.empty = vec!["lxc.payload.web"];
    world.ask(&[]);
    assert_eq!(world.news(&mut HashMap::new()), ["1 web@root", "2 web"]);
}

#[test]
fn names_that_were_handed_on_or_swapped_come_out_as_the_engines_say() {
    for found in [[0, 1, 2], [2, 1, 0]] {
        let mut names = HashMap::new();
        let there = [(1, "docker/1", "web"), (2, "docker/2", "new"), (3, "docker/3", "db")];
        let mut world = World::new(&found.map(|at| there[at]));
        world.news(&mut names);
        // `docker rename web old; docker rename new web`
        world.rename(&[(1, "old"), (2, "web")]);
        assert_eq!(world.news(&mut names), ["1 old", "2 web"]);
        world.rename(&[(1, "web"), (2, "old")]);
        assert_eq!(world.news(&mut names), ["1 web@docker", "2 old", "1 web"]);
        world.rename(&[(1, "db"), (2, "web"), (3, "old")]);
        let news = world.news(&mut names);
        assert_eq!(news.len(), 4, "{news:?}");
        assert_eq!(names, [(1, "db".to_owned()), (2, "web".to_owned()), (3, "old".to_owned())].into());
    }
}

#[test]
fn what_changes_beside_the_name_is_told_too() {
    let mut world = World::new(&[(1, "docker/1", "shop")]);
    let labels = [(APPLICATION.to_owned(), "app1".to_owned())].into();
    world.ask(&[(1, Identity { labels, ..called("shop") })]);
    assert_eq!(world.there[0].1.container.application.as_deref(), Some("app1"));
    world.ask(&[(1, Identity { trouble: Some("no file".to_owned()), ..Identity::default() })]);
    let container = &world.there[0].1.container;
    assert_eq!((container.name.as_str(), container.trouble.as_deref()), ("0123456789ab", Some("no file")));
    assert_eq!(world.news(&mut HashMap::new()), ["1 shop", "1 shop", "1 0123456789ab"]);
}
