//! Groups of containers: a request for an application, split over its containers on whatever hosts.
//!
//! The request is cut into slices. Each goes to the container that needs it most, and the need is worked out again after each: upwards first to
//! those below their floor, then to those whose limit is below their usage, then to the one with the least room between the two; downwards the
//! reverse, and never below the floor. What fits nowhere is not granted: the request shrinks to what is.

use std::cmp::Ordering;

use crate::resource::Resource;

#[cfg(test)]
mod tests;

/// One container of a group that can be scaled now, in the resource's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its limit.
    pub current: f64,
    /// What it uses; `None` where that is not known: then it is taken to use what it has at first.
    pub usage: Option<f64>,
    /// Its own bounds.
    pub min: f64,
    /// Its own bounds.
    pub max: f64,
    /// Which of the hosts it is on.
    pub host: usize,
}

impl Member {
    /// What it is not lowered below.
    pub fn floor(&self) -> f64 {
        floor(self.min)
    }

    /// The distance between its limit and its usage.
    fn slack(&self) -> f64 {
        self.usage.map_or(0.0, |usage| self.current - usage)
    }

    /// Who needs more comes first.
    fn by_need(&self, other: &Self) -> Ordering {
        let lacks = |member: &Self| (member.floor() - member.current).max(0.0);
        lacks(other).total_cmp(&lacks(self)).then(self.slack().total_cmp(&other.slack()))
    }
}

/// What a container with this `min` is not lowered below.
pub fn floor(min: f64) -> f64 {
    min.max(1.0)
}

/// The size of a slice, in the resource's unit.
pub const fn slice(resource: Resource) -> f64 {
    match resource {
        Resource::Energy => 1.0,
        _ => 5.0,
    }
}

/// By how much each member's limit is to change. `free`: what each host has not given out, in the resource's unit; infinite where nothing
/// bounds it. The sum is at most `amount`, and of its sign.
pub fn split(resource: Resource, amount: f64, members: &[Member], free: &[f64]) -> Vec<f64> {
    let known = |member: &Member| Member { usage: member.usage.or(Some(member.current)), ..member.clone() };
    let mut now: Vec<Member> = members.iter().map(known).collect();
    let mut free = free.to_vec();
    let mut left = amount.abs();
    let sign = amount.signum();
    while left > 0.0 {
        let slice = slice(resource).min(left);
        let fits = |member: &&mut Member| {
            if amount > 0.0 {
                member.current + slice <= member.max && free.get(member.host).is_some_and(|free| slice <= *free)
            } else {
                member.current - slice >= member.floor()
            }
        };
        let candidates = now.iter_mut().filter(fits);
        // Of equals the first.
        let Some(member) =
            (if amount > 0.0 { candidates.min_by(|a, b| a.by_need(b)) } else { candidates.min_by(|a, b| b.by_need(a)) })
        else {
            break;
        };
        member.current += sign * slice;
        if let Some(free) = free.get_mut(member.host) {
            *free -= sign * slice;
        }
        left -= slice;
    }
    now.iter().zip(members).map(|(now, before)| now.current - before.current).collect()
}

/// What of `amount` may be asked for, so that the group holds at most `max`: what nobody can look at now (`unseen`) counts as held.
pub fn within(amount: f64, current: f64, unseen: f64, max: f64) -> f64 {
    amount.min(max - unseen - current)
}

/// The limit with which a container begins that joins a group: its part of what the group has not given out yet, between its own floor and
/// `max`. `others`: how many begin at the same time, without it.
pub fn first(min: f64, max: f64, left: f64, others: usize) -> f64 {
    let part = (left / (others as f64 + 1.0)).floor();
    part.min(max).max(floor(min).min(max))
}
