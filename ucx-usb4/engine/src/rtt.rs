//! Round-trip time and the waits that follow from it (RFC 6298's estimator).

use crate::Timeouts;

/// How long to wait for a first answer when nothing has been measured.
const FIRST_PROBE_NS: u64 = 1_000_000;
/// How many times the least retransmission timeout to wait when nothing has been measured.
const FIRST_RTO_FACTOR: u64 = 5;

#[derive(Debug, Default)]
pub(crate) struct Rtt {
    smoothed_ns: u64,
    variation_ns: u64,
}

impl Rtt {
    /// Takes the time between a frame that was sent once and its acknowledgement.
    #[inline]
    pub(crate) fn sample(&mut self, rtt_ns: u64) {
        let rtt_ns = rtt_ns.max(1);
        if self.smoothed_ns == 0 {
            (self.smoothed_ns, self.variation_ns) = (rtt_ns, rtt_ns / 2);
        } else {
            let error = self.smoothed_ns.abs_diff(rtt_ns);
            self.variation_ns = (3 * self.variation_ns + error) / 4;
            self.smoothed_ns = ((7 * self.smoothed_ns + rtt_ns) / 8).max(1);
        }
    }

    pub(crate) fn smoothed_ns(&self) -> u64 {
        self.smoothed_ns
    }

    pub(crate) fn variation_ns(&self) -> u64 {
        self.variation_ns
    }

    /// Silence after which to ask what has arrived.
    #[inline]
    pub(crate) fn probe_after_ns(&self, timeouts: &Timeouts) -> u64 {
        if self.smoothed_ns == 0 {
            return FIRST_PROBE_NS.min(timeouts.rto_min_ns).max(timeouts.probe_min_ns);
        }
        let expected = 2 * self.smoothed_ns + 4 * self.variation_ns + timeouts.ack_delay_ns;
        expected.clamp(timeouts.probe_min_ns, timeouts.rto_max_ns)
    }

    /// How often to ask before anything is sent again: at doubling distances, that many questions fit the wait. So one that is lost, or whose
    /// answer is, costs another such wait and not the long one.
    pub(crate) fn probes(&self, timeouts: &Timeouts) -> u32 {
        let fit = self.rto_ns(timeouts, 0).div_ceil(self.probe_after_ns(timeouts).max(1));
        (fit + 1).ilog2()
    }

    /// How long to wait on after the wait was over `expiries` times in a row.
    pub(crate) fn wait_on_ns(&self, timeouts: &Timeouts, expiries: u32) -> u64 {
        let (probes, first_ns) = (self.probes(timeouts), self.probe_after_ns(timeouts));
        match expiries {
            0 => first_ns,
            _ if expiries < probes => first_ns << expiries,
            // What the questions have left of the wait.
            _ if expiries == probes => self.rto_ns(timeouts, 0).saturating_sub(first_ns * ((1 << probes) - 2)),
            _ => self.rto_ns(timeouts, expiries - probes - 1),
        }
    }

    /// Silence after which to send again, `backoff` times doubled.
    pub(crate) fn rto_ns(&self, timeouts: &Timeouts, backoff: u32) -> u64 {
        let base = match self.smoothed_ns {
            0 => FIRST_RTO_FACTOR * timeouts.rto_min_ns,
            _ => self.smoothed_ns + 4 * self.variation_ns + timeouts.ack_delay_ns,
        };
        let base = base.clamp(timeouts.rto_min_ns, timeouts.rto_max_ns);
        base.saturating_mul(1 << backoff.min(20)).min(timeouts.rto_max_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_path_is_learned_and_the_timeout_stays_in_its_bounds() {
        let (mut rtt, timeouts) = (Rtt::default(), Timeouts::default());
        assert_eq!(rtt.rto_ns(&timeouts, 0), 20_000_000);
        for _ in 0..100 {
            rtt.sample(12_000);
        }
        assert_eq!(rtt.smoothed_ns(), 12_000);
        assert!(rtt.variation_ns() < 10);
        assert_eq!(rtt.probe_after_ns(&timeouts), timeouts.probe_min_ns);
        assert_eq!(rtt.rto_ns(&timeouts, 0), timeouts.rto_min_ns);
        assert_eq!(rtt.rto_ns(&timeouts, 3), 8 * timeouts.rto_min_ns);
        assert_eq!(rtt.rto_ns(&timeouts, u32::MAX), timeouts.rto_max_ns);
    }

    #[test]
    fn questions_come_at_doubling_distances_within_the_wait_for_a_repetition() {
        let (mut rtt, timeouts) = (Rtt::default(), Timeouts::default());
        rtt.sample(12_000);
        let waits =
            |rtt: &Rtt, last| (0..=last).map(|expiries| rtt.wait_on_ns(&timeouts, expiries)).collect::<Vec<_>>();
        let probe_ns = timeouts.probe_min_ns;
        assert_eq!((rtt.probes(&timeouts), rtt.probe_after_ns(&timeouts)), (4, probe_ns));
        assert_eq!(waits(&rtt, 3), [probe_ns, 2 * probe_ns, 4 * probe_ns, 8 * probe_ns]);
        // Frames are sent again when they would be after the first question alone; from then on ever more rarely.
        assert_eq!(waits(&rtt, 4).iter().sum::<u64>(), probe_ns + timeouts.rto_min_ns);
        assert_eq!(rtt.wait_on_ns(&timeouts, 5), timeouts.rto_min_ns);
        assert_eq!(rtt.wait_on_ns(&timeouts, 6), 2 * timeouts.rto_min_ns);
        assert_eq!(rtt.wait_on_ns(&timeouts, u32::MAX), timeouts.rto_max_ns);
        // A path so slow that there is no room for a second question.
        let mut rtt = Rtt::default();
        rtt.sample(100_000_000);
        assert_eq!(rtt.probes(&timeouts), 1);
        assert_eq!(waits(&rtt, 2), [rtt.probe_after_ns(&timeouts), rtt.rto_ns(&timeouts, 0), rtt.rto_ns(&timeouts, 0)]);
    }

    #[test]
    fn a_slow_path_moves_both_waits() {
        let (mut rtt, timeouts) = (Rtt::default(), Timeouts::default());
        rtt.sample(10_000_000);
        assert_eq!(rtt.rto_ns(&timeouts, 0), 10_000_000 + 20_000_000 + timeouts.ack_delay_ns);
        assert!(rtt.probe_after_ns(&timeouts) > 20_000_000);
    }
}
