//! The bundled fake fal: a small HTTP server on the loopback that speaks the documented shapes of fal's platform API,
//! for tests and for `scrip demo`. It is no part of the service.
//!
//! What it answers is computed from a [`World`] that the caller fills: workspaces, keys, prices, billing events. Usage
//! is the sum of the events, so that the two agree unless the world says otherwise. [`Fault`]s spoil the next answers
//! of a [`Route`]. The same world and the same requests give the same answers: it has no clock and no randomness.
//!
//! Its bodies are written for this project from fal's public documentation and from what callers of it have reported;
//! none is a recording.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use scrip::fal::fake::{Event, FakeFal, Workspace};
//!
//! let fake = FakeFal::start().await?;
//! fake.world().add(
//!     Workspace::new("studio", "24.5")
//!         .key("k1:secret")
//!         .event(Event::new("req-1", "fal-ai/flux/dev", 1_735_689_600_000_000).units("1.5", "megapixels").price("0.025")),
//! );
//! let base_url = fake.base_url(); // http://127.0.0.1:PORT/v1
//! # Ok(()) }
//! ```

mod answers;
mod fault;
mod server;
mod usage;
mod world;

pub use fault::{Fault, Route};
pub use server::{FakeFal, Seen, WorldGuard};
pub use world::{Cursors, Event, Workspace, World};
