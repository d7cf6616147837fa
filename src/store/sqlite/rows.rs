//! Rows of the tables as the ledger's values. The columns come in the order the statements under `sql/` name them.

use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

use super::time;
use crate::ledger::{
    Entry, EntryRange, Fingerprint, Frozen, Hash, HoldState, Method, Micros, Money, Operation, Purse,
    RequestRecord, SourceType, Task, TaskStatus, Text, User,
};
use crate::store::rows::StoredPoints;
use crate::store::{FinancialTransaction, PointsDetail, StoredEntry, TaskRecord};

pub(super) type Read<T> = Result<T, sqlx::Error>;

/// Reads a row's columns from left to right.
pub(super) struct Cells<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Cells<'r> {
    pub(super) fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Read<T> {
        let index = self.next;
        self.next += 1;
        self.row.try_get(index)
    }

    pub(super) fn text(&mut self) -> Read<Text> {
        self.get::<&str>().map(Text::from)
    }

    pub(super) fn optional_text(&mut self) -> Read<Option<Text>> {
        Ok(self.get::<Option<&str>>()?.map(Text::from))
    }

    pub(super) fn flag(&mut self) -> Read<bool> {
        Ok(self.get::<i64>()? != 0)
    }

    fn money(&mut self) -> Read<Money> {
        Ok(Money { points: self.get()?, cash: self.get()? })
    }

    fn hash(&mut self) -> Read<Hash> {
        let bytes: &[u8] = self.get()?;
        bytes.try_into().map(Hash).map_err(|_| decode("a hash of 32 bytes", "another length"))
    }

    pub(super) fn time(&mut self) -> Read<Micros> {
        let text = self.get()?;
        time::from_text(text).ok_or_else(|| decode("a time", text))
    }

    pub(super) fn optional_time(&mut self) -> Read<Option<Micros>> {
        let text: Option<&str> = self.get()?;
        text.map(|text| time::from_text(text).ok_or_else(|| decode("a time", text))).transpose()
    }

    pub(super) fn word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Read<T> {
        let word = self.get()?;
        parse(word).ok_or_else(|| decode("a word of its list", word))
    }

    pub(super) fn optional_word<T>(&mut self, parse: fn(&str) -> Option<T>) -> Read<Option<T>> {
        let word: Option<&str> = self.get()?;
        word.map(|word| parse(word).ok_or_else(|| decode("a word of its list", word))).transpose()
    }

    fn range(&mut self) -> Read<Option<EntryRange>> {
        let (first_seq, count): (Option<i64>, Option<i16>) = (self.get()?, self.get()?);
        Ok(first_seq.zip(count).map(|(first_seq, count)| EntryRange { first_seq, count }))
    }

    fn fingerprint(&mut self) -> Read<Fingerprint> {
        self.get().map(Fingerprint::from_stored)
    }
}

fn decode(expected: &str, found: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("expected {expected}, found {found:?}").into())
}

pub(super) fn user(row: &SqliteRow) -> Read<User> {
    let mut cells = Cells::of(row);
    Ok(User {
        user_id: cells.get()?,
        balance: cells.money()?,
        held: cells.money()?,
        entry_seq: cells.get()?,
        chain_hash: cells.hash()?,
        last_entry_time: cells.time()?,
        create_time: cells.time()?,
        update_time: cells.time()?,
    })
}

pub(super) fn task(row: &SqliteRow) -> Read<Task> {
    task_cells(&mut Cells::of(row))
}

pub(super) fn task_record(row: &SqliteRow) -> Read<TaskRecord> {
    let mut cells = Cells::of(row);
    let task = task_cells(&mut cells)?;
    Ok(TaskRecord {
        task,
        id: cells.get()?,
        is_refund: cells.flag()?,
        input_params: cells.text()?,
        output_params: cells.text()?,
    })
}

fn task_cells(cells: &mut Cells<'_>) -> Read<Task> {
    Ok(Task {
        task_id: cells.text()?,
        user_id: cells.get()?,
        online_task_id: cells.text()?,
        app_name: cells.text()?,
        key_id: cells.text()?,
        task_type: cells.text()?,
        status: cells.word(TaskStatus::parse)?,
        money: cells.get()?,
        charged: cells.money()?,
        refunded: cells.money()?,
        held: cells.money()?,
        authorized: cells.money()?,
        hold_state: cells.optional_word(HoldState::parse)?,
        hold_expire_time: cells.optional_time()?,
        reported_cost_nano_usd: cells.get()?,
        billed_cost_nano_usd: cells.get()?,
        billable_units: cells.optional_text()?,
        lease_id: cells.optional_text()?,
        error: cells.optional_text()?,
        title: cells.optional_text()?,
        deployment_uuid: cells.text()?,
        pay_type: cells.get()?,
        create_time: cells.time()?,
        complete_time: cells.optional_time()?,
        fingerprint: cells.fingerprint()?,
        settle_fingerprint: cells.get::<Option<Vec<u8>>>()?.map(Fingerprint::from_stored),
        charge_seq: cells.get()?,
        refund_entries: cells.range()?,
        settle_entries: cells.range()?,
        attempts: attempts(cells.get()?)?,
    })
}

/// fal's ids of a task's attempts, which the statement gathers into a JSON array.
fn attempts(json: &str) -> Read<Vec<Text>> {
    if json == "[]" {
        return Ok(Vec::new());
    }
    let ids: Vec<String> =
        serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(ids.into_iter().map(Text::from).collect())
}

pub(super) fn request(row: &SqliteRow) -> Read<RequestRecord> {
    let mut cells = Cells::of(row);
    let (user_id, request_id) = (cells.get()?, cells.text()?);
    let (method, task_id) = (cells.word(Method::parse)?, cells.optional_text()?);
    let (fingerprint, entries, late) = (cells.fingerprint()?, cells.range()?, cells.flag()?);
    let (refusal, create_time, lease_id): (Option<&str>, _, _) =
        (cells.get()?, cells.time()?, cells.optional_text()?);
    let frozen = match refusal {
        None => Frozen::Done { entries, late, lease_id },
        Some(json) => {
            Frozen::Refused(serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(Box::new(error)))?)
        }
    };
    Ok(RequestRecord { user_id, request_id, method, task_id, fingerprint, frozen, create_time })
}

pub(super) fn entry(row: &SqliteRow) -> Read<Entry> {
    let mut cells = Cells::of(row);
    Ok(Entry {
        user_id: cells.get()?,
        user_seq: cells.get()?,
        purse: if cells.flag()? { Purse::Cash } else { Purse::Points },
        operation: cells.word(Operation::parse)?,
        source_type: cells.word(SourceType::parse)?,
        amount: cells.get()?,
        balance_before: cells.get()?,
        balance_after: cells.get()?,
        order_id: cells.text()?,
        title: cells.text()?,
        deployment_uuid: cells.text()?,
        pay_type: cells.get()?,
        time: cells.time()?,
        request_id: cells.optional_text()?,
        actor: cells.text()?,
        hash: cells.hash()?,
    })
}

pub(super) fn points_detail(row: &SqliteRow) -> Read<(i64, PointsDetail)> {
    let mut cells = Cells::of(row);
    let user_seq = cells.get()?;
    let detail = PointsDetail {
        id: cells.get()?,
        user_id: cells.get()?,
        points: cells.get()?,
        order_id: cells.text()?,
        title: cells.text()?,
        source_type: cells.word(SourceType::parse)?,
        balance_before: cells.get()?,
        balance_after: cells.get()?,
        created_at: cells.time()?,
    };
    Ok((user_seq, detail))
}

pub(super) fn financial(row: &SqliteRow) -> Read<(i64, FinancialTransaction)> {
    let mut cells = Cells::of(row);
    let user_seq = cells.get()?;
    let transaction = FinancialTransaction {
        id: cells.get()?,
        user_id: cells.get()?,
        money: cells.get()?,
        order_id: cells.text()?,
        title: cells.text()?,
        deployment_uuid: cells.text()?,
        time: cells.time()?,
        transaction_type: cells.get()?,
        pay_type: cells.get()?,
        is_cash: cells.flag()?,
    };
    Ok((user_seq, transaction))
}

/// A row as `verify` judges it: words stay words, and a time nobody could have written is one that fits no hash.
pub(super) fn stored_entry(row: &SqliteRow) -> Read<StoredEntry> {
    let mut cells = Cells::of(row);
    Ok(StoredEntry {
        user_id: cells.get()?,
        user_seq: cells.get()?,
        operation: cells.get()?,
        source_type: cells.get()?,
        transaction_type: cells.get()?,
        is_cash: cells.flag()?,
        money: cells.get()?,
        balance_before: cells.get()?,
        balance_after: cells.get()?,
        order_id: cells.get()?,
        title: cells.get()?,
        deployment_uuid: cells.get()?,
        pay_type: cells.get()?,
        time: readable(cells.get()?),
        request_id: cells.get()?,
        actor: cells.get()?,
        entry_hash: cells.hash()?,
        points: stored_points(&mut cells)?,
    })
}

fn stored_points(cells: &mut Cells<'_>) -> Read<Option<StoredPoints>> {
    let Some(points) = cells.get()? else { return Ok(None) };
    Ok(Some(StoredPoints {
        points,
        order_id: cells.get()?,
        title: cells.get()?,
        source_type: cells.get()?,
        balance_before: cells.get()?,
        balance_after: cells.get()?,
        created_at: readable(cells.get()?),
        request_id: cells.get()?,
        actor: cells.get()?,
    }))
}

fn readable(text: &str) -> Micros {
    time::from_text(text).unwrap_or(Micros(i64::MIN))
}
