//! What a command that moved money, or looked at it, shows: the entries written and the user's figures.

use serde::Serialize;

use super::failure::Failure;
use super::output::{Out, Side, Table, moment, moment_short, plain};
use crate::config::Format;
use crate::engine::Answer;
use crate::ledger::{Entry, User};

/// A user's figures under the names of the API.
#[derive(Debug, Serialize)]
pub(super) struct BalanceRow {
    user_id: i64,
    points: i64,
    cash: i64,
    total: i64,
    points_held: i64,
    cash_held: i64,
    held: i64,
    available: i64,
    entry_seq: i64,
    update_time: String,
}

impl BalanceRow {
    pub(super) fn new(user: &User) -> Self {
        Self {
            user_id: user.user_id,
            points: user.balance.points,
            cash: user.balance.cash,
            total: user.balance.total(),
            points_held: user.held.points,
            cash_held: user.held.cash,
            held: user.held.total(),
            available: user.balance.total().saturating_sub(user.held.total()),
            entry_seq: user.entry_seq,
            update_time: moment(user.update_time),
        }
    }
}

#[derive(Debug, Serialize)]
struct EntryRow<'a> {
    user_seq: i64,
    operation: &'static str,
    purse: &'static str,
    amount: i64,
    balance_before: i64,
    balance_after: i64,
    source_type: &'static str,
    order_id: &'a str,
    title: &'a str,
    create_time: String,
}

impl<'a> EntryRow<'a> {
    fn new(entry: &'a Entry) -> Self {
        Self {
            user_seq: entry.user_seq,
            operation: entry.operation.as_str(),
            purse: entry.purse.as_str(),
            amount: entry.amount,
            balance_before: entry.balance_before,
            balance_after: entry.balance_after,
            source_type: entry.source_type.as_str(),
            order_id: &entry.order_id,
            title: &entry.title,
            create_time: moment(entry.time),
        }
    }
}

#[derive(Debug, Serialize)]
struct AnswerRow<'a> {
    replayed: bool,
    entries: Vec<EntryRow<'a>>,
    balance: BalanceRow,
}

/// Shows what was done; `done` says it in the past tense.
pub(super) fn print(out: &mut Out, format: Format, answer: &Answer, done: &str) -> Result<(), Failure> {
    if format == Format::Json {
        return Ok(out.json(&AnswerRow {
            replayed: answer.replayed,
            entries: answer.entries.iter().map(|entry| EntryRow::new(entry)).collect(),
            balance: BalanceRow::new(&answer.user),
        })?);
    }
    let done = plain(done);
    if answer.replayed {
        out.line(format!("already done: {done}; nothing was moved now"))?;
    } else {
        out.line(out.paint().green(&done))?;
    }
    print_entries(out, answer)?;
    out.line("")?;
    print_balance(out, &answer.user)
}

fn print_entries(out: &mut Out, answer: &Answer) -> Result<(), Failure> {
    if answer.entries.is_empty() {
        return Ok(());
    }
    let columns = [
        ("SEQ", Side::Right, 0),
        ("OPERATION", Side::Left, 0),
        ("PURSE", Side::Left, 0),
        ("AMOUNT", Side::Right, 0),
        ("BEFORE", Side::Right, 0),
        ("AFTER", Side::Right, 0),
        ("TITLE", Side::Left, 0),
    ];
    let rows: Vec<Vec<String>> = answer
        .entries
        .iter()
        .map(|entry| {
            vec![
                entry.user_seq.to_string(),
                entry.operation.to_string(),
                entry.purse.to_string(),
                format!("{:+}", entry.amount),
                entry.balance_before.to_string(),
                entry.balance_after.to_string(),
                entry.title.to_string(),
            ]
        })
        .collect();
    Ok(Table::new(&columns).print(out, &rows)?)
}

/// Shows a user's figures as they are now.
pub(super) fn print_balance(out: &mut Out, user: &User) -> Result<(), Failure> {
    let columns = [
        ("USER", Side::Right, 0),
        ("POINTS", Side::Right, 0),
        ("CASH", Side::Right, 0),
        ("TOTAL", Side::Right, 0),
        ("HELD", Side::Right, 0),
        ("AVAILABLE", Side::Right, 0),
        ("ENTRIES", Side::Right, 0),
        ("CHANGED", Side::Left, 0),
    ];
    let row = BalanceRow::new(user);
    let cells = [row.user_id, row.points, row.cash, row.total, row.held, row.available, row.entry_seq];
    let mut cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
    cells.push(moment_short(user.update_time));
    Ok(Table::new(&columns).print(out, &[cells])?)
}
