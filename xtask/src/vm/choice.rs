//! What can be booted: kernels and cgroup layouts, and which go together.

use clap::ValueEnum;

/// A kernel by its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// Debian 12's own: the oldest that is supported, and the last with every v1 controller
    #[value(name = "6.1")]
    V6_1,
    /// A long-term kernel, also Debian 13's
    #[value(name = "6.12")]
    V6_12,
    /// The newest that Debian has
    #[value(name = "newest")]
    Newest,
}

impl Kernel {
    /// Every kernel, oldest first.
    pub(crate) const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::Newest];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
        }
    }

    /// The newest release of this series among packages such as `linux-image-6.12.117+deb12-amd64`, as the package names it.
    pub(crate) fn newest_of(self, packages: &[String]) -> Option<String> {
        packages
            .iter()
            .filter_map(|package| package.strip_prefix("linux-image-"))
            .filter(|release| is_standard(release) && (self == Self::Newest || series(release) == self.name()))
            .max_by_key(|release| numbers(release))
            .map(str::to_owned)
    }
}

/// `6.12.117+deb12-amd64`, `6.1.0-56-amd64`: not `-cloud-amd64`, not `-rt-amd64`, not the bare `amd64` that depends on them.
fn is_standard(release: &str) -> bool {
    let Some(version) = release.strip_suffix("-amd64") else { return false };
    version.matches('.').count() >= 2
        && version.rsplit('-').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}

fn series(release: &str) -> &str {
    let end = release.match_indices('.').nth(1).map_or(release.len(), |(at, _)| at);
    &release[..end]
}

/// The numbers in a release, for comparison: 7.2.13+deb14 becomes 7, 2, 13, 14.
fn numbers(release: &str) -> Vec<u32> {
    let version = release.trim_end_matches("-amd64");
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Which cgroup hierarchies the guest mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hierarchy {
    /// One tree with every controller
    V2,
    /// A mount for each controller (kernel 6.1 only)
    V1,
    /// As v1, with a v2 tree without controllers at `unified` (kernel 6.1 only)
    Hybrid,
}

impl Hierarchy {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
        }
    }

    /// Whether this kernel has it: Debian builds 6.12 and later without the v1 memory and cpuset controllers.
    pub(crate) fn is_in(self, kernel: Kernel) -> bool {
        self == Self::V2 || kernel == Kernel::V6_1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_standard_kernel_of_a_series_is_taken() {
        let packages: Vec<String> = [
            "6.1.0-9-amd64",
            "6.1.0-56-amd64",
            "6.1.0-57-rt-amd64",
            "6.12.99+deb12-amd64",
            "6.12.117+deb12-amd64",
            "6.12.118+deb12-cloud-amd64",
            "6.12-amd64",
            "7.2.13+deb14-amd64",
            "amd64",
            "7.3-arm64",
        ]
        .map(|release| format!("linux-image-{release}"))
        .to_vec();
        assert_eq!(Kernel::V6_1.newest_of(&packages).as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(Kernel::V6_12.newest_of(&packages).as_deref(), Some("6.12.117+deb12-amd64"));
        assert_eq!(Kernel::Newest.newest_of(&packages).as_deref(), Some("7.2.13+deb14-amd64"));
        assert_eq!(Kernel::V6_1.newest_of(&[]), None);
    }

    #[test]
    fn v1_is_in_6_1_only() {
        assert!(Hierarchy::V1.is_in(Kernel::V6_1) && Hierarchy::Hybrid.is_in(Kernel::V6_1));
        assert!(!Hierarchy::V1.is_in(Kernel::V6_12) && !Hierarchy::Hybrid.is_in(Kernel::Newest));
        assert!(Kernel::ALL.into_iter().all(|kernel| Hierarchy::V2.is_in(kernel)));
    }
}
