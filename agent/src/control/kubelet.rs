//! What the kubelet has settled for a container of a pod goes before what the settings ask for. Pure.

use headroom_model::limit::Limit;
use headroom_model::resource::Resource;

use crate::cgroup::LimitsAbove;
use crate::config::ResourceRule;
use crate::containers::pod::Pod;
use crate::containers::{Container, Engine};
use crate::sampler::meter::Reading;

/// What counts of a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kubelet {
    is_sandbox: bool,
    has_static_cpus: bool,
    above: LimitsAbove,
}

impl Kubelet {
    /// As it was read last; `None` for what is no pod's. `online`: how many CPUs there are.
    pub(super) fn of(container: &Container, last: &Reading, online: usize) -> Option<Self> {
        if container.engine != Engine::Kubernetes {
            return None;
        }
        let parts: Vec<&str> = container.path.as_str().split('/').collect();
        let pod = Pod::of(&parts[..parts.len() - 1])?;
        let has_static_cpus = last.cpusets.as_ref().is_some_and(|sets| pod.has_static_cpus(&sets.configured, online));
        Some(Self { is_sandbox: container.is_sandbox(), has_static_cpus, above: last.above.unwrap_or_default() })
    }

    /// Why nothing of it is guarded, where that is so.
    pub(super) fn refuses(self) -> Option<&'static str> {
        if self.is_sandbox {
            return Some(
                "not guarded: it is the pod's sandbox, which does nothing; or a container without a log, whose name is not known",
            );
        }
        self.has_static_cpus.then_some("not guarded: the kubelet's static CPU policy has given it CPUs of its own")
    }

    /// The rule with nothing above the pod's own limit, and a note where that makes a difference.
    pub(super) fn holds_under(self, resource: Resource, rule: ResourceRule) -> (ResourceRule, Option<String>) {
        let limit = match resource {
            Resource::Cpu => self.above.cpu,
            Resource::Mem => self.above.memory,
            _ => Limit::Unlimited,
        };
        match limit {
            Limit::At(pods) if pods < rule.max => {
                let note = format!("{resource}: the pod's own limit is {pods}: that counts as its max, not {}", rule.max);
                (ResourceRule { max: pods, min: rule.min.min(pods), ..rule }, Some(note))
            }
            _ => (rule, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_model::policy::thresholds::BoundaryType;

    use super::*;

    const RULE: ResourceRule = ResourceRule {
        min: 50.0,
        max: 200.0,
        boundary: 10.0,
        boundary_type: BoundaryType::PercentageOfMax,
        guard: true,
        weight: 1.0,
    };

    fn under(cpu: Limit, memory: Limit) -> Kubelet {
        Kubelet { is_sandbox: false, has_static_cpus: false, above: LimitsAbove { cpu, memory } }
    }

    #[test]
    fn nothing_goes_above_the_pods_own_limit() {
        let (rule, note) = under(Limit::At(150.0), Limit::Unlimited).holds_under(Resource::Cpu, RULE);
        assert_eq!((rule.min, rule.max), (50.0, 150.0));
        assert!(note.is_some_and(|note| note.contains("limit is 150") && note.contains("not 200")));
        let (rule, _) = under(Limit::At(20.0), Limit::Unlimited).holds_under(Resource::Cpu, RULE);
        assert_eq!((rule.min, rule.max), (20.0, 20.0));
        let (rule, note) = under(Limit::Unlimited, Limit::At(128.0)).holds_under(Resource::Mem, RULE);
        assert_eq!((rule.max, note.is_some()), (128.0, true));
    }

    #[test]
    fn a_limit_that_is_in_nobodys_way_changes_nothing() {
        for kubelet in [under(Limit::Unlimited, Limit::Unlimited), under(Limit::At(200.0), Limit::At(1.0))] {
            assert_eq!(kubelet.holds_under(Resource::Cpu, RULE), (RULE, None));
        }
    }

    #[test]
    fn sandboxes_and_static_cpus_are_left_alone() {
        let is_sandbox = Kubelet { is_sandbox: true, ..under(Limit::Unlimited, Limit::Unlimited) };
        assert!(is_sandbox.refuses().is_some_and(|why| why.contains("sandbox")));
        assert_eq!(under(Limit::Unlimited, Limit::Unlimited).refuses(), None);
        let has_static_cpus = Kubelet { has_static_cpus: true, ..under(Limit::Unlimited, Limit::Unlimited) };
        assert!(has_static_cpus.refuses().is_some_and(|why| why.contains("static CPU policy")));
    }
}
