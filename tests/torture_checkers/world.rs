//! What of the world the statements need: the way to a database.

#[path = "../torture/world/database.rs"]
pub(crate) mod database;
#[path = "../torture/world/process.rs"]
pub(crate) mod process;
