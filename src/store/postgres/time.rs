//! `timestamptz` as the ledger's microseconds, exactly: no calendar in between.
//!
//! In PostgreSQL's binary format a moment is an `i64` of microseconds since 2000-01-01T00:00:00Z; the ledger counts
//! from 1970. Both are UTC, so the two differ by a constant.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::ledger::Micros;

/// 2000-01-01T00:00:00Z, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;
/// The first moment PostgreSQL can hold, 4714-11-24 BC. Its last lies beyond what an `i64` counts from 1970.
const FIRST: i64 = -211_813_488_000_000_000 + EPOCH;

/// A moment on its way to or from a `timestamptz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) Micros);

impl Stamp {
    /// The nearest moment that PostgreSQL can hold: for bounds of a search, where nothing lies beyond.
    pub(super) fn nearest(moment: Micros) -> Self {
        Self(Micros(moment.0.max(FIRST)))
    }
}

impl Type<Postgres> for Stamp {
    fn type_info() -> PgTypeInfo {
        // timestamptz; built-in types keep their number in every PostgreSQL, so nothing is looked up.
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Stamp {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Stamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Micros(micros) = self.0;
        if micros < FIRST {
            return Err(format!("{micros} µs since 1970 is not a moment PostgreSQL can hold").into());
        }
        <i64 as Encode<'_, Postgres>>::encode(micros - EPOCH, buffer)
    }
}

impl Decode<'_, Postgres> for Stamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<'_, Postgres>>::decode(value)?;
        // The infinities are the ends of i64; scrip writes neither, but a row that was tampered with must still be read.
        Ok(Self(Micros(micros.saturating_add(EPOCH))))
    }
}
