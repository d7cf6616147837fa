//! The listening side: its limits, where it listens, and how it is told to stop.

mod bind;
mod health;
mod options;
mod reflection;
mod shutdown;
mod signals;

pub use self::bind::{BindError, bind, parse_listen};
pub use self::health::Health;
pub use self::options::{MAX_MESSAGE_BYTES, OptionsError, ServerOptions};
pub use self::reflection::{ReflectionError, add_reflection};
pub use self::shutdown::Shutdown;
pub use self::signals::watch_signals;
