//! Nanoseconds since the fabric was made, the same in all its processes.

use rustix::time::{ClockId, clock_gettime};

/// How the fabric's processes read time; made once with the fabric and shared in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Nanoseconds per tick of the time stamp counter, times 2^32; 0: the counter is not used.
    pub(crate) ns_per_tick_q32: u64,
    /// The counter when the fabric was made.
    pub(crate) base_ticks: u64,
    /// CLOCK_MONOTONIC when the fabric was made, in nanoseconds.
    pub(crate) base_ns: u64,
}

/// How long the counter is compared with the kernel's clock: an error of 50 ns at both ends makes 10 ppm.
const CALIBRATION_NS: u64 = 10_000_000;

impl Clock {
    /// A clock that starts now. Takes 10 ms where the time stamp counter can be used.
    pub(crate) fn start() -> Clock {
        let (base_ticks, base_ns) = read_both();
        if !is_counter_usable() {
            return Clock { ns_per_tick_q32: 0, base_ticks, base_ns };
        }
        let (mut ticks, mut ns) = (base_ticks, base_ns);
        while ns - base_ns < CALIBRATION_NS {
            std::thread::sleep(std::time::Duration::from_nanos(CALIBRATION_NS - (ns - base_ns)));
            (ticks, ns) = read_both();
        }
        let ns_per_tick_q32 = (u128::from(ns - base_ns) << 32) / u128::from((ticks - base_ticks).max(1));
        Clock { ns_per_tick_q32: ns_per_tick_q32 as u64, base_ticks, base_ns }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        if self.ns_per_tick_q32 == 0 {
            return monotonic_ns().saturating_sub(self.base_ns);
        }
        // Another processor's counter may be a few ticks behind the one that made the fabric.
        let ticks = read_counter().saturating_sub(self.base_ticks);
        ((u128::from(ticks) * u128::from(self.ns_per_tick_q32)) >> 32) as u64
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The counter and the kernel's clock at the same moment: the closest of a few tries, since a reading that is
/// interrupted is off by as much.
fn read_both() -> (u64, u64) {
    let try_once = |_| {
        let before = read_counter();
        let ns = monotonic_ns();
        let after = read_counter();
        (after.wrapping_sub(before), before + after.wrapping_sub(before) / 2, ns)
    };
    (0..8).map(try_once).min().map_or((0, 0), |(_, ticks, ns)| (ticks, ns))
}

/// The kernel uses the counter itself where it runs at one rate and alike on all processors; its judgement, which
/// watches for faulty machines, is taken over.
#[cfg(target_arch = "x86_64")]
fn is_counter_usable() -> bool {
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let is_trusted =
        source.is_ok_and(|source| matches!(source.trim(), "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page"));
    let is_invariant = std::arch::x86_64::__cpuid(0x8000_0000).eax >= 0x8000_0007
        && std::arch::x86_64::__cpuid(0x8000_0007).edx & (1 << 8) != 0;
    is_trusted && is_invariant
}

#[cfg(not(target_arch = "x86_64"))]
fn is_counter_usable() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_counter() -> u64 {
    // SAFETY: reading the counter has no precondition on x86_64.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn read_counter() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_at_the_rate_of_the_kernels_clock() {
        let clock = Clock::start();
        let between = || (monotonic_ns(), clock.now_ns(), monotonic_ns());
        let (before, start, after) = between();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (before_end, end, after_end) = between();
        // Our time lies between the kernel's, however long an interruption was; 1 % is for the calibration.
        let (least, most) = (before_end - after, after_end - before);
        assert!(
            end - start >= least - least / 100 && end - start <= most + most / 100,
            "{least} {} {most}",
            end - start
        );
    }

    #[test]
    fn it_never_runs_backwards() {
        let clock = Clock::start();
        let mut last = 0;
        for _ in 0..100_000 {
            let now = clock.now_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn without_a_counter_the_kernels_clock_is_used() {
        let clock = Clock { ns_per_tick_q32: 0, base_ticks: 0, base_ns: monotonic_ns() };
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(clock.now_ns() >= 1_000_000);
    }
}
