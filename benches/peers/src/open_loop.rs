//! Calls at a given rate, whatever becomes of those before: the load of a world that does not wait.
//!
//! A latency runs from the moment the call was due, not from when it was sent: a server that stalls is charged for all
//! that queued up behind the stall (coordinated omission).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::load::{Caller, Outcome, Turn};
use crate::process::Link;

/// How often calls are sent: those due since the last time.
const TICK: Duration = Duration::from_millis(1);
const WARM_UP: Duration = Duration::from_secs(1);

/// One turn at `rate` calls a second. At most `turn.in_flight` are open at once: a call for which there is no caller
/// free waits, and the wait counts.
pub async fn open(channels: &[Link], turn: Turn, rate: f64) -> Outcome {
    let (free, mut idle) = mpsc::channel(turn.in_flight as usize);
    for (number, channel) in (0..turn.in_flight).zip(channels.iter().cycle()) {
        assert!(free.try_send(Caller::new(channel, turn, u64::from(number))).is_ok(), "room for each");
    }
    let (said, mut heard) = mpsc::unbounded_channel();
    let began = Instant::now();
    let calls = (rate * (WARM_UP + turn.lasts).as_secs_f64()) as u64;
    let sending = async {
        for number in 0..calls {
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            if due > Instant::now() + TICK {
                tokio::time::sleep_until(due).await;
            }
            let mut caller = idle.recv().await.expect("callers come back");
            let (free, said) = (free.clone(), said.clone());
            tokio::spawn(async move {
                let answer = caller.call().await;
                let late = due.elapsed();
                said.send((due, late, answer.is_ok())).ok();
                free.send(caller).await.ok();
            });
        }
    };
    sending.await;
    drop(said);
    let mut outcome = Outcome::new();
    let mut done = 0_u64;
    while let Some((due, late, is_done)) = heard.recv().await {
        if !is_done {
            outcome.errors += 1;
        } else if due >= began + WARM_UP {
            done += 1;
            outcome.latencies.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        }
    }
    outcome.rate = done as f64 / turn.lasts.as_secs_f64();
    outcome
}
