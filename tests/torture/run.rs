//! The torture: the real binary, a real database, faults, and checkers that look for a lost or doubled point.
//!
//! | phase | what |
//! |---|---|
//! | open | servers, database, proxies and the fake fal are started; users and accounts are made |
//! | torment | callers call, the nemesis breaks things, snapshots and reconciliations run beside |
//! | heal | everything is put right; what is under way comes to its end |
//! | resolve | every write whose outcome is unknown is sent again until it is known |
//! | judge | the tables are read and the checkers run; then the page is written |
//!
//! `docs/proof/torture.md` tells how to run it and what it sees. `scripts/torture.sh` builds and runs it.

mod answer;
mod audit;
mod books;
mod call;
mod chance;
mod checks;
mod client;
mod fault;
mod history;
mod load;
mod nemesis;
mod options;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod workload;
mod world;

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use audit::{Bill, Last};
use chance::Chance;
use checks::{Findings, leases};
use fault::Fault;
use history::{Moment, Recorder};
use load::{LONGEST, Load};
use nemesis::inflict::{Storms, heal_all};
use nemesis::{Deeds, torment};
use options::{Options, StoreKind};
use report::{Report, recoveries, tallies};
use tables::{disagreements, load as load_tables, overdue};
use workload::Workload;
use world::World;

/// How often the live database is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const VERIFY_WITHIN: Duration = Duration::from_secs(600);
/// How long unknown outcomes are resolved for: so long, and so much more for each minute of the run.
const RESOLVE_WITHIN: Duration = Duration::from_secs(45);
const RESOLVE_MORE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    // Under `cargo bench` there is nothing to measure.
    if std::env::args().any(|word| word == "--bench") {
        println!("the torture is no benchmark: see scripts/torture.sh");
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        // A task of its own: what it has started is taken down with it, also when it panics.
        let mut running = tokio::spawn(run(options));
        tokio::select! {
            biased;
            () = asked_to_stop() => {
                running.abort();
                running.await.ok();
                Err("interrupted".to_owned())
            }
            ended = &mut running => ended.unwrap_or_else(|why| Err(why.to_string())),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    match ended {
        Ok(report) => {
            println!("\n{}", report.markdown());
            ExitCode::from(report.verdict().exit_code())
        }
        Err(why) => {
            eprintln!("torture: could not run: {why}");
            ExitCode::from(2)
        }
    }
}

async fn asked_to_stop() {
    let mut terminated = signal(SignalKind::terminate()).expect("a handler of SIGTERM");
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

async fn run(options: Options) -> Result<Report, String> {
    let options = &options;
    let chosen = options.faults()?;
    println!("torture: seed {}, {}, {} replicas", options.seed, options.store, options.replicas);
    let world = World::start(options).await?;
    let recorder = Recorder::create(&world.folder().join("history.jsonl"));
    let recorder = Arc::new(recorder.map_err(|why| format!("the history: {why}"))?);
    let load = Arc::new(Load {
        recorder: Arc::clone(&recorder),
        workload: Arc::new(Workload::new(options.seed)),
        storms: Arc::default(),
        stop: Arc::default(),
        addresses: world.addresses(),
        seed: options.seed,
        pause: Duration::from_millis(options.pause),
    });
    let bill = Bill::new(options.seed);
    bill.open(&world).await?;
    load.open(load.workload.opening(&mut Chance::stream(options.seed, 7))).await?;

    let mut run = Run { options, world: &world, load: &load, bill: &bill, findings: Findings::default() };
    let (deeds, not_run, beside) = run.torment(chosen).await;
    let judged = run.judge(deeds, not_run, beside).await;
    if let Some(folder) = &options.keep {
        keep(&world, folder).map_err(|why| format!("what is to be kept: {why}"))?;
    }
    let report = judged?;
    if let Some(path) = &options.out {
        report.write(path).map_err(|why| format!("the report: {why}"))?;
    }
    Ok(report)
}

/// The history and the logs outlive the run where they are asked for.
fn keep(world: &World, folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(world.folder())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
    }
    if let Some(cluster) = world.database.cluster() {
        std::fs::write(folder.join("postgres.log"), cluster.log())?;
    }
    Ok(())
}

/// What went on beside the load.
#[derive(Debug, Default)]
struct Beside {
    looks: u32,
    disagreements: Vec<String>,
    reconciliations: u32,
    over: Moment,
}

struct Run<'a> {
    options: &'a Options,
    world: &'a World,
    load: &'a Arc<Load>,
    bill: &'a Bill,
    findings: Findings,
}

impl Run<'_> {
    /// The faults that this run can make, and why it cannot make the others.
    fn possible(&self, chosen: Vec<Fault>) -> (Vec<Fault>, Vec<(String, String)>) {
        let is_postgres = self.options.store == StoreKind::Postgres;
        let mut not_run = Vec::new();
        let possible = chosen.into_iter().filter(|fault| {
            let why = match fault.is_foreign_to(is_postgres) {
                Some(why) => format!("not of this store: {why}"),
                None => match self.world.not_run.iter().find(|(name, _)| *name == fault.name()) {
                    None => return true,
                    Some((name, why)) => {
                        println!("DID NOT RUN: {name}: {why}");
                        why.clone()
                    }
                },
            };
            not_run.push((fault.name().to_owned(), why));
            false
        });
        (possible.collect(), not_run)
    }

    async fn torment(&mut self, chosen: Vec<Fault>) -> (Deeds, Vec<(String, String)>, Beside) {
        let (faults, not_run) = self.possible(chosen);
        let mut callers = self.load.start(self.options.clients);
        let stop = AtomicBool::new(false);
        let storms: &Storms = &self.load.storms;
        let plan = nemesis::Plan {
            world: self.world,
            storms,
            recorder: &self.load.recorder,
            faults,
            seed: self.options.seed,
            lasts: Duration::from_secs_f64(self.options.minutes * 60.0),
            stop: &stop,
        };
        let nemesis = async {
            let deeds = torment(&plan).await;
            self.load.stop.store(true, Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
            deeds
        };
        let looking = self.look(&stop);
        let billing = self.bill.run(self.world, self.options.seed, &stop);
        let (deeds, (looks, disagreements), reconciliations) = tokio::join!(nemesis, looking, billing);
        let over = self.load.recorder.now();
        while callers.join_next().await.is_some() {}
        (deeds, not_run, Beside { looks, disagreements, reconciliations, over })
    }

    /// Looks at the live database again and again; while it is away there is nothing to be seen.
    async fn look(&self, stop: &AtomicBool) -> (u32, Vec<String>) {
        let (mut looks, mut wrong) = (0, Vec::new());
        let verify = self.world.command(&["verify"], "verify-live.log");
        while !stop.load(Ordering::Relaxed) {
            let seen = timeout(Duration::from_secs(60), disagreements(&self.world.database)).await;
            if let Ok(Ok(seen)) = seen {
                looks += 1;
                let at = self.load.recorder.now() as f64 / 1e6;
                wrong.extend(seen.into_iter().map(|what| format!("at {at:.1} s: {what}")));
            }
            // At times also with the product's own; that it cannot run while the database is away is no finding.
            if looks % 6 == 3
                && let Ok(status) = self.world.spawner.run(&verify, VERIFY_WITHIN).await
                && status.code() == Some(1)
            {
                wrong.push(format!("scrip verify: {}", world::process::read(&verify.log)));
            }
            for _ in 0..LOOK_EVERY.as_millis() / 100 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        (looks, wrong)
    }

    async fn judge(
        &mut self,
        deeds: Deeds,
        not_run: Vec<(String, String)>,
        beside: Beside,
    ) -> Result<Report, String> {
        let mut doubts = Vec::new();
        println!("healing");
        if let Err(why) = heal_all(self.world, &self.load.storms).await {
            self.findings.add("recovery", || why);
        }
        // Whatever is still on its way has come to its end by then: callers told no longer deadline.
        sleep(LONGEST + Duration::from_secs(1)).await;
        println!("resolving");
        let unknown = self.load.resolve(RESOLVE_WITHIN + RESOLVE_MORE.mul_f64(self.options.minutes)).await;
        let last = self.bill.finish(self.world, self.options.seed).await;
        println!("judging");
        self.overdue(&mut doubts).await;
        self.secrets_at_rest(&mut doubts).await;
        self.verify(&mut doubts).await;
        let books = load_tables(&self.world.database).await.map_err(|why| format!("the tables: {why}"))?;
        let history = self.load.recorder.take();
        let mut facts = self.facts(&beside.looks, beside.reconciliations, &books);
        for what in &beside.disagreements {
            self.findings.add("snapshot", || what.clone());
        }
        if beside.looks == 0 {
            doubts.push("the live database was never looked at".to_owned());
        }
        checks::check(&history, &books, unknown.1 == 0, &mut self.findings);
        facts.extend(self.leases(&books));
        let acknowledged = checks::run::acknowledged(&history);
        // What could not be made may yet have kept everybody from writing while it was tried.
        let all = deeds.windows.iter().chain(deeds.failed.iter().map(|(window, _)| window));
        let blocked = all.filter(|window| window.fault.blocks(self.options.replicas));
        let blocked: Vec<_> = blocked.map(|window| (window.begun, window.healed)).collect();
        facts.push(self.went_on(&acknowledged, &blocked, beside.over));
        self.kept_quiet(&history);
        match last {
            Ok(Last::Completed) => checks::run::evidence(&self.bill.events(), &books, &mut self.findings),
            Ok(Last::StillRunning) => doubts.push("the last reconciliation was not over in time".to_owned()),
            Err(why) => self.findings.add("evidence", || why),
        }
        let mut not_run = not_run;
        for (window, why) in deeds.failed {
            let at = window.begun as f64 / 1e6;
            not_run
                .push((window.fault.name().to_owned(), format!("tried at {at:.1} s, and not made: {why}")));
        }
        Ok(Report {
            seed: self.options.seed,
            command: self.options.command(),
            facts,
            tallies: tallies(&history),
            recoveries: recoveries(&deeds.windows, &blocked, &acknowledged),
            windows: deeds.windows,
            not_run,
            unknown,
            acknowledged,
            over: beside.over,
            findings: std::mem::take(&mut self.findings),
            doubts,
        })
    }

    /// By sweep-line, where the moments are true; what is to be said of it.
    fn leases(&mut self, books: &books::Books) -> Option<(String, String)> {
        let began = self.bill.began();
        match self.options.store {
            // The database's own clock, which nobody steps.
            StoreKind::Postgres => leases::check_limits(books, |at| at, &mut self.findings),
            StoreKind::Sqlite if self.options.minutes * 60e6 > leases::LONGEST as f64 => {
                let why = "left to the snapshots: so long a run cannot tell a stepped moment from a true one";
                return Some(("leases by sweep-line".to_owned(), why.to_owned()));
            }
            StoreKind::Sqlite => {
                leases::check_limits(books, |at| leases::unstepped(at, began), &mut self.findings);
            }
        }
        None
    }

    /// That writes were acknowledged, and for how long at most none was; that who was to stop did.
    fn went_on(
        &mut self,
        acknowledged: &[Moment],
        blocked: &[(Moment, Moment)],
        over: Moment,
    ) -> (String, String) {
        checks::run::liveness(acknowledged, blocked, over, &mut self.findings);
        for replica in self.world.replicas.iter().filter(|replica| replica.stuck() > 0) {
            self.findings.add("drain", || format!("replica {} did not stop on SIGTERM", replica.number));
        }
        let stall = checks::run::longest_stall(acknowledged, blocked, over);
        let what = "longest time without an acknowledged write while a server and the database were well";
        (what.to_owned(), format!("{:.1} s", stall as f64 / 1e6))
    }

    /// That no log and no answer tells what it must not.
    fn kept_quiet(&mut self, history: &[history::Op]) {
        let logs = self.logs();
        checks::run::logs(&logs, self.bill.canary(), &mut self.findings);
        checks::run::answers(history, self.bill.canary(), &mut self.findings);
    }

    /// With everything healed, what is due is swept.
    async fn overdue(&mut self, doubts: &mut Vec<String>) {
        let mut seen = Ok(Vec::new());
        for _ in 0..20 {
            seen = overdue(&self.world.database).await;
            if seen.as_ref().is_ok_and(Vec::is_empty) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        match seen {
            Ok(late) => late.into_iter().for_each(|what| self.findings.add("overdue", || what)),
            Err(why) => doubts.push(format!("it was not seen whether all that is due is closed: {why}")),
        }
    }

    /// No file of the database holds a secret in the clear.
    async fn secrets_at_rest(&mut self, doubts: &mut Vec<String>) {
        let mut grep = tokio::process::Command::new("grep");
        grep.args(["-rlaF", self.bill.canary()]).arg(self.world.guard.disk()).stdin(Stdio::null());
        match timeout(VERIFY_WITHIN, grep.output()).await {
            // Nothing was found; a file may well have gone meanwhile.
            Ok(Ok(output)) if output.stdout.is_empty() => {}
            Ok(Ok(output)) => {
                let files = String::from_utf8_lossy(&output.stdout).into_owned();
                self.findings.add("secret", || format!("in the clear in {files}"));
            }
            Ok(Err(_)) | Err(_) => {
                doubts.push("the database's files were not searched for secrets".to_owned())
            }
        }
    }

    /// The product's own `verify`, beside the checkers here.
    async fn verify(&mut self, doubts: &mut Vec<String>) {
        let verify = self.world.command(&["verify"], "verify.log");
        match self.world.spawner.run(&verify, VERIFY_WITHIN).await {
            Ok(status) if status.success() => {}
            Ok(status) if status.code() == Some(1) => {
                let said: String = world::process::read(&verify.log).chars().take(1_000).collect();
                self.findings.add("verify", || said);
            }
            Ok(status) => doubts.push(format!("scrip verify could not run: {status}")),
            Err(why) => doubts.push(format!("scrip verify could not run: {why}")),
        }
    }

    fn logs(&self) -> Vec<(String, String)> {
        let replicas = self.world.replicas.iter();
        let mut logs: Vec<_> = replicas
            .map(|replica| (format!("replica {}", replica.number), world::process::read(&replica.log)))
            .collect();
        if let Some(cluster) = self.world.database.cluster() {
            logs.push(("PostgreSQL".to_owned(), cluster.log()));
        }
        logs
    }

    fn facts(&self, looks: &u32, reconciliations: u32, books: &books::Books) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let starts: Vec<String> =
            self.world.replicas.iter().map(|replica| replica.starts().to_string()).collect();
        vec![
            fact("store", self.options.store.to_string()),
            fact("replicas", format!("{}, started {} times", self.options.replicas, starts.join(", "))),
            fact("callers", self.options.clients.to_string()),
            fact("users", self.load.workload.users().to_string()),
            fact("minutes", self.options.minutes.to_string()),
            fact("entries in the ledger", books.ledger.len().to_string()),
            fact("tasks", books.tasks.len().to_string()),
            fact("leases", books.leases.len().to_string()),
            fact("snapshots of the live database", looks.to_string()),
            fact("reconciliations begun", reconciliations.to_string()),
            fact("upstream events billed", self.bill.events().len().to_string()),
        ]
    }
}
