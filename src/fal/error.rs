//! What a call to fal can come to other than its answer.
//!
//! The texts are for people who run scrip and name no URL, no query, no key and nothing that fal wrote: those may
//! hold secrets, and these texts are logged. What has to be kept of a body is in [`Evidence`], apart.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::guard::Refusal;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 401: fal does not know the key. A key that merely lacks a scope has been seen to get this too.
    #[error("fal does not accept the key ({scope})")]
    Unauthorized {
        /// What the key has to be allowed for this call.
        scope: Scope,
    },
    /// 403: the key is known and may not do this.
    #[error("fal refuses this to the key ({})", if *.locked { "its account is locked" } else { .scope.text() })]
    Forbidden {
        /// What the key has to be allowed for this call.
        scope: Scope,
        /// fal says that the account is locked, as it does when the balance is spent.
        locked: bool,
    },
    /// 429, after every retry that the policy allows.
    #[error("fal's rate limit was met")]
    RateLimited {
        /// How long fal last asked to wait, if it said.
        retry_after: Option<Duration>,
    },
    /// 404.
    #[error("{}", if *.said_by_fal { "fal does not know what was asked for" } else { "there is no fal API at the configured address" })]
    NotFound {
        /// fal's own error says so; otherwise something else answered, as with a wrong base URL.
        said_by_fal: bool,
    },
    /// 400 and its kin: fal does not take the request.
    #[error("fal does not take the request ({kind})")]
    BadRequest {
        /// The HTTP status.
        status: u16,
        /// The kind that fal gave.
        kind: Kind,
    },
    /// 5xx, after every retry that the policy allows.
    #[error("fal failed with status {status}")]
    Upstream {
        /// The HTTP status.
        status: u16,
    },
    /// A status that no call expects, a redirect for one: none is followed.
    #[error("fal answered with status {status}, which is not expected")]
    Unexpected {
        /// The HTTP status.
        status: u16,
    },
    /// No answer in time, after every retry that the policy allows.
    #[error("fal did not answer in time")]
    Timeout,
    /// The connection failed, after every retry that the policy allows.
    #[error("{stage}")]
    Network {
        /// How far it came.
        stage: Stage,
    },
    /// An answer that is not of the documented shape.
    #[error("fal's answer cannot be read: {what}")]
    Garbage {
        /// What is wrong with it.
        what: What,
        /// The answer, to be kept.
        evidence: Evidence,
    },
    /// A body over the limit.
    #[error("fal's answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// A cursor led back to a page that was already read: the pages so far are not all there is.
    #[error("fal's pages run in a circle")]
    CursorLoop,
    /// More pages than allowed: the pages so far are not all there is.
    #[error("fal's answer has more than {limit} pages")]
    TooManyPages {
        /// The limit.
        limit: u32,
    },
    /// The address is not one that scrip connects to; nothing was sent.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The call itself is wrong; nothing was sent.
    #[error("{0}")]
    InvalidQuery(&'static str),
}

impl Error {
    /// The HTTP status behind it, where there is one.
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Error::Unauthorized { .. } => Some(401),
            Error::Forbidden { .. } => Some(403),
            Error::RateLimited { .. } => Some(429),
            Error::NotFound { .. } => Some(404),
            Error::BadRequest { status, .. } | Error::Upstream { status } | Error::Unexpected { status } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// What it is, in one word of a fixed few: for figures.
    pub fn word(&self) -> &'static str {
        match self {
            Error::Unauthorized { .. } => "unauthorized",
            Error::Forbidden { locked: true, .. } => "locked",
            Error::Forbidden { .. } => "forbidden",
            Error::RateLimited { .. } => "rate_limited",
            Error::NotFound { .. } => "not_found",
            Error::BadRequest { .. } => "bad_request",
            Error::Upstream { .. } => "upstream",
            Error::Unexpected { .. } => "unexpected",
            Error::Timeout => "timeout",
            Error::Network { .. } => "network",
            Error::Garbage { .. } => "garbage",
            Error::TooLarge { .. } => "too_large",
            Error::CursorLoop | Error::TooManyPages { .. } => "pages",
            Error::Refused(_) => "address_refused",
            Error::InvalidQuery(_) => "invalid_query",
        }
    }

    /// The same call may well succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::RateLimited { .. } | Error::Timeout => true,
            Error::Network { stage } => *stage != Stage::Stopping,
            // 501 says that it never will.
            Error::Upstream { status } => *status != 501,
            _ => false,
        }
    }
}

/// What a call needs of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Any key of the account.
    AnyKey,
    /// A key with the admin scope, which billing needs.
    Admin,
}

impl Scope {
    fn text(self) -> &'static str {
        match self {
            Scope::AnyKey => "any key of the account would do",
            Scope::Admin => "this needs a key with the admin scope",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The `type` of fal's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `authorization_error`
    Authorization,
    /// `validation_error`
    Validation,
    /// `not_found`
    NotFound,
    /// `rate_limited`
    RateLimited,
    /// `server_error`
    Server,
    /// `not_implemented`
    NotImplemented,
    /// None of these, or none at all.
    Unknown,
}

impl Kind {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "authorization_error" => Kind::Authorization,
            "validation_error" => Kind::Validation,
            "not_found" => Kind::NotFound,
            "rate_limited" => Kind::RateLimited,
            "server_error" => Kind::Server,
            "not_implemented" => Kind::NotImplemented,
            _ => Kind::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Authorization => "authorization_error",
            Kind::Validation => "validation_error",
            Kind::NotFound => "not_found",
            Kind::RateLimited => "rate_limited",
            Kind::Server => "server_error",
            Kind::NotImplemented => "not_implemented",
            Kind::Unknown => "of no documented type",
        })
    }
}

/// How far a failed connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No connection was made: name, network or TLS.
    Connecting,
    /// It ended before the whole answer had come.
    Reading,
    /// This process is stopping.
    Stopping,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Connecting => "no connection to fal could be made",
            Stage::Reading => "the connection to fal ended before its whole answer had come",
            Stage::Stopping => "scrip is stopping",
        })
    }
}

/// What is wrong with an answer: a field of the documented shape, and why it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// The field's documented name; empty for the body as a whole.
    pub field: &'static str,
    /// What it is, in words of ours.
    pub why: &'static str,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(self.why) } else { write!(f, "{}: {}", self.field, self.why) }
    }
}

/// A body as it came, to be stored and not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence(pub Bytes);

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Evidence({} bytes)", self.0.len())
    }
}
