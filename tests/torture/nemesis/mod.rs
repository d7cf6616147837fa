//! Who breaks things, and when: single faults first, each once, then several at a time; a quarter of the time nothing.

pub(crate) mod inflict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::chance::Chance;
use crate::fault::{Fault, Window};
use crate::history::Recorder;
use crate::world::World;
use inflict::{Storms, inflict};

/// What was done, and what could not be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) windows: Vec<Window>,
    pub(crate) failed: Vec<(Window, String)>,
}

pub(crate) struct Plan<'a> {
    pub(crate) world: &'a World,
    pub(crate) storms: &'a Storms,
    pub(crate) recorder: &'a Recorder,
    pub(crate) faults: Vec<Fault>,
    pub(crate) seed: u64,
    pub(crate) lasts: Duration,
    pub(crate) stop: &'a AtomicBool,
}

/// A turn is so long, unless the run is too short for one of each.
const TURN: Duration = Duration::from_secs(10);
const SHORTEST_TURN: Duration = Duration::from_secs(3);

/// Goes on until its time is over.
pub(crate) async fn torment(plan: &Plan<'_>) -> Deeds {
    let mut chance = Chance::stream(plan.seed, 2);
    let mut deeds = Deeds::default();
    let end = Instant::now() + plan.lasts;
    let turns = u32::try_from(plan.faults.len()).unwrap_or(1) + 2;
    let turn = (plan.lasts / turns).clamp(SHORTEST_TURN, TURN);
    let mut singles = plan.faults.clone();
    chance.shuffle(&mut singles);
    while Instant::now() + turn / 2 < end && !plan.stop.load(Ordering::Relaxed) && !plan.faults.is_empty() {
        let over = Instant::now() + turn;
        let chosen = match singles.pop() {
            Some(fault) => vec![fault],
            None if chance.is(25) => Vec::new(),
            None => several(&plan.faults, &mut chance),
        };
        let inflicted = join_all(chosen.into_iter().map(|fault| {
            let stream = Chance::stream(chance.number(), 3);
            one(plan, fault, turn, stream)
        }));
        for (window, failure) in inflicted.await {
            match failure {
                None => deeds.windows.push(window),
                Some(why) => deeds.failed.push((window, why)),
            }
        }
        sleep_until(over.min(end)).await;
    }
    sleep_until(end).await;
    deeds
}

async fn one(plan: &Plan<'_>, fault: Fault, turn: Duration, mut chance: Chance) -> (Window, Option<String>) {
    let part = turn.mul_f64(0.6).as_millis();
    let mut hold = chance.millis(500, i64::try_from(part).unwrap_or(1_000).max(600));
    let is_pause = matches!(fault, Fault::DatabasePause | Fault::ReplicaPause);
    if is_pause && turn == TURN {
        hold = chance.millis(1_000, 20_000);
    }
    let begun = plan.recorder.now();
    let (remark, failure) = match inflict(fault, plan.world, plan.storms, hold, &mut chance).await {
        Ok(remark) => (remark, None),
        Err(why) => (String::new(), Some(why)),
    };
    let healed = plan.recorder.now();
    println!(
        "  {:>6.1} s  {:<16} {:>5.1} s  {}",
        begun as f64 / 1e6,
        fault.name(),
        (healed - begun) as f64 / 1e6,
        failure.as_deref().map_or_else(|| remark.clone(), |why| format!("NOT MADE: {why}")),
    );
    (Window { fault, begun, healed, remark }, failure)
}

/// One to three faults of different groups.
fn several(faults: &[Fault], chance: &mut Chance) -> Vec<Fault> {
    let mut faults = faults.to_vec();
    chance.shuffle(&mut faults);
    let most = chance.between(1, 3);
    let mut chosen: Vec<Fault> = Vec::new();
    for fault in faults {
        let is_new = chosen.iter().all(|other| other.group() != fault.group());
        if is_new && (chosen.len() as i64) < most {
            chosen.push(fault);
        }
    }
    chosen
}
