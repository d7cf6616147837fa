//! What the running service tells of itself: metrics, probes, logs and traces, with and without somebody who listens.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
#[path = "../e2e/certificates.rs"]
mod certificates;
mod collector;
mod dashboards;
mod documents;
mod export;
mod metrics;
mod scrape;
mod silent;
mod world;
