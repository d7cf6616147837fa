//! Rows as the ledger's types. A word this release does not know is an error that names its table and column.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type, ValueRef};

use super::super::rows::StoredPoints;
use super::super::{FinancialTransaction, PointsDetail, StoreError, StoredEntry, TaskOwner, TaskRecord};
use super::error::store_error;
use super::time::Stamp;
use crate::ledger::{
    Entry, EntryRange, Fingerprint, Frozen, Hash, HoldState, Method, Micros, Money, Operation, Purse,
    RequestRecord, SourceType, Task, TaskStatus, Text, User,
};

pub(super) type Decoded<T> = Result<T, StoreError>;

/// One row, read column by column; every error says from which table.
pub(super) struct Columns<'r> {
    row: &'r PgRow,
    what: &'static str,
}

impl<'r> Columns<'r> {
    /// A row; `what` says what is being read, such as `reading ts_users`.
    pub(super) fn new(row: &'r PgRow, what: &'static str) -> Self {
        Self { row, what }
    }

    /// A column as a type of Rust.
    pub(super) fn get<T: Decode<'r, Postgres> + Type<Postgres>>(&self, column: &str) -> Decoded<T> {
        self.row.try_get(column).map_err(|error| store_error(self.what, error))
    }

    /// Whether a column of any type holds NULL.
    pub(super) fn is_null(&self, column: &str) -> Decoded<bool> {
        let value = self.row.try_get_raw(column).map_err(|error| store_error(self.what, error))?;
        Ok(value.is_null())
    }

    /// A column of text.
    pub(super) fn text(&self, column: &str) -> Decoded<Text> {
        Ok(Arc::from(self.get::<&str>(column)?))
    }

    /// A column of text, or NULL.
    pub(super) fn text_or_null(&self, column: &str) -> Decoded<Option<Text>> {
        Ok(self.get::<Option<&str>>(column)?.map(Arc::from))
    }

    /// A moment.
    pub(super) fn moment(&self, column: &str) -> Decoded<Micros> {
        Ok(self.get::<Stamp>(column)?.0)
    }

    /// A moment, or NULL.
    pub(super) fn moment_or_null(&self, column: &str) -> Decoded<Option<Micros>> {
        Ok(self.get::<Option<Stamp>>(column)?.map(|stamp| stamp.0))
    }

    fn hash(&self, column: &str) -> Decoded<Hash> {
        self.get(column).map(Hash)
    }

    fn money(&self, points: &str, cash: &str) -> Decoded<Money> {
        Ok(Money { points: self.get(points)?, cash: self.get(cash)? })
    }

    /// 0 or 1.
    fn flag(&self, column: &str) -> Decoded<bool> {
        match self.get::<i32>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.unknown(column, &other.to_string())),
        }
    }

    fn small(&self, column: &str) -> Decoded<i16> {
        let number: i32 = self.get(column)?;
        i16::try_from(number).map_err(|_| self.unknown(column, &number.to_string()))
    }

    /// A word of ours, or what else `parse` reads.
    pub(super) fn word<T>(&self, column: &str, parse: fn(&str) -> Option<T>) -> Decoded<T> {
        let word: &str = self.get(column)?;
        parse(word).ok_or_else(|| self.unknown(column, word))
    }

    /// A word of ours, or NULL.
    pub(super) fn word_or_null<T>(&self, column: &str, parse: fn(&str) -> Option<T>) -> Decoded<Option<T>> {
        let word: Option<&str> = self.get(column)?;
        word.map(|word| parse(word).ok_or_else(|| self.unknown(column, word))).transpose()
    }

    /// A number that is never negative, read of `column`.
    pub(super) fn count<N>(&self, column: &str, number: N) -> Decoded<u32>
    where
        N: Copy + std::fmt::Display + TryInto<u32>,
    {
        number.try_into().map_err(|_| self.unknown(column, &number.to_string()))
    }

    fn range(&self, first: &str, count: &str) -> Decoded<Option<EntryRange>> {
        match (self.get::<Option<i64>>(first)?, self.get::<Option<i16>>(count)?) {
            (Some(first_seq), Some(count)) => Ok(Some(EntryRange { first_seq, count })),
            (None, None) => Ok(None),
            (first_seq, _) => Err(self.unknown(if first_seq.is_some() { count } else { first }, "NULL")),
        }
    }

    fn unknown(&self, column: &str, value: &str) -> StoreError {
        let source = format!("column {column} holds {value:?}, which this release does not know");
        StoreError::Bug { what: self.what, source: source.into() }
    }
}

/// A row of `ts_users`.
pub(super) fn user(row: &PgRow) -> Decoded<User> {
    let row = Columns::new(row, "reading ts_users");
    Ok(User {
        user_id: row.get("id")?,
        balance: row.money("points_balance", "cash_balance")?,
        held: row.money("points_held", "cash_held")?,
        entry_seq: row.get("entry_seq")?,
        chain_hash: row.hash("chain_hash")?,
        last_entry_time: row.moment("last_entry_at")?,
        create_time: row.moment("created_at")?,
        update_time: row.moment("updated_at")?,
    })
}

/// A row of `ts_fal_tasks` with `attempts`, without its JSON.
pub(super) fn task(row: &PgRow) -> Decoded<Task> {
    let row = Columns::new(row, "reading ts_fal_tasks");
    let attempts: Option<Vec<String>> = row.get("attempts")?;
    Ok(Task {
        task_id: row.text("task_id")?,
        user_id: row.get("user_id")?,
        online_task_id: row.text("online_task_id")?,
        app_name: row.text("app_name")?,
        key_id: row.text("api_key")?,
        task_type: row.text("task_type")?,
        status: row.word("status", TaskStatus::parse)?,
        money: row.get("money")?,
        charged: row.money("charged_points", "charged_cash")?,
        refunded: row.money("refunded_points", "refunded_cash")?,
        held: row.money("held_points", "held_cash")?,
        authorized: row.money("authorized_points", "authorized_cash")?,
        hold_state: row.word_or_null("hold_state", HoldState::parse)?,
        hold_expire_time: row.moment_or_null("hold_expires_at")?,
        reported_cost_nano_usd: row.get("reported_cost_nano_usd")?,
        billed_cost_nano_usd: row.get("billed_cost_nano_usd")?,
        billable_units: row.text_or_null("billable_units")?,
        lease_id: row.text_or_null("lease_id")?,
        error: row.text_or_null("error")?,
        title: row.text_or_null("title")?,
        deployment_uuid: row.text("deployment_uuid")?,
        pay_type: row.get("pay_type")?,
        create_time: row.moment("created_at")?,
        complete_time: row.moment_or_null("completed_at")?,
        fingerprint: Fingerprint::from_stored(row.get("fingerprint")?),
        settle_fingerprint: row.get::<Option<Vec<u8>>>("settle_fingerprint")?.map(Fingerprint::from_stored),
        charge_seq: row.get("charge_seq")?,
        refund_entries: row.range("refund_seq", "refund_entries")?,
        settle_entries: row.range("settle_seq", "settle_entries")?,
        attempts: attempts.unwrap_or_default().into_iter().map(Text::from).collect(),
    })
}

/// A row of `ts_fal_tasks` with all that readers ask for.
pub(super) fn task_record(row: &PgRow) -> Decoded<TaskRecord> {
    let columns = Columns::new(row, "reading ts_fal_tasks");
    Ok(TaskRecord {
        id: columns.get("id")?,
        task: task(row)?,
        is_refund: columns.flag("is_refund")?,
        input_params: columns.text("input_params")?,
        output_params: columns.text("output_params")?,
    })
}

/// A row of `scrip_requests`.
pub(super) fn request(row: &PgRow) -> Decoded<RequestRecord> {
    let row = Columns::new(row, "reading scrip_requests");
    let frozen = match row.get::<Option<&str>>("refusal")? {
        Some(refusal) => {
            Frozen::Refused(serde_json::from_str(refusal).map_err(|_| row.unknown("refusal", refusal))?)
        }
        None => Frozen::Done {
            entries: row.range("entry_seq", "entry_count")?,
            late: row.get("late")?,
            lease_id: row.text_or_null("lease_id")?,
        },
    };
    Ok(RequestRecord {
        user_id: row.get("user_id")?,
        request_id: row.text("request_id")?,
        method: row.word("method", Method::parse)?,
        task_id: row.text_or_null("task_id")?,
        fingerprint: Fingerprint::from_stored(row.get("fingerprint")?),
        frozen,
        create_time: row.moment("created_at")?,
    })
}

/// A row of `ts_financial_transactions` as the ledger wrote it.
pub(super) fn entry(row: &PgRow) -> Decoded<Entry> {
    let row = Columns::new(row, "reading ts_financial_transactions");
    Ok(Entry {
        user_id: row.get("user_id")?,
        user_seq: row.get("user_seq")?,
        purse: if row.flag("is_cash")? { Purse::Cash } else { Purse::Points },
        operation: row.word("operation", Operation::parse)?,
        source_type: row.word("source_type", SourceType::parse)?,
        amount: row.get("money")?,
        balance_before: row.get("balance_before")?,
        balance_after: row.get("balance_after")?,
        order_id: row.text("order_id")?,
        title: row.text("title")?,
        deployment_uuid: row.text("deployment_uuid")?,
        pay_type: row.get("pay_type")?,
        time: row.moment("time")?,
        request_id: row.text_or_null("request_id")?,
        actor: row.text("actor")?,
        hash: row.hash("entry_hash")?,
    })
}

/// A row of `ts_financial_transactions` as the seed's readers know it, with its `user_seq`.
pub(super) fn financial(row: &PgRow) -> Decoded<(i64, FinancialTransaction)> {
    let row = Columns::new(row, "reading ts_financial_transactions");
    let transaction = FinancialTransaction {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        money: row.get("money")?,
        order_id: row.text("order_id")?,
        title: row.text("title")?,
        deployment_uuid: row.text("deployment_uuid")?,
        time: row.moment("time")?,
        transaction_type: row.small("transaction_type")?,
        pay_type: row.get("pay_type")?,
        is_cash: row.flag("is_cash")?,
    };
    Ok((row.get("user_seq")?, transaction))
}

/// A row of `ts_points_detail` as the seed's readers know it, with its `user_seq`.
pub(super) fn points(row: &PgRow) -> Decoded<(i64, PointsDetail)> {
    let row = Columns::new(row, "reading ts_points_detail");
    let detail = PointsDetail {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        points: row.get("points")?,
        order_id: row.text("order_id")?,
        title: row.text("title")?,
        source_type: row.word("source_type", SourceType::parse)?,
        balance_before: row.get("balance_before")?,
        balance_after: row.get("balance_after")?,
        created_at: row.moment("created_at")?,
    };
    Ok((row.get("user_seq")?, detail))
}

/// A task by its user and id.
pub(super) fn task_key(row: &PgRow) -> Decoded<(i64, Text)> {
    let row = Columns::new(row, "reading ts_fal_tasks");
    Ok((row.get("user_id")?, row.text("task_id")?))
}

/// A task, whose it is, and the model it runs.
pub(super) fn owner(row: &PgRow) -> Decoded<TaskOwner> {
    let row = Columns::new(row, "reading ts_fal_tasks");
    Ok(TaskOwner {
        task_id: row.text("task_id")?,
        user_id: row.get("user_id")?,
        app_name: row.text("app_name")?,
    })
}

/// The key of a row of either ledger.
pub(super) fn entry_key(row: &PgRow) -> Decoded<(i64, i64)> {
    let row = Columns::new(row, "reading ts_points_detail");
    Ok((row.get("user_id")?, row.get("user_seq")?))
}

/// A financial row and its points twin, word for word.
pub(super) fn stored_entry(row: &PgRow) -> Decoded<StoredEntry> {
    let row = Columns::new(row, "reading ts_financial_transactions");
    let twin = Columns::new(row.row, "reading ts_points_detail");
    let points = match twin.get::<Option<i64>>("p_points")? {
        None => None,
        Some(points) => Some(StoredPoints {
            points,
            order_id: twin.get("p_order_id")?,
            title: twin.get("p_title")?,
            source_type: twin.get("p_source_type")?,
            balance_before: twin.get("p_balance_before")?,
            balance_after: twin.get("p_balance_after")?,
            created_at: twin.moment("p_created_at")?,
            request_id: twin.get("p_request_id")?,
            actor: twin.get("p_actor")?,
        }),
    };
    Ok(StoredEntry {
        user_id: row.get("user_id")?,
        user_seq: row.get("user_seq")?,
        operation: row.get("operation")?,
        source_type: row.get("source_type")?,
        transaction_type: row.small("transaction_type")?,
        is_cash: row.flag("is_cash")?,
        money: row.get("money")?,
        balance_before: row.get("balance_before")?,
        balance_after: row.get("balance_after")?,
        order_id: row.get("order_id")?,
        title: row.get("title")?,
        deployment_uuid: row.get("deployment_uuid")?,
        pay_type: row.get("pay_type")?,
        time: row.moment("time")?,
        request_id: row.get("request_id")?,
        actor: row.get("actor")?,
        entry_hash: row.hash("entry_hash")?,
        points,
    })
}
