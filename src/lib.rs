//! scrip: prepaid billing for AI products, over gRPC.
//!
//! The map, in the order a request passes through:
//!
//! - [`cli`]: the commands; `serve` starts all that follows, with [`config`] and [`telemetry`]
//! - [`server`]: the accept loop, deadlines, health, reflection, drain
//! - [`pb`]: the wire contract, generated from `proto/`
//! - [`api`]: the gRPC services: messages to commands, outcomes to answers and errors
//! - [`engine`]: gathers commands into batches, has each decided and committed, answers
//! - [`store`]: the two databases behind one pair of traits
//! - [`ledger`]: the pure core that decides
//! - [`keypool`]: which fal key a task gets, and what its account is blamed for; pure as well
//! - [`audit`]: the pure rules that compare fal's bill, the tasks and the ledger
//! - [`reconcile`]: runs that fetch fal's bill, have the audit judge it, and keep what it finds
//! - [`report`]: the audit on a terminal, as a page, as JSON and CSV
//! - [`fal`]: the typed client of fal's platform API, and a fake fal
//! - [`vault`]: the fal keys of accounts, sealed at rest
//! - [`meter`]: the instruments: every figure the service tells of itself; handed to all rooms that are not pure
//! - [`admin`]: the HTTP port for Prometheus, probes and the log's level
//! - [`clock`]: time and randomness, handed in
//! - [`mutants`]: planted bugs, which no normal build has

pub mod admin;
pub mod api;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod fal;
pub mod keypool;
pub mod ledger;
pub mod meter;
pub mod mutants;
pub mod pb;
pub mod reconcile;
pub mod report;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod vault;
