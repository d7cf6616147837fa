//! Reconciliation through the whole stack: a database, the engine, the fake fal over real HTTP, and runs on all three.

#![allow(clippy::unwrap_used)]

mod evidence;
mod faults;
mod left;
mod retries;
mod rules;
mod runs;
mod schedule;
mod workspaces;
mod world;
