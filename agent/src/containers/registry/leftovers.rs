//! What LXC has left over. Where it could not remove the cgroup of a container that ended, the next one of that name gets a cgroup with a
//! number behind it (`lxc.payload.web-1`). Both are `web` then, and the one that runs is meant.

use std::collections::HashMap;

use super::Answer;
use crate::cgroup::CgroupPath;
use crate::containers::Engine;

/// Marks those in which nothing `runs`, while something does in another that LXC calls the same.
pub(super) fn mark(answers: &mut [Answer<'_>], runs: impl Fn(&CgroupPath) -> bool) {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, one) in answers.iter().enumerate().filter(|(_, one)| one.found.engine == Engine::Lxc) {
        by_name.entry(&one.wanted).or_default().push(at);
    }
    let shared: Vec<_> = by_name.into_values().filter(|all| all.len() > 1).collect();
    for all in shared {
        let (running, empty): (Vec<_>, Vec<_>) = all.into_iter().partition(|at| runs(&answers[*at].known.container.path));
        if !running.is_empty() {
            for at in empty {
                answers[at].is_left_over = true;
            }
        }
    }
}
