//! The nemesis: weather, deaths, drains and clocks, by chance, while callers call; then all is healed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chance::Chance;
use crate::client::Scene;
use crate::database::{Database, Weather};
use crate::invariants;
use crate::script::S;
use crate::support::model::Trouble;
use crate::support::model::world::World;

/// What the nemesis did, and what it looked at while it did so.
pub(crate) struct Nemesis {
    scene: Arc<Scene>,
    database: Arc<Database>,
    chance: Chance,
    /// The ledger as it was when it was last looked at.
    seen: World,
    /// How often each thing was done.
    pub(crate) did: BTreeMap<&'static str, u64>,
}

impl Nemesis {
    pub(crate) fn new(scene: &Arc<Scene>, database: &Arc<Database>, chance: Chance) -> Self {
        let (scene, database) = (Arc::clone(scene), Arc::clone(database));
        Self { scene, database, chance, seen: World::default(), did: BTreeMap::new() }
    }

    /// Does one thing after the other, until it is dropped.
    pub(crate) async fn run(&mut self) {
        loop {
            tokio::time::sleep(self.chance.millis(20, 1_500)).await;
            let replica = self.chance.below(self.scene.fleet.count());
            let what = match self.chance.below(11) {
                0..=3 => self.weather(),
                4 => {
                    self.scene.fleet.kill(replica);
                    "kill"
                }
                5 => {
                    if let Some(wrong) = self.scene.fleet.drain(replica).await {
                        self.scene.is_wrong(wrong.to_owned());
                    }
                    "drain"
                }
                6 => {
                    let step = self.chance.of(&[-20 * S, -S, -1, S, 5 * S, 30 * S]);
                    self.database.clock.step(step);
                    "step all clocks"
                }
                7 => {
                    let off = self.chance.of(&[-20 * S, -S, 0, 0, S, 20 * S]);
                    self.database.clock.put_off(replica, off);
                    "step one clock"
                }
                8 => {
                    self.reads_fail().await;
                    "fail reads"
                }
                _ => {
                    self.look();
                    "look"
                }
            };
            self.scene.log.line(|| format!("nemesis: {what}, replica {replica}"));
            *self.did.entry(what).or_default() += 1;
            let chance = &mut self.chance;
            let picked: Vec<bool> = (0..self.scene.fleet.count()).map(|_| chance.is(60)).collect();
            self.scene.fleet.revive(|replica| picked[replica]);
        }
    }

    /// Turns to another weather, and names it.
    pub(crate) fn weather(&mut self) -> &'static str {
        let tarries = self.chance.of(&[2, 10, 60, 400]);
        let calm = Weather { tarries, ..Weather::default() };
        let (name, weather) = match self.chance.below(8) {
            0 | 1 => ("calm", calm),
            2 => ("conflicts", Weather { conflict: 60, ..calm }),
            3 => ("unreached", Weather { unreached: 60, ..calm }),
            4 => ("stopped", Weather { stopped: 70, ..calm }),
            5 => ("unknown", Weather { unknown: 60, ..calm }),
            6 => ("killed", Weather { killed: 25, ..calm }),
            _ => (
                "mixed",
                Weather { conflict: 20, unreached: 20, stopped: 10, unknown: 25, killed: 4, ..calm },
            ),
        };
        self.database.turn_to(weather);
        name
    }

    async fn reads_fail(&mut self) {
        self.database.model.faults().fail_reads(Some(Trouble::Unavailable));
        tokio::time::sleep(self.chance.millis(1, 1_500)).await;
        self.database.model.faults().fail_reads(None);
    }

    /// What must hold at every moment, and from one to the next.
    pub(crate) fn look(&mut self) {
        let (world, pool) = (self.database.model.world(), self.database.model.pool());
        let wrong = invariants::of_world(&world);
        let wrong = wrong.into_iter().chain(invariants::of_step(&self.seen, &world)).chain(pool.wrong());
        wrong.for_each(|what| self.scene.is_wrong(what));
        self.seen = world;
    }

    /// Ends all that it does: nothing fails from now on, and every replica is there.
    pub(crate) async fn heal(&mut self) {
        self.database.turn_to(Weather::default());
        self.database.model.faults().clear();
        for replica in 0..self.scene.fleet.count() {
            self.database.clock.put_off(replica, 0);
        }
        // What was on its way still meets what it was to meet.
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.scene.fleet.end_drains();
        self.scene.fleet.revive(|_| true);
        self.scene.log.line(|| "healed".to_owned());
        self.look();
    }
}

/// How long callers may go on: far longer than their steps take.
pub(crate) const ENDS_AFTER: Duration = Duration::from_secs(3_600);
