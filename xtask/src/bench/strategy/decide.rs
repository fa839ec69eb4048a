//! A controller that looks at a container in fixed intervals, apart from clocks and files.

/// What is read of a container at a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// When, in s; ticks are exactly one interval apart.
    pub(super) at: f64,
    /// CPU time used so far, in s.
    pub(super) used: f64,
    /// Periods in which it was throttled so far.
    pub(super) throttled: u64,
}

/// Decides for one container.
pub(super) trait Decider {
    /// Between two ticks, in s.
    const TICK: f64;

    /// The limit that is in force from the beginning, in shares.
    fn limit(&self) -> f64;

    /// What the limit has to be from now on, in shares.
    fn tick(&mut self, reading: Reading) -> f64;
}

/// For how long the past is thought to have gone on, in s: 10 s windows lower a limit after 60 s.
const PAST: f64 = 300.0;
/// Length of a window of the past, in s, which is also the quota's period.
const WINDOW: f64 = 0.1;

/// Takes a controller through a past that ends at 0 s: `past`, in shares over windows of 100 ms, again and again. Returns the CPU time
/// that was used in it, and how many periods were throttled: real counters go on from there.
pub(super) fn rehearse<D: Decider>(decider: &mut D, past: &[f64]) -> Reading {
    let mut limit = decider.limit();
    let mut reading = Reading { at: -PAST, used: 0.0, throttled: 0 };
    let (windows, per_tick) = ((PAST / WINDOW).round(), (D::TICK / WINDOW).round());
    let mut n = 0.0;
    // The past is read from its end, so that it joins what comes.
    let usage = |n: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of windows, above 0")]
        let back = (windows - n) as usize;
        past.iter().rev().cycle().nth(back - 1).copied().unwrap_or(0.0)
    };
    while n < windows {
        if n % per_tick == 0.0 {
            reading.at = n * WINDOW - PAST;
            limit = decider.tick(reading);
        }
        let wanted = usage(n);
        reading.used += wanted.min(limit) / 100.0 * WINDOW;
        reading.throttled += u64::from(wanted > limit);
        n += 1.0;
    }
    Reading { at: 0.0, ..reading }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what it is told, and limits to 50.
    struct Notes(Vec<(f64, f64, u64)>);

    impl Decider for Notes {
        const TICK: f64 = 1.0;

        fn limit(&self) -> f64 {
            200.0
        }

        fn tick(&mut self, Reading { at, used, throttled }: Reading) -> f64 {
            self.0.push((at, used.round(), throttled));
            50.0
        }
    }

    #[test]
    fn the_past_is_lived_through_under_the_limits_it_brings() {
        let mut notes = Notes(Vec::new());
        // Half of the windows at 100, of which the limit leaves 50.
        let end = rehearse(&mut notes, &[0.0, 100.0]);
        assert_eq!((notes.0.len(), notes.0[0], notes.0[1].0), (300, (-300.0, 0.0, 0), -299.0));
        assert_eq!((end.used.round().to_string().as_str(), end.throttled), ("75", 1500));
        let idle = rehearse(&mut notes, &[]);
        assert_eq!((idle.used.to_string().as_str(), idle.throttled), ("0", 0));
    }
}
