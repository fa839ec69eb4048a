//! Recognition: which cgroup paths are containers, and of which engine. Pure, but for whether Docker has written of an id.
//!
//! | engine | path |
//! | --- | --- |
//! | LXC, LXD | `lxc.payload.<name>`; before LXC 4 `lxc/<name>` at the root |
//! | Docker | `docker/<64 hex>`, `docker-<64 hex>.scope`; with `--cgroup-parent` `../<64 hex>`, of which Docker's own files know |
//! | Podman | `libpod-<64 hex>` with or without `.scope`, `libpod-payload-<64 hex>` |
//! | Kubernetes | below `kubepods`: `pod<uid>/<64 hex>`, `..-pod<uid>.slice/{cri-containerd-,crio-,docker-}<64 hex>.scope` |
//! | systemd | `<unit>.service` below nothing but slices, `user.slice` apart |
//!
//! All but the last also count inside another container or a user's session: that is a container of its own, and its
//! name is qualified by where it lies, so that nobody inside can take the name of a container of the host. What engines
//! and init systems put *below* a container (`.lxc`, `init.scope`, `container`, units) is part of it, not another one.
//! The containers of a pod are Kubernetes', whatever engine made them.

use std::path::PathBuf;

use regex::Regex;

use super::Engine;
use super::identity::docker;
use super::pod::{Pod, is_of_kubelet};
use crate::cgroup::CgroupPath;

/// The name group that every pattern of the user has.
const NAME_GROUP: &str = "name";

/// How deep below the root a container may lie: a guest that nests groups without end must not cost us watches without end.
const DEEPEST: usize = 24;

/// A container as its path shows it, before it has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// What runs it.
    pub engine: Engine,
    /// What it lies in, outermost first.
    pub within: Vec<Label>,
    /// Itself.
    pub own: Label,
}

/// What a path tells of who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The engine put the name into the path.
    Name(String),
    /// The engine put its own id there; the name is to be asked for.
    Id {
        /// Whose id.
        engine: Engine,
        /// 64 hexadecimal digits.
        id: String,
    },
    /// The session of a user.
    User(u32),
}

/// The engines and patterns that are looked for.
#[derive(Clone, Debug, Default)]
pub struct Recogniser {
    engines: Vec<Engine>,
    patterns: Vec<Regex>,
    /// Docker's data roots.
    docker: Vec<PathBuf>,
}

impl Recogniser {
    /// Looks for these engines, and for whatever one of `patterns` matches.
    ///
    /// A pattern is held against the path without a leading slash, must match up to its end (so that the groups inside
    /// a container are not containers too) and give a name in its group `name`. Patterns go before engines.
    pub fn new(engines: Vec<Engine>, patterns: Vec<Regex>) -> Self {
        Self { engines, patterns, docker: Vec::new() }
    }

    /// Also finds the containers of Docker that lie anywhere else, by what it keeps in these data roots.
    #[must_use]
    pub fn with_docker(self, roots: Vec<PathBuf>) -> Self {
        Self { docker: roots, ..self }
    }

    /// The container at `path`, if it is one.
    pub fn recognise(&self, path: &CgroupPath) -> Option<Recognised> {
        let parts: Vec<&str> = path.as_str().split('/').collect();
        let (last, parents) = parts.split_last()?;
        let (engine, own) = self.by_pattern(path.as_str()).or_else(|| {
            self.by_engine(parents, last).or_else(|| by_unit(parents, last)).filter(|(engine, _)| self.engines.contains(engine))
        })?;
        Some(Recognised { engine, within: self.around(parents), own })
    }

    /// Whether a container may lie anywhere below `path`.
    pub fn descends(&self, path: &CgroupPath) -> bool {
        let path = path.as_str();
        let last = path.rsplit('/').next().unwrap_or_default();
        let leaf = [".lxc", "init.scope", "lxc.pivot"].contains(&last)
            || last.starts_with("lxc.monitor.")
            || [".mount", ".socket", ".swap", ".device"].iter().any(|unit| last.ends_with(unit));
        path.matches('/').count() < DEEPEST && (!leaf || !self.patterns.is_empty())
    }

    fn by_pattern(&self, path: &str) -> Option<(Engine, Label)> {
        self.patterns.iter().find_map(|pattern| {
            let captures = pattern.captures(path)?;
            let name = captures.name(NAME_GROUP)?.as_str();
            let whole = captures.get(0)?.end() == path.len();
            (whole && !name.is_empty()).then(|| (Engine::Custom, Label::Name(name.replace('/', "."))))
        })
    }

    /// The engine's mark in the last part of a path.
    fn by_engine(&self, parents: &[&str], last: &str) -> Option<(Engine, Label)> {
        let named = |name: &str| (!name.is_empty()).then(|| (Engine::Lxc, Label::Name(name.to_owned())));
        let with_id = |engine: Engine, id: &str| is_id(id).then(|| (engine, Label::Id { engine, id: id.to_owned() }));

        if is_of_kubelet(parents) {
            let id = last.strip_suffix(".scope").unwrap_or(last);
            let id = ["cri-containerd-", "crio-", "docker-"].iter().find_map(|runtime| id.strip_prefix(runtime)).unwrap_or(id);
            return Pod::of(parents).and_then(|_| with_id(Engine::Kubernetes, id));
        }
        if let Some(name) = last.strip_prefix("lxc.payload.") {
            return named(name);
        }
        let scope = last.strip_suffix(".scope");
        if let Some(id) = scope.unwrap_or(last).strip_prefix("libpod-") {
            return with_id(Engine::Podman, id.strip_prefix("payload-").unwrap_or(id));
        }
        if let Some(id) = scope.and_then(|scope| scope.strip_prefix("docker-")) {
            return with_id(Engine::Docker, id);
        }
        match parents.split_last() {
            Some((&"docker", _)) => with_id(Engine::Docker, last),
            Some((&"lxc", base)) if self.is_top(base) && !last.starts_with('.') => named(last),
            _ if is_id(last) && docker::has(&self.docker, last) => with_id(Engine::Docker, last),
            _ => None,
        }
    }

    /// Whether these parts lead to the root, as the host or a container sees it.
    fn is_top(&self, parts: &[&str]) -> bool {
        parts.split_last().is_none_or(|(last, parents)| self.by_engine(parents, last).is_some())
    }

    /// The user's session and the containers that these parts lead through.
    fn around(&self, parents: &[&str]) -> Vec<Label> {
        let user = match parents {
            ["user.slice", user, ..] => user.strip_prefix("user-").and_then(|user| user.strip_suffix(".slice")?.parse().ok()),
            _ => None,
        };
        let containers = (0..parents.len()).filter_map(|at| self.by_engine(&parents[..at], parents[at]));
        user.map(Label::User).into_iter().chain(containers.map(|(_, label)| label)).collect()
    }
}

/// A service of the host's own systemd, in whatever slice. One inside a container is that container's, and what is in `user.slice` is the
/// managers of users and their sessions.
fn by_unit(parents: &[&str], last: &str) -> Option<(Engine, Label)> {
    let in_slices = parents.iter().all(|part| part.strip_suffix(".slice").is_some()) && parents.first() != Some(&"user.slice");
    // One that would be called as a file of cgroupfs may be (`memory.service`), or begins with `_` itself, has a `_` before its name.
    let unit = last.strip_prefix('_').unwrap_or(last);
    let is_service = unit.strip_suffix(".service").is_some_and(|name| !name.is_empty());
    (in_slices && is_service).then(|| (Engine::Systemd, Label::Name(unit.to_owned())))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
