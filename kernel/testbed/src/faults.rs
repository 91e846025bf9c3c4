//! What goes wrong with frames on a cable, per direction and on purpose.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// A million: rates are in frames per million.
pub const MILLION: u32 = 1_000_000;

/// The plan for one direction of one cable. The default plan lets everything through at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Frames lost, per million.
    #[arg(long, default_value_t = 0)]
    pub drop_ppm: u32,
    /// Frames damaged, per million: one bit is flipped and the receiving NHI flags a CRC error.
    #[arg(long, default_value_t = 0)]
    pub corrupt_ppm: u32,
    /// Exactly this many of the next frames are lost.
    #[arg(long, default_value_t = 0)]
    pub drop_next: u32,
    /// Exactly this many of the next frames are damaged.
    #[arg(long, default_value_t = 0)]
    pub corrupt_next: u32,
    /// Time on the cable, in microseconds.
    #[arg(long, default_value_t = 0)]
    pub delay_us: u64,
    /// Whether control packets (discovery, properties, handshakes) are lost and damaged too; they are always delayed.
    #[arg(long)]
    pub control: bool,
}

/// What happens to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrives whole.
    Deliver,
    /// It arrives with this bit flipped (modulo its length).
    Corrupt(u32),
    /// It does not arrive.
    Drop,
}

/// A plan in force, with the seeded randomness that makes a run repeatable.
#[derive(Debug, Clone)]
pub struct Faults {
    plan: FaultPlan,
    random: ChaCha8Rng,
}

impl Faults {
    /// No faults; `seed` decides what a later plan's rates hit.
    pub fn new(seed: u64) -> Faults {
        Faults { plan: FaultPlan::default(), random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The plan in force, counts decreased by what they already hit.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// Replaces the plan.
    pub fn set_plan(&mut self, plan: FaultPlan) {
        self.plan = plan;
    }

    /// Decides over the next frame.
    pub fn judge(&mut self, is_control: bool) -> Verdict {
        if is_control && !self.plan.control {
            return Verdict::Deliver;
        }
        if self.plan.drop_next > 0 {
            self.plan.drop_next -= 1;
            return Verdict::Drop;
        }
        if self.plan.corrupt_next > 0 {
            self.plan.corrupt_next -= 1;
            return Verdict::Corrupt(self.random.next_u32());
        }
        if self.hits(self.plan.drop_ppm) {
            return Verdict::Drop;
        }
        if self.hits(self.plan.corrupt_ppm) {
            return Verdict::Corrupt(self.random.next_u32());
        }
        Verdict::Deliver
    }

    fn hits(&mut self, rate_ppm: u32) -> bool {
        rate_ppm > 0 && self.random.next_u32() % MILLION < rate_ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(plan: FaultPlan, count: usize, is_control: bool) -> Vec<Verdict> {
        let mut faults = Faults::new(7);
        faults.set_plan(plan);
        (0..count).map(|_| faults.judge(is_control)).collect()
    }

    #[test]
    fn counts_are_exact() {
        let plan = FaultPlan { drop_next: 2, corrupt_next: 1, ..FaultPlan::default() };
        let verdicts = verdicts(plan, 5, false);
        assert_eq!(verdicts[..2], [Verdict::Drop, Verdict::Drop]);
        assert!(matches!(verdicts[2], Verdict::Corrupt(_)));
        assert_eq!(verdicts[3..], [Verdict::Deliver, Verdict::Deliver]);
    }

    #[test]
    fn rates_hold_and_repeat_with_the_seed() {
        let plan = FaultPlan { drop_ppm: 100_000, ..FaultPlan::default() };
        let first = verdicts(plan.clone(), 10_000, false);
        let dropped = first.iter().filter(|&&verdict| verdict == Verdict::Drop).count();
        assert!((800..1200).contains(&dropped), "{dropped}");
        assert_eq!(first, verdicts(plan, 10_000, false));
        let all = FaultPlan { drop_ppm: MILLION, ..FaultPlan::default() };
        assert!(verdicts(all, 100, false).iter().all(|&verdict| verdict == Verdict::Drop));
    }

    #[test]
    fn control_packets_are_spared_unless_asked_for() {
        let plan = FaultPlan { drop_ppm: MILLION, ..FaultPlan::default() };
        assert_eq!(verdicts(plan.clone(), 1, true), [Verdict::Deliver]);
        assert_eq!(verdicts(FaultPlan { control: true, ..plan }, 1, true), [Verdict::Drop]);
    }
}
