//! How the rate of unary charges goes with what grows: users, tasks in the tables, items a call, calls in flight, lanes,
//! replicas. Of scrip alone, for nobody else has all of them; each point on a fresh database, the points in turn.

use std::time::Duration;

use crate::figures::Spread;
use crate::load::{self, Call, Draw, Turn, connect};
use crate::options::Options;
use crate::process::Server;
use crate::stage::{Database, Stage, Store};

const IN_FLIGHT: u32 = 1_024;
const MANY_USERS: u32 = 100_000;
/// Curves, not comparisons: fewer and shorter turns than the contenders have.
const MOST_ROUNDS: u32 = 2;
const MOST_SECONDS: u32 = 3;

/// One point of a curve.
#[derive(Clone, Copy)]
struct Point {
    store: Store,
    curve: &'static str,
    at: u32,
}

/// A point, and what was measured there.
pub struct Measured {
    pub curve: &'static str,
    pub store: &'static str,
    pub at: u32,
    /// Charges a second, one a round.
    pub rates: Vec<f64>,
}

impl Measured {
    pub fn spread(&self) -> Spread {
        Spread::of(&self.rates)
    }
}

fn points(options: &Options) -> Vec<Point> {
    let mut points = Vec::new();
    for store in Store::BOTH {
        let mut curve = |curve, of: &[u32]| points.extend(of.iter().map(|&at| Point { store, curve, at }));
        curve("users", &[1, 1_000, options.users, MANY_USERS]);
        curve("tasks", &[0, options.full / 10, options.full]);
        curve("items a call", &[1, 10, 100, 1_000]);
        curve("calls in flight", &[1, 8, 64, 512, 2_048]);
        if store == Store::Postgres {
            curve("lanes", &[1, 2, 4, 8]);
            curve("replicas", &[1, 2, 3]);
        }
    }
    points
}

pub async fn run(stage: &Stage, options: &Options) -> Vec<Measured> {
    if options.quick || !options.wants("growth") {
        return Vec::new();
    }
    let mut databases = Vec::new();
    for store in Store::BOTH {
        databases.push(("users", MANY_USERS, stage.with_users(store, MANY_USERS).await));
        for full in [options.full / 10, options.full] {
            let options = Options { full, ..options.clone() };
            databases.push(("tasks", full, stage.full(store, &options).await));
        }
    }
    let points = points(options);
    let measured = |point: &Point| Measured {
        curve: point.curve,
        store: point.store.name(),
        at: point.at,
        rates: Vec::new(),
    };
    let mut curves: Vec<Measured> = points.iter().map(measured).collect();
    let rounds = options.rounds.min(MOST_ROUNDS);
    for round in 1..=rounds {
        eprintln!("growth, round {round} of {rounds}");
        for (point, measured) in points.iter().zip(&mut curves) {
            let kept = databases.iter().find(|(curve, at, database)| {
                (*curve, *at, database.store) == (point.curve, point.at, point.store)
            });
            let rate = rate(stage, options, *point, kept.map(|(_, _, database)| database), round).await;
            eprintln!("  {:<10} {:>9} {:<16} {rate:>9.0} a second", measured.store, point.at, point.curve);
            measured.rates.push(rate);
        }
    }
    curves
}

/// Charges a second at a point.
async fn rate(stage: &Stage, options: &Options, point: Point, kept: Option<&Database>, round: u32) -> f64 {
    let Point { store, curve, at } = point;
    let mut turn = Turn {
        call: Call::Charge,
        draw: Draw::Uniform(options.users),
        in_flight: IN_FLIGHT,
        lasts: Duration::from_secs(u64::from(options.seconds.min(MOST_SECONDS))),
        // A database that is kept must not meet the tasks of an earlier round again.
        seed: u64::from(round) << 32,
    };
    let mut lanes = None;
    let mut replicas = 1;
    match curve {
        "users" => turn.draw = Draw::Uniform(at),
        "items a call" if at > 1 => {
            turn.call = Call::Batch(at);
            turn.in_flight = (8 * IN_FLIGHT / at).clamp(8, IN_FLIGHT);
        }
        "calls in flight" => turn.in_flight = at,
        "lanes" => lanes = Some(at.to_string()),
        "replicas" => replicas = at,
        _ => {}
    }
    let fresh = if kept.is_none() { Some(stage.fresh(store).await) } else { None };
    let database = kept.or(fresh.as_ref()).expect("one of them");
    let more: Vec<&str> = lanes.iter().flat_map(|lanes| ["--lanes", lanes.as_str()]).collect();
    let mut servers = Vec::new();
    let mut channels = Vec::new();
    for _ in 0..replicas {
        let server = Server::scrip(database, &more).await;
        channels.extend(connect(&server).await.iter().cloned());
        servers.push(server);
    }
    let outcome = load::closed(&channels, turn).await;
    assert_eq!(outcome.errors, 0, "calls failed: the figure is worth nothing");
    for server in servers {
        server.stop().await;
    }
    if let Some(fresh) = fresh {
        stage.drop(fresh).await;
    }
    outcome.rate
}
