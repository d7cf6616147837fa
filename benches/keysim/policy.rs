//! What is compared: a way to choose an account for a job, and to learn from how jobs end.

use scrip::ledger::Text;

use super::upstream::{Answer, Job, Upstream};

/// A key given to a job.
#[derive(Clone, Debug)]
pub struct Grant {
    pub account: usize,
    /// The process that gave it.
    pub replica: usize,
    /// Whether an account's return is tried with it.
    pub is_probe: bool,
    /// The lease's id, for the policy that has leases.
    pub lease_id: Option<Text>,
}

/// What the simulation knows and an oracle may see.
pub struct Truth<'a> {
    pub upstream: &'a Upstream,
    /// The jobs that run on each account.
    pub running: &'a [u32],
}

/// An account was taken out of rotation, or brought back.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    pub account: usize,
    pub is_out: bool,
}

/// A way to choose.
pub trait Policy {
    fn name(&self) -> &'static str;

    /// Chooses an account, or none if the policy sees none free.
    fn select(&mut self, replica: usize, job: &Job, now: i64, truth: &Truth<'_>) -> Option<Grant>;

    /// Hears how a job ended; `is_last` unless the same report will come again. Answers what it did about it.
    fn report(
        &mut self,
        replica: usize,
        grant: &Grant,
        answer: &Answer,
        now: i64,
        is_last: bool,
    ) -> Option<Rotation>;

    /// Hears that fal has taken the job, as of StartTask.
    fn taken(&mut self, _replica: usize, _grant: &Grant, _now: i64) -> Option<Rotation> {
        None
    }

    /// Hears that the runner is alive.
    fn renew(&mut self, _replica: usize, _grant: &Grant, _now: i64) -> Option<Rotation> {
        None
    }

    /// Once a second and replica: what a process does in the background.
    fn refresh(&mut self, _replica: usize, _now: i64, _upstream: &Upstream) {}

    /// How long a slot stays taken after its runner died without a word, in microseconds; `None` for ever.
    fn crash_recovery(&self) -> Option<i64> {
        None
    }

    /// Whether it sees all replicas as one.
    fn sees_all(&self) -> bool {
        false
    }

    /// Whether a call may reach any replica; a policy that counts in its processes is given its own back.
    fn is_shared(&self) -> bool {
        false
    }
}
