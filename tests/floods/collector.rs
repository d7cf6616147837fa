//! What a collector that is stopped costs: throughput with one that answers, one stopped by SIGSTOP, and none, in rounds
//! of one turn each, on a fresh server each time; and how long a server takes to stop meanwhile.
//!
//! Of one round the three turns are neighbours, so that what the machine does else falls on all of them; their order
//! rotates. The stopped collector has taken connections and answered before, as one that hangs has.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::client::{charge, credit};
use crate::world::World;

const ROUNDS: usize = 5;
const CALLERS: i64 = 64;
const WARM_UP: Duration = Duration::from_secs(2);
/// A stop may take so much longer with a collector that says nothing: a second for the last export, and some for noise.
const STOP_DELAY: Duration = Duration::from_millis(1_500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Off,
    Alive,
    Stopped,
}

/// What one turn came to.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Charges a second.
    rate: f64,
    /// From SIGTERM to the end.
    stop: Duration,
}

/// Whether nothing was lost by the stopped collector; prints the rounds.
pub(crate) async fn compare(scrip: &Path, lasts: Duration) -> Result<bool, String> {
    let kinds = [Kind::Off, Kind::Alive, Kind::Stopped];
    let mut turns: [Vec<Turn>; 3] = Default::default();
    println!(
        "| round | export off | collector alive | collector stopped | stopped ÷ alive | stop, off / alive / stopped |"
    );
    println!("|---|---|---|---|---|---|");
    for round in 0..ROUNDS {
        for place in 0..kinds.len() {
            let which = (round + place) % kinds.len();
            turns[which].push(turn(scrip, kinds[which], lasts).await?);
        }
        let [off, alive, stopped] = [0, 1, 2].map(|which| turns[which][round]);
        println!(
            "| {} | {:.0}/s | {:.0}/s | {:.0}/s | {:.3} | {:.2} / {:.2} / {:.2} s |",
            round + 1,
            off.rate,
            alive.rate,
            stopped.rate,
            stopped.rate / alive.rate,
            off.stop.as_secs_f64(),
            alive.stop.as_secs_f64(),
            stopped.stop.as_secs_f64(),
        );
    }
    let [off, alive, stopped] = &turns;
    let rates = |turns: &[Turn]| turns.iter().map(|turn| turn.rate).collect::<Vec<_>>();
    let ratios: Vec<f64> =
        rates(stopped).into_iter().zip(rates(alive)).map(|(stopped, alive)| stopped / alive).collect();
    // How far rounds of one and the same lie apart is what this machine can tell.
    let spread = [off, alive].iter().map(|turns| spread(&rates(turns))).fold(0.0, f64::max);
    let (ratio, slowest) = (median(&ratios), stopped.iter().map(|turn| turn.stop).max().unwrap_or_default());
    let usual = off.iter().map(|turn| turn.stop).max().unwrap_or_default();
    println!(
        "\nstopped ÷ alive: median {ratio:.3}; rounds of one kind lie {:.1} % apart; alive ÷ off: median {:.3}; slowest stop {:.2} s, {:.2} s without export",
        100.0 * spread,
        median(&rates(alive)) / median(&rates(off)),
        slowest.as_secs_f64(),
        usual.as_secs_f64(),
    );
    Ok(ratio >= 1.0 - spread && slowest <= usual + STOP_DELAY)
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn spread(numbers: &[f64]) -> f64 {
    let (least, most) = numbers
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), &number| (least.min(number), most.max(number)));
    (most - least) / median(numbers)
}

async fn turn(scrip: &Path, kind: Kind, lasts: Duration) -> Result<Turn, String> {
    let collector = if kind == Kind::Off { None } else { Some(Collector::start().await?) };
    let environment = collector.as_ref().map(|collector| {
        let url = format!("http://{}", collector.address);
        // Several exports a turn, of all signals.
        [("SCRIP_OTLP_ENDPOINT", url), ("OTEL_METRIC_EXPORT_INTERVAL", "2000".to_owned())]
    });
    let environment: Vec<(&str, String)> = environment.into_iter().flatten().collect();
    let mut world = World::start_with(scrip, &environment).await?;
    let mut billing = BillingServiceClient::new(world.channel().await?);
    for user_id in 1..=CALLERS {
        let points = credit(user_id, 1_000_000_000, pb::Purse::Points, &format!("points-{user_id}"));
        billing.credit(points).await.map_err(|why| format!("a credit: {why}"))?;
    }
    let (done, counting) = (Arc::new(AtomicU64::new(0)), Instant::now() + WARM_UP);
    let until = counting + lasts;
    let mut callers = JoinSet::new();
    for user_id in 1..=CALLERS {
        let (mut billing, done) = (BillingServiceClient::new(world.channel().await?), Arc::clone(&done));
        callers.spawn(async move {
            for number in 0_u64.. {
                billing.charge(charge(user_id, &format!("{user_id}-{number}"), 1)).await?;
                let now = Instant::now();
                if now >= until {
                    break;
                }
                if now >= counting {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<(), tonic::Status>(())
        });
    }
    if let (Kind::Stopped, Some(collector)) = (kind, &collector) {
        sleep(WARM_UP / 2).await;
        collector.stop()?;
    }
    for ended in callers.join_all().await {
        ended.map_err(|why| format!("a charge: {why}"))?;
    }
    let asked = Instant::now();
    world.server.sigterm().await;
    let status = world.server.wait().await;
    if !status.success() {
        return Err(format!("the server ended with {status}"));
    }
    Ok(Turn { rate: done.load(Ordering::Relaxed) as f64 / lasts.as_secs_f64(), stop: asked.elapsed() })
}

/// The collector, a process of its own: only so can it be stopped.
struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Collector {
    async fn start() -> Result<Self, String> {
        let said = |why: std::io::Error| format!("the collector: {why}");
        let mut child = Command::new(std::env::current_exe().map_err(said)?)
            .arg("--collect")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(said)?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("a collector without stdout")?).lines();
        let line = lines.next_line().await.map_err(said)?.ok_or("the collector ended")?;
        let address = line.parse().map_err(|_| format!("the collector said {line}"))?;
        Ok(Self { child, address })
    }

    fn stop(&self) -> Result<(), String> {
        let pid =
            self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or("the collector has ended")?;
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).map_err(|why| why.to_string())
    }
}

/// Takes whatever is sent over HTTP, and says that it is well.
pub(crate) async fn collect() -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await.ok();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            });
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await
                .ok();
        });
    }
}
