//! The callers: each draws a call, sends it, and often tries again where it does not know what became of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::call::Call;
use crate::chance::Chance;
use crate::client::{Line, Manner, deliver};
use crate::history::Recorder;
use crate::nemesis::inflict::Storms;
use crate::workload::Workload;

/// The longest deadline that callers set. After so long without load nothing of theirs is under way any more.
pub(crate) const LONGEST: Duration = Duration::from_secs(6);
/// The client number of deliveries that are not a caller's: the opening and the resolution.
pub(crate) const NOBODY: u32 = u32::MAX;
const RESOLVERS: usize = 32;

pub(crate) struct Load {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) workload: Arc<Workload>,
    pub(crate) storms: Arc<Storms>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) seed: u64,
    /// Mean pause between two calls of a caller.
    pub(crate) pause: Duration,
}

impl Load {
    /// So many callers, until they are told to stop.
    pub(crate) fn start(self: &Arc<Self>, clients: u32) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for client in 0..clients {
            let load = Arc::clone(self);
            callers.spawn(async move { load.call(client).await });
        }
        callers
    }

    fn lines(&self) -> Vec<Line> {
        self.addresses.iter().map(|address| Line::to(*address)).collect()
    }

    async fn call(&self, client: u32) {
        let mut chance = Chance::stream(self.seed, 1_000 + u64::from(client));
        let lines = self.lines();
        let mut home = chance.below(lines.len());
        while !self.stop.load(Ordering::Relaxed) {
            let is_storm = self.storms.retry.load(Ordering::Relaxed);
            let longest = i64::try_from(2 * self.pause.as_millis()).unwrap_or(100);
            sleep(chance.millis(0, if is_storm { longest / 4 } else { longest })).await;
            let call = self.workload.draw(&mut chance);
            if is_storm && call.is_write() {
                self.at_once(client, &lines, &call, &mut chance).await;
                continue;
            }
            for _ in 0..4 {
                if chance.is(10) {
                    home = chance.below(lines.len());
                }
                let manner = self.manner(&mut chance);
                let line = lines[home].clone();
                let replica = u32::try_from(home).expect("few replicas");
                let outcome = deliver(&self.recorder, line, (client, replica), &call, manner).await;
                self.workload.learn(&call, &outcome);
                if !outcome.is_unknown() || self.stop.load(Ordering::Relaxed) || chance.is(35) {
                    break;
                }
                home = (home + 1) % lines.len();
                sleep(chance.millis(0, 200)).await;
            }
        }
    }

    /// The same call three times at once, wherever.
    async fn at_once(&self, client: u32, lines: &[Line], call: &Arc<Call>, chance: &mut Chance) {
        let deliveries: Vec<_> = (0..3)
            .map(|_| {
                let at = chance.below(lines.len());
                let replica = u32::try_from(at).expect("few replicas");
                let manner = self.manner(chance);
                deliver(&self.recorder, lines[at].clone(), (client, replica), call, manner)
            })
            .collect();
        for outcome in join_all(deliveries).await {
            self.workload.learn(call, &outcome);
        }
    }

    fn manner(&self, chance: &mut Chance) -> Manner {
        let leaves = self.storms.cancel.load(Ordering::Relaxed) && chance.is(60);
        let leaves_after = if leaves || chance.is(1) { Some(chance.millis(0, 15)) } else { None };
        let within = if chance.is(2) { chance.millis(1, 60) } else { chance.millis(1_000, 6_000) };
        Manner { within: within.min(LONGEST), leaves_after }
    }

    /// Sends these once each, again and again until all are answered: what a run begins with.
    pub(crate) async fn open(&self, calls: Vec<Call>) -> Result<(), String> {
        let calls = calls.into_iter().map(Arc::new).collect();
        match self.settle(calls, Duration::from_secs(120)).await {
            0 => Ok(()),
            left => Err(format!("{left} of the calls that a run begins with were not answered")),
        }
    }

    /// Sends every write whose outcome is unknown again, with the same keys, until it is known; answers how many there
    /// were, and how many are left when the time is over.
    pub(crate) async fn resolve(&self, within: Duration) -> (usize, usize) {
        let mut unknown: Vec<Arc<Call>> = self.recorder.unknown();
        let count = unknown.len();
        let mut seen = std::collections::HashSet::new();
        unknown.retain(|call| seen.insert(Arc::clone(call)));
        (count, self.settle(unknown, within).await)
    }

    async fn settle(&self, calls: Vec<Arc<Call>>, within: Duration) -> usize {
        let until = Instant::now() + within;
        let lines = self.lines();
        let lines = &lines;
        let left = stream::iter(calls.into_iter().enumerate())
            .map(|(at, call)| async move {
                let mut home = at % lines.len();
                while Instant::now() < until {
                    let manner = Manner { within: LONGEST, leaves_after: None };
                    let replica = u32::try_from(home).expect("few replicas");
                    let line = lines[home].clone();
                    let outcome = deliver(&self.recorder, line, (NOBODY, replica), &call, manner).await;
                    self.workload.learn(&call, &outcome);
                    if !outcome.is_unknown() {
                        return 0;
                    }
                    home = (home + 1) % lines.len();
                    sleep(Duration::from_millis(100)).await;
                }
                1
            })
            .buffer_unordered(RESOLVERS);
        left.fold(0, |sum, left| async move { sum + left }).await
    }
}
