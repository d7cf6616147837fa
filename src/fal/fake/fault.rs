//! What the fake fal can do wrong, on demand.

use std::time::Duration;

/// A call that faults can be planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /models/usage`
    Usage,
    /// `GET /models/billing-events`
    Events,
    /// `GET /account/billing`
    Account,
    /// `GET /models/pricing`
    Pricing,
}

/// How an answer is spoilt.
#[derive(Clone, Debug)]
pub enum Fault {
    /// One of fal's documented errors: the status and the `type` in the body.
    Error(u16, &'static str),
    /// The older shape, `{"detail": …}`, as of keys and locks.
    Detail(u16, String),
    /// A status with a Retry-After header; of a storm of 429s for one.
    RetryAfter(u16, String),
    /// A redirect to there.
    Redirect(String),
    /// The true answer, after so long.
    Delay(Duration),
    /// The connection is closed without an answer.
    HangUp,
    /// The true answer's headers and half of its body, then the connection is closed.
    Truncated,
    /// The true answer's headers and half of its body, then nothing more.
    Stalled,
    /// Half of the true answer's JSON, sent as if it were whole.
    CutJson,
    /// So many bytes; announced in the header, or not.
    Oversized(usize, bool),
    /// 200 with this body.
    Body(String),
}

/// A fault and how often it will happen.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) route: Route,
    pub(super) times: u32,
    pub(super) fault: Fault,
}
