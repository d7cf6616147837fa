//! The pure rooms of scrip, included by path into a package that has value crates alone: that it compiles is the proof
//! that none of them knows a runtime, a database, a wire format, a clock or randomness.

#[path = "../../../src/audit/mod.rs"]
pub mod audit;
#[path = "../../../src/keypool/mod.rs"]
pub mod keypool;
#[path = "../../../src/ledger/mod.rs"]
pub mod ledger;
