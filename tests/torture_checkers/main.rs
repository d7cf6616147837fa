//! The torture's checkers, tried on small made-up histories: a clean one passes, and each of many planted violations is
//! flagged by its rule. A checker that cannot fail is none.

// Every module of the torture that a run needs as well; the tests use a part.
#![allow(dead_code, clippy::unwrap_used)]

#[path = "../torture/answer.rs"]
mod answer;
#[path = "../torture/books.rs"]
mod books;
#[path = "../torture/call.rs"]
mod call;
mod case;
#[path = "../torture/checks/mod.rs"]
mod checks;
#[path = "../torture/fault.rs"]
mod fault;
#[path = "../torture/history.rs"]
mod history;
mod live;
mod planted;
#[path = "../torture/report/mod.rs"]
mod report;
#[path = "../support/mod.rs"]
mod support;
#[path = "../torture/tables.rs"]
mod tables;
mod whole;
mod world;
