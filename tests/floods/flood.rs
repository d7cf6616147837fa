//! The floods, by name: what each does, and at which rate.

use clap::ValueEnum;

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flood {
    SilentSockets,
    Slowloris,
    RapidReset,
    Continuation,
    EmptyData,
    TlsHandshake,
    Overload,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Connections open at once.
    pub(crate) connections: u32,
    /// Connections begun a second, or units (calls, frames) sent a second over all connections.
    pub(crate) a_second: u32,
}

impl Flood {
    pub(crate) const ALL: [Self; 7] = [
        Self::SilentSockets,
        Self::Slowloris,
        Self::RapidReset,
        Self::Continuation,
        Self::EmptyData,
        Self::TlsHandshake,
        Self::Overload,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SilentSockets => "silent-sockets",
            Self::Slowloris => "slowloris",
            Self::RapidReset => "rapid-reset",
            Self::Continuation => "continuation",
            Self::EmptyData => "empty-data",
            Self::TlsHandshake => "tls-handshake",
            Self::Overload => "overload",
        }
    }

    pub(crate) const fn rate(self) -> Rate {
        match self {
            // Each is closed after 10 s, so that so many are open all the time.
            Self::SilentSockets | Self::TlsHandshake => Rate { connections: 10_000, a_second: 1_000 },
            // A byte a second each.
            Self::Slowloris => Rate { connections: 1_000, a_second: 1_000 },
            Self::RapidReset | Self::Continuation => Rate { connections: 20, a_second: 4_000 },
            Self::EmptyData => Rate { connections: 20, a_second: 20_000 },
            // Its rate is the command line's.
            Self::Overload => Rate { connections: 8, a_second: 0 },
        }
    }
}
