//! The floods: the real binary under what clients may send to hurt it, with an honest client beside.
//!
//! | phase | what |
//! |---|---|
//! | calm | a fresh server; the honest client alone: its p99, the server's memory |
//! | flood | the attacker, a process of its own, at a fixed rate; the same client |
//! | judge | memory, failed calls, p99, the log; then the next flood on the next server |
//! | overload | five times what a slow database takes (`overload`) |
//!
//! `docs/proof/floods.md` has the figures; `scripts/proof.sh floods` builds and runs it.

mod attack;
#[allow(clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../e2e/certificates.rs"]
mod certificates;
mod collector;
mod flood;
mod honest;
mod options;
mod overload;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod wire;
mod world;

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use flood::Flood;
use honest::Honest;
use options::Options;
use report::{Flooded, Report};
use world::World;

/// Until then the flood is at its height, and a new client may come.
const HEIGHT: f64 = 0.5;
const NEWCOMER_WAITS: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    // Under `cargo bench` there is nothing to measure.
    if std::env::args().any(|word| word == "--bench") {
        println!("the floods are no benchmark: see scripts/proof.sh");
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        if let (Some(flood), Some(target)) = (options.attack, options.target) {
            descriptors(None);
            println!("{}", attack::run(flood, target, Duration::from_secs(options.seconds)).await);
            return Ok(true);
        }
        if options.collect {
            collector::collect().await.map_err(|why| why.to_string())?;
        }
        if options.telemetry {
            return collector::compare(&options.scrip, Duration::from_secs(options.seconds)).await;
        }
        // What a login shell gives the server.
        descriptors(Some(1_024));
        let report = run(&options).await?;
        println!("\n{}", report.table());
        if let Some(out) = &options.out {
            std::fs::write(out, report.page()).map_err(|why| format!("{}: {why}", out.display()))?;
        }
        Ok::<_, String>(report.held())
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("floods: could not run: {why}");
            ExitCode::from(2)
        }
    }
}

/// How many descriptors this process may open, and those that it starts at first.
fn descriptors(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: current.or(maximum), maximum }).ok();
}

async fn run(options: &Options) -> Result<Report, String> {
    let mut report = Report { about: about(options), ..Report::default() };
    for flood in options.chosen() {
        println!("{}…", flood.name());
        if flood != Flood::Overload {
            report.floods.push(one(options, flood).await?);
            continue;
        }
        let lasts = Duration::from_secs(options.seconds);
        report.overload =
            overload::run(&options.scrip, lasts, options.overload_cap, options.keep.as_deref()).await?;
        if report.overload.is_none() {
            report.not_run.push("overload, for there is no PostgreSQL here".to_owned());
        }
    }
    Ok(report)
}

fn about(options: &Options) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("`{}`, on {cores} cores that server, attacker and honest client share", options.command())
}

async fn one(options: &Options, flood: Flood) -> Result<Flooded, String> {
    let world = World::start(&options.scrip, None, flood == Flood::TlsHandshake, &[]).await?;
    let honest = Honest::new(world.channel().await?).await?;
    // Caches fill and the allocator settles before anything is measured.
    honest.call_for(Duration::from_secs(2), options.honest_rate).await;
    let calm = honest.call_for(Duration::from_secs(options.calm), options.honest_rate).await;
    let before = world.resident();

    let watch = world.watch();
    let attacker = attacker(options, flood, &world)?;
    let lasts = Duration::from_secs(options.seconds);
    let ((under, newcomer), said) = tokio::join!(
        async {
            tokio::join!(honest.call_for(lasts, options.honest_rate), newcomer(&world, lasts.mul_f64(HEIGHT)))
        },
        attacker.wait_with_output(),
    );
    let said = said.map_err(|why| format!("the attacker: {why}"))?;
    let deeds = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let rss = (before, watch.most());
    drop(watch);
    let keep = options.keep.as_deref().map(|folder| (folder, flood.name()));
    let wrong = world.end(keep).await;
    Ok(Flooded { flood, deeds, calm, under, rss, newcomer, wrong })
}

/// This program again, as the attacker. Attackers have machines of their own: here it must not take the processor from
/// the honest client, so it comes behind.
fn attacker(options: &Options, flood: Flood, world: &World) -> Result<tokio::process::Child, String> {
    let itself = std::env::current_exe().map_err(|why| why.to_string())?;
    Command::new("nice")
        .args(["-n", "5"])
        .arg(itself)
        .args(["--attack", flood.name(), "--target", &world.server.addr().to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| format!("the attacker: {why}"))
}

/// Somebody who comes at the height of the flood: how long, in milliseconds, to the first answer.
async fn newcomer(world: &World, height: Duration) -> Result<f64, String> {
    sleep(height).await;
    let began = Instant::now();
    let coming = async {
        let honest = Honest::known(world.channel().await?);
        honest.balance().await.map_err(|why| why.message().to_owned())
    };
    match timeout(NEWCOMER_WAITS, coming).await {
        Ok(Ok(())) => Ok(began.elapsed().as_secs_f64() * 1_000.0),
        Ok(Err(why)) => Err(why),
        Err(_) => Err("none within 20 s".to_owned()),
    }
}
