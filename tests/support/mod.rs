//! Shared ground of the integration tests: a real PostgreSQL, the real server process, and a proxy that cuts
//! connections at COMMIT. Each `tests/*.rs` is a crate of its own and includes this one by `mod support;`.

// Every test crate compiles all of this and uses a part; what one leaves unused another needs. And nothing is
// reachable from outside a test crate, so `pub` says here what a test may call.
#![allow(dead_code, unreachable_pub)]

pub mod client;
pub mod cut_proxy;
pub mod desk;
pub mod model;
pub mod peers;
pub mod postgres;
pub mod server;
pub mod tokens;

use std::future::Future;
use std::io::Write;
use std::time::Duration;

/// How long a condition may take before the test is called stuck. It guards against hanging and measures
/// nothing: no test passes or fails by how fast something was within it.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What `say_not_run` prints first; `scripts/test.sh` counts these lines as skipped tests.
const NOT_RUN: &str = "DID NOT RUN:";

/// Waits until `condition` holds, asking again and again; panics with `what` when it never does.
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = tokio::time::Instant::now() + STUCK_AFTER;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Says that the calling test did not do its work, past libtest's capture of the output of passing tests:
/// a test that did nothing must not look like one that passed.
pub fn say_not_run(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("\n{NOT_RUN} {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
}
