//! The rounds: in each, every contender has one turn, on a database of its own, and nothing else runs meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};

use crate::figures::{Figure, Spread, Target};
use crate::load::{self, Call, Draw, Outcome, Turn, connect};
use crate::open_loop;
use crate::options::Options;
use crate::pgbench;
use crate::postgres;
use crate::process::Server;
use crate::stage::{Database, Stage, Store};
use crate::wall;

const IN_FLIGHT: u32 = 1_024;
/// Callers of batches of a thousand.
const BATCHES: u32 = 8;
const BATCH: u32 = 1_000;
/// Callers of contender b: more than its connections, as the callers of scrip are.
const NAIVE: u32 = 64;
const LEASING: u32 = 1_024;
const READING: u32 = 256;
const CLIENTS: [u32; 3] = [1, 8, 32];
const REPLICAS: usize = 3;

/// Numbers by what they are of, one a round.
pub struct Rounds<'a> {
    stage: &'a Stage,
    options: &'a Options,
    samples: BTreeMap<&'static str, Vec<f64>>,
    /// Databases that are kept from round to round, for they took long to fill.
    kept: Vec<(&'static str, Database)>,
    round: u32,
    errors: u64,
}

pub async fn run(stage: &Stage, options: &Options) -> Vec<Figure> {
    let mut rounds =
        Rounds { stage, options, samples: BTreeMap::new(), kept: Vec::new(), round: 0, errors: 0 };
    if pgbench::find().is_none() {
        eprintln!(
            "DID NOT RUN: pgbench is not there (Debian: apt-get install postgresql-contrib), nor are the ratios to it"
        );
    }
    rounds.fill().await;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        rounds.round = round;
        rounds.turn_of_each().await;
    }
    rounds.figures()
}

impl Rounds<'_> {
    /// Databases that are not empty.
    async fn fill(&mut self) {
        let full = [("full", "full", Store::Postgres), ("sqlite-full", "sqlite full", Store::Sqlite)];
        for (group, name, store) in full {
            if self.options.wants(group) {
                let database = self.stage.full(store, self.options).await;
                self.kept.push((name, database));
            }
        }
        if self.options.wants("draws") && !self.options.quick {
            for (name, store) in [("many", Store::Postgres), ("sqlite many", Store::Sqlite)] {
                let database = self.stage.with_users(store, 100_000).await;
                self.kept.push((name, database));
            }
        }
    }

    async fn turn_of_each(&mut self) {
        let options = self.options;
        let users = Draw::Uniform(options.users);
        let needs_peer = ["charge", "one", "open", "keys", "draws"].iter().any(|group| options.wants(group));
        if needs_peer {
            self.usual("a", options.users).await;
        }
        if ["charge", "open", "full", "replicas"].iter().any(|group| options.wants(group)) {
            self.charges("unary", Store::Postgres, users).await;
        }
        if options.wants("charge") {
            self.naive().await;
        }
        if options.wants("hot") {
            self.usual("a hot", 1).await;
            self.charges("hot", Store::Postgres, Draw::Hot).await;
        }
        if options.wants("one") {
            self.one_client().await;
        }
        if options.wants("batch") {
            self.against_the_wall(["batch", "wall batch"], Store::Postgres, Call::Batch(BATCH), BATCHES)
                .await;
        }
        if options.wants("sqlite") {
            let names = ["sqlite unary", "sqlite wall"];
            self.against_the_wall(names, Store::Sqlite, Call::Charge, IN_FLIGHT).await;
            let names = ["sqlite batch", "sqlite wall batch"];
            self.against_the_wall(names, Store::Sqlite, Call::Batch(BATCH), BATCHES).await;
        }
        if options.wants("open") {
            self.at_half_of_the_peak().await;
        }
        if options.wants("keys") {
            self.scrip("pairs", Store::Postgres, self.turn(Call::Lease, users, LEASING)).await;
        }
        if options.wants("reads") {
            self.scrip("balance", Store::Postgres, self.turn(Call::Balance, users, READING)).await;
            let server = Server::role(&["noop"]).await;
            self.on("noop", &server, self.turn(Call::Balance, users, READING)).await;
            server.stop().await;
        }
        if options.wants("replicas") {
            self.replicas().await;
        }
        #[cfg(feature = "peers")]
        if options.peers {
            self.others().await;
        }
        for (name, database) in self.kept.clone() {
            let many = if name.contains("many") { Draw::Uniform(100_000) } else { users };
            let server = Server::scrip(&database, &[]).await;
            self.on(name, &server, self.turn(Call::Charge, many, IN_FLIGHT)).await;
            server.stop().await;
        }
        if options.wants("sqlite-full") && !options.wants("sqlite") {
            self.charges("sqlite unary", Store::Sqlite, users).await;
        }
        if options.wants("draws") {
            self.charges("zipf", Store::Postgres, Draw::Zipf(options.users)).await;
            self.charges("sqlite zipf", Store::Sqlite, Draw::Zipf(options.users)).await;
        }
    }

    fn turn(&self, call: Call, draw: Draw, in_flight: u32) -> Turn {
        // Databases that are kept must not meet the tasks of an earlier round again.
        Turn { call, draw, in_flight, lasts: self.lasts(), seed: u64::from(self.round) }
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs(u64::from(self.options.seconds))
    }

    fn keep(&mut self, name: &'static str, value: f64) {
        self.samples.entry(name).or_default().push(value);
    }

    fn outcome(&mut self, name: &'static str, outcome: &Outcome) {
        self.errors += outcome.errors;
        eprintln!(
            "  {name:<18} {:>9.0} a second   p50 {:>8.2} ms   p99 {:>8.2} ms{}",
            outcome.rate,
            outcome.millis(0.5),
            outcome.millis(0.99),
            if outcome.errors == 0 { String::new() } else { format!("   {} ERRORS", outcome.errors) }
        );
        self.keep(name, outcome.rate);
    }

    async fn charges(&mut self, name: &'static str, store: Store, draw: Draw) {
        self.scrip(name, store, self.turn(Call::Charge, draw, IN_FLIGHT)).await;
    }

    /// One turn of scrip on a fresh database.
    async fn scrip(&mut self, name: &'static str, store: Store, turn: Turn) {
        let database = self.stage.fresh(store).await;
        let server = Server::scrip(&database, &[]).await;
        self.on(name, &server, turn).await;
        server.stop().await;
        self.stage.drop(database).await;
    }

    async fn on(&mut self, name: &'static str, server: &Server, turn: Turn) {
        let channels = connect(server).await;
        let outcome = load::closed(&channels, turn).await;
        self.outcome(name, &outcome);
    }

    /// Contender a at each number of clients; the best of them is kept, and each.
    async fn usual(&mut self, name: &'static str, users: u32) {
        if pgbench::find().is_none() {
            return;
        }
        let mut best: f64 = 0.0;
        for clients in CLIENTS {
            let database = self.stage.fresh(Store::Postgres).await;
            let seconds = self.options.seconds;
            let is_timed = clients == 1 && name == "a";
            let run = pgbench::Run { clients, users, seconds, rate: None, is_timed };
            let figures = pgbench::run(&database.url, run).await;
            eprintln!("  {:<18} {:>9.0} a second", format!("{name}, {clients} clients"), figures.rate);
            best = best.max(figures.rate);
            if is_timed {
                self.keep("a p50", figures.latencies.value_at_quantile(0.5) as f64 / 1_000.0);
            }
            self.stage.drop(database).await;
        }
        self.keep(name, best);
    }

    /// Contender b.
    async fn naive(&mut self) {
        let database = self.stage.fresh(Store::Postgres).await;
        let server = Server::role(&["naive", &database.url]).await;
        self.on("b", &server, self.turn(Call::Charge, Draw::Uniform(self.options.users), NAIVE)).await;
        server.stop().await;
        self.stage.drop(database).await;
    }

    async fn one_client(&mut self) {
        let database = self.stage.fresh(Store::Postgres).await;
        let server = Server::scrip(&database, &[]).await;
        let channels = connect(&server).await;
        let turn = self.turn(Call::Charge, Draw::Uniform(self.options.users), 1);
        let outcome = load::closed(&channels, turn).await;
        self.outcome("one", &outcome);
        self.keep("one p50", outcome.millis(0.5));
        server.stop().await;
        self.stage.drop(database).await;
    }

    /// scrip, and the wall with as many rows a commit as scrip just had.
    async fn against_the_wall(&mut self, names: [&'static str; 2], store: Store, call: Call, in_flight: u32) {
        let users = self.options.users;
        let database = self.stage.fresh(store).await;
        let server = Server::scrip(&database, &[]).await;
        let before = commits_and_tasks(&database).await;
        self.on(names[0], &server, self.turn(call, Draw::Uniform(users), in_flight)).await;
        let after = commits_and_tasks(&database).await;
        server.stop().await;
        self.stage.drop(database).await;
        let rows = (after.1 - before.1) as f64 / ((after.0 - before.0) as f64).max(1.0);
        let database = self.stage.fresh(store).await;
        let rate = wall::climb(&database, (rows.round() as u32).max(1), users, self.lasts()).await;
        eprintln!("  {:<18} {rate:>9.0} a second   {rows:.0} rows a commit", names[1]);
        self.keep(names[1], rate);
        self.keep(if names[0] == "sqlite unary" { "sqlite rows" } else { "batch rows" }, rows);
        self.stage.drop(database).await;
    }

    async fn at_half_of_the_peak(&mut self) {
        let last = |name: &str| self.samples.get(name).and_then(|samples| samples.last().copied());
        let (Some(ours), theirs) = (last("unary"), last("a")) else { return };
        let database = self.stage.fresh(Store::Postgres).await;
        let server = Server::scrip(&database, &[]).await;
        let channels = connect(&server).await;
        let turn = self.turn(Call::Charge, Draw::Uniform(self.options.users), 8 * IN_FLIGHT);
        let outcome = open_loop::open(&channels, turn, ours / 2.0).await;
        self.outcome("open", &outcome);
        self.keep("open p99", outcome.millis(0.99));
        server.stop().await;
        self.stage.drop(database).await;
        if let Some(theirs) = theirs {
            let database = self.stage.fresh(Store::Postgres).await;
            let (users, seconds) = (self.options.users, self.options.seconds);
            let run = pgbench::Run { clients: 32, users, seconds, rate: Some(theirs / 2.0), is_timed: true };
            let figures = pgbench::run(&database.url, run).await;
            let p99 = figures.latencies.value_at_quantile(0.99) as f64 / 1_000.0;
            eprintln!("  {:<18} {:>9.0} a second   p99 {p99:>8.2} ms", "a at half", figures.rate);
            self.keep("a p99", p99);
            self.stage.drop(database).await;
        }
    }

    /// Others' ledgers: a transfer a call, and a hundred.
    #[cfg(feature = "peers")]
    async fn others(&mut self) {
        for (name, store, a_call) in [
            ("doubleentry", Store::Postgres, 1),
            ("doubleentry batch", Store::Postgres, 100),
            ("sqlite doubleentry", Store::Sqlite, 1),
            ("sqlite doubleentry batch", Store::Sqlite, 100),
        ] {
            let rate = crate::others::transfers(self.stage, store, a_call, self.lasts()).await;
            eprintln!("  {name:<18} {rate:>9.0} a second");
            self.keep(name, rate);
        }
    }

    /// Three replicas on one database, with the load of one spread over them.
    async fn replicas(&mut self) {
        let database = self.stage.fresh(Store::Postgres).await;
        let mut servers = Vec::new();
        let mut channels = Vec::new();
        for _ in 0..REPLICAS {
            let server = Server::scrip(&database, &[]).await;
            channels.extend(connect(&server).await.iter().cloned());
            servers.push(server);
        }
        let turn = self.turn(Call::Charge, Draw::Uniform(self.options.users), IN_FLIGHT);
        let outcome = load::closed(&channels, turn).await;
        self.outcome("replicas", &outcome);
        for server in servers {
            server.stop().await;
        }
        self.keep("deadlocks", deadlocks(&database).await);
        self.stage.drop(database).await;
    }

    fn figures(&self) -> Vec<Figure> {
        use Target::{AtLeast, AtMost, Reported};
        let of = |name: &str| self.samples.get(name).map_or(&[][..], Vec::as_slice);
        let ratio = |number, name: &str, ours: &str, theirs: &str, unit, target| {
            Figure::ratio(number, name, (of(ours), of(theirs)), unit, target)
        };
        let rows = |name: &str| format!("{:.0} rows a commit", Spread::of(of(name)).median);
        let deadlocks = format!("{:.0} deadlocks in all", of("deadlocks").iter().sum::<f64>());
        let charges = "charges/s";
        let mut figures = vec![
            ratio("1", "unary Charge, 1,024 in flight ÷ best of (a)", "unary", "a", charges, AtLeast(4.5)),
            ratio("2", "unary Charge, one hot user ÷ best hot (a)", "hot", "a hot", charges, AtLeast(12.0)),
            ratio("3", "unary Charge ÷ (b)", "unary", "b", charges, AtLeast(5.0)),
            ratio("4", "BatchCharge of 1,000 ÷ (c)", "batch", "wall batch", charges, AtLeast(0.7))
                .note(rows("batch rows")),
            ratio(
                "5",
                "one client, sequential Charge: p50 ÷ (a) at 1 client",
                "one p50",
                "a p50",
                "ms",
                AtMost(1.6),
            ),
            ratio(
                "6",
                "SQLite: unary, 1,024 in flight ÷ (c)",
                "sqlite unary",
                "sqlite wall",
                charges,
                AtLeast(0.5),
            )
            .note(rows("sqlite rows")),
            ratio(
                "7",
                "SQLite: BatchCharge of 1,000 ÷ (c)",
                "sqlite batch",
                "sqlite wall batch",
                charges,
                AtLeast(0.7),
            ),
            ratio("8", "p99 at half of the peak, open loop ÷ (a)'s", "open p99", "a p99", "ms", AtMost(2.0)),
            ratio("9", "SelectKey and ReleaseKey, 100 accounts ÷ (a)", "pairs", "a", "pairs/s", AtLeast(1.5)),
            ratio("10", "GetBalance ÷ (d)", "balance", "noop", "calls/s", AtLeast(0.5)),
            ratio("11", "full tables ÷ empty", "full", "unary", charges, AtLeast(0.8))
                .note(format!("{} tasks", self.options.full)),
            ratio("11", "SQLite: full tables ÷ empty", "sqlite full", "sqlite unary", charges, AtLeast(0.6))
                .note(format!("{} tasks", self.options.full)),
            ratio("15", "three replicas ÷ one", "replicas", "unary", charges, AtLeast(0.7)).note(deadlocks),
            ratio("", "unary Charge, 100,000 users ÷ best of (a)", "many", "a", charges, Reported),
            ratio("", "SQLite: 100,000 users ÷ 20,000", "sqlite many", "sqlite unary", charges, Reported),
            ratio("", "unary Charge, Zipf ÷ best of (a)", "zipf", "a", charges, Reported),
            ratio("", "SQLite: Zipf ÷ uniform", "sqlite zipf", "sqlite unary", charges, Reported),
            ratio(
                "",
                "unary Charge ÷ doubleentry, a transfer a call",
                "unary",
                "doubleentry",
                charges,
                Reported,
            ),
            ratio(
                "",
                "BatchCharge ÷ doubleentry, 100 a call",
                "batch",
                "doubleentry batch",
                charges,
                Reported,
            ),
            ratio(
                "",
                "SQLite: unary Charge ÷ doubleentry",
                "sqlite unary",
                "sqlite doubleentry",
                charges,
                Reported,
            ),
            ratio(
                "",
                "SQLite: BatchCharge ÷ doubleentry, 100 a call",
                "sqlite batch",
                "sqlite doubleentry batch",
                charges,
                Reported,
            ),
        ];
        figures.retain(|figure| !figure.samples().is_empty());
        if self.errors > 0 {
            let errors =
                Figure::absolute("", "calls that failed", vec![self.errors as f64], "calls", AtMost(0.0));
            figures.push(errors.note("a figure with failed calls is worth nothing"));
        }
        figures
    }
}

/// Batches committed and tasks stored so far.
async fn commits_and_tasks(database: &Database) -> (i64, i64) {
    const COUNT: &str = "SELECT (SELECT count(*) FROM scrip_commits) AS commits, (SELECT count(*) FROM ts_fal_tasks) AS tasks";
    match database.store {
        Store::Postgres => {
            let mut connection = postgres::connect(&database.url).await;
            let row = sqlx::query(COUNT).fetch_one(&mut connection).await.expect("counts");
            (row.get(0), row.get(1))
        }
        Store::Sqlite => {
            let path = database.url.strip_prefix("sqlite://").expect("a file");
            let mut connection = SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .connect()
                .await
                .expect("a connection");
            let row = sqlx::query(COUNT).fetch_one(&mut connection).await.expect("counts");
            (row.get(0), row.get(1))
        }
    }
}

async fn deadlocks(database: &Database) -> f64 {
    const COUNT: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let mut connection = postgres::connect(&database.url).await;
    let row = sqlx::query(COUNT).fetch_one(&mut connection).await.expect("a count");
    row.get::<i64, _>(0) as f64
}
