//! A real PostgreSQL; the rest of `tests/support` is not needed here.

#![allow(dead_code, unreachable_pub, reason = "shared with the other tests")]

#[path = "../support/postgres.rs"]
pub mod postgres;

/// As the shared support says it.
pub fn say_not_run(why: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let line = format!("\nDID NOT RUN: {}: {why}\n", thread.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("stderr takes a line");
}
