//! What is done in every window does not allocate.

use allocation_counter::measure;
use headroom_agent::cgroup::CpuLimit;
use headroom_model::limit::Limit;

use crate::ground::Ground;

/// Quotas up and down with their bursts, a change of the period, every counter.
pub(crate) fn hot_paths_do_not_allocate(ground: &Ground) {
    let cgroup = ground.cgroup("hot");
    let (quota, clock, throttle) = (cgroup.cpu_quota().unwrap(), cgroup.cpu_clock().unwrap(), cgroup.throttle_clock().unwrap());
    let made = measure(|| {
        for (amount, period_us) in [(50.0, 100_000), (150.25, 100_000), (20.0, 100_000), (20.0, 100_000), (30.0, 50_000)] {
            let written = quota.write(&CpuLimit { quota: Limit::At(amount), period_us, burst_us: Some(5_000) });
            assert!(written.is_ok());
        }
        assert!(quota.write(&CpuLimit { quota: Limit::Unlimited, period_us: 100_000, burst_us: None }).is_ok());
        assert!(quota.read().is_ok() && clock.read().is_ok() && clock.total_ns().is_ok() && throttle.read().is_ok());
    });
    assert_eq!(made.count_total, 0, "{made:?}");
}
