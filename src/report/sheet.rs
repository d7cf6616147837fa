//! The tables of a report before anybody has decided what they look like: the terminal and the page print the same.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::figures::{self, grouped, percent, rounded, units};
use super::table::{Cell, Side, Tone};
use super::words::{Words, fill};
use crate::audit::report::{DayRow, TaskRow, TaskSums, UnitRow, UserRow, WorkspaceModelRow, WorkspaceRow};
use crate::audit::{Day, Rates, Report};

/// One figure or word of a table.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Empty,
    Text(String),
    /// An id: a number that is not counted with.
    Id(i64),
    Count(i128),
    /// Nano-USD, to the last digit.
    Usd(i128),
    /// Whether two figures agree.
    Agrees(bool),
    /// A difference: bad unless 0.
    Difference(i128),
}

/// A table.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) columns: Vec<(Cow<'static, str>, Side)>,
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) total: Option<Vec<Cell>>,
    /// How many rows there are beyond those.
    pub(super) left_out: usize,
    /// Sentences about it.
    pub(super) notes: Vec<String>,
}

impl Sheet {
    /// Turns values into text. Amounts of a column have the same number of decimals, so that their points align.
    fn new(
        columns: Vec<(Cow<'static, str>, Side)>,
        rows: &[Vec<Value>],
        total: Option<Vec<Value>>,
        words: &Words,
    ) -> Self {
        let places = |column: usize| {
            let cells = rows.iter().chain(&total).filter_map(|row| row.get(column));
            let amounts = cells.filter_map(|value| match value {
                Value::Usd(nano_usd) => Some(figures::places(*nano_usd)),
                _ => None,
            });
            amounts.max().unwrap_or_default()
        };
        let places: Vec<usize> = (0..columns.len()).map(places).collect();
        let print = |row: &Vec<Value>| -> Vec<Cell> {
            row.iter().zip(&places).map(|(value, places)| value.print(*places, words)).collect()
        };
        let rows: Vec<Vec<Cell>> = rows.iter().map(print).collect();
        let strong = |cell: Cell| Cell {
            tone: if cell.tone == Tone::Plain { Tone::Strong } else { cell.tone },
            ..cell
        };
        let total = total.map(|total| print(&total).into_iter().map(strong).collect());
        Self { columns, rows, total, left_out: 0, notes: Vec::new() }
    }

    fn note(&mut self, sentence: &str, count: impl Into<i128>, others: &[&str]) {
        let count = count.into();
        if count != 0 {
            let count = grouped(count);
            let figures: Vec<&str> = std::iter::once(count.as_str()).chain(others.iter().copied()).collect();
            self.notes.push(fill(sentence, &figures));
        }
    }
}

impl Value {
    fn text(text: &str) -> Self {
        Value::Text(text.to_owned())
    }

    fn print(&self, places: usize, words: &Words) -> Cell {
        match self {
            Value::Empty => Cell::default(),
            Value::Text(text) => Cell::from(text.clone()),
            Value::Id(id) => Cell::from(id.to_string()),
            Value::Count(count) => Cell::from(grouped(*count)),
            Value::Usd(nano_usd) => {
                let tone = if *nano_usd < 0 { Tone::Bad } else { Tone::Plain };
                Cell { text: figures::usd_to(*nano_usd, places), tone }
            }
            Value::Agrees(true) => Cell { text: words.ok.to_owned(), tone: Tone::Good },
            Value::Agrees(false) => Cell { text: words.not_ok.to_owned(), tone: Tone::Bad },
            Value::Difference(0) => Cell::from("0".to_owned()),
            Value::Difference(difference) => Cell { text: grouped(*difference), tone: Tone::Bad },
        }
    }
}

fn columns<const N: usize>(columns: [(&'static str, Side); N]) -> Vec<(Cow<'static, str>, Side)> {
    columns.into_iter().map(|(title, side)| (Cow::Borrowed(title), side)).collect()
}

/// The places of the `most` rows that weigh most, in the order of the rows.
fn heaviest<R, K: Ord>(rows: &[R], most: usize, weight: impl Fn(&R) -> K) -> Vec<&R> {
    if rows.len() <= most {
        return rows.iter().collect();
    }
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by_cached_key(|at| Reverse(rows.get(*at).map(&weight)));
    places.truncate(most);
    places.sort_unstable();
    places.into_iter().filter_map(|at| rows.get(at)).collect()
}

/// The names of a workspace's accounts: `acme (1 main, 2 spare)`, or `main (1)` where the workspace is one account.
pub(super) fn workspace_name(row: &WorkspaceRow) -> String {
    match row.accounts.as_slice() {
        [] => row.workspace.to_string(),
        [one] if one.name == row.workspace || *row.workspace == *format!("account {}", one.account_id) => {
            format!("{} ({})", one.name, one.account_id)
        }
        accounts => {
            let names = accounts.iter().map(|account| format!("{} {}", account.account_id, account.name));
            format!("{} ({})", row.workspace, names.collect::<Vec<_>>().join(", "))
        }
    }
}

fn units_of(rows: &[UnitRow]) -> String {
    let each = rows.iter().map(|row| {
        let number = units(row.units_nano);
        if row.unit.is_empty() { number } else { format!("{number} {}", row.unit) }
    });
    each.collect::<Vec<_>>().join(" + ")
}

/// Layer 1: a line for each model of each workspace.
pub(super) fn workspaces(report: &Report, words: &Words, most: usize) -> Sheet {
    let titles = &words.columns;
    let columns = columns([
        (titles.account, Side::Left),
        (titles.balance, Side::Right),
        (titles.official, Side::Right),
        (titles.model, Side::Left),
        (titles.units, Side::Right),
        (titles.events, Side::Right),
        (titles.model_cost, Side::Right),
    ]);
    let mut rows = Vec::new();
    let mut left_out = 0_usize;
    for row in &report.workspaces {
        let mark = if row.complete { "" } else { " *" };
        let balance = row.balance_nano_usd.map_or(Value::text(words.unknown), |it| Value::Usd(it.into()));
        let mut first = [
            Value::Text(format!("{}{mark}", workspace_name(row))),
            balance,
            Value::Usd(row.official_cost_nano_usd),
        ];
        let from_usage = row.usage_nano_usd == Some(row.official_cost_nano_usd);
        let models: Vec<[Value; 4]> =
            row.models.iter().map(|model| workspace_model(model, from_usage)).collect();
        let none = [Value::text("-"), Value::text("-"), Value::Count(0), Value::Usd(0)];
        let models = if models.is_empty() { vec![none] } else { models };
        for model in models {
            if rows.len() >= most {
                left_out = left_out.saturating_add(1);
                continue;
            }
            let account = std::mem::replace(&mut first, [Value::Empty, Value::Empty, Value::Empty]);
            rows.push(account.into_iter().chain(model).collect());
        }
    }
    let totals = &report.totals;
    let total = vec![
        Value::text(words.total),
        Value::Empty,
        Value::Usd(totals.official_cost_nano_usd),
        Value::Empty,
        Value::Empty,
        Value::Count(totals.events.events.into()),
        Value::Usd(totals.official_cost_nano_usd),
    ];
    let mut sheet = Sheet::new(columns, &rows, Some(total), words);
    sheet.left_out = left_out;
    let incomplete = report.workspaces.iter().filter(|row| !row.complete).count();
    sheet.note(words.notes.incomplete, incomplete as u64, &[]);
    let stray = &totals.stray;
    sheet.note(words.notes.strays, stray.requests, &[&figures::usd(stray.cost_nano_usd)]);
    sheet.note(words.notes.repeated, totals.repeated_events, &[]);
    sheet
}

fn workspace_model(model: &WorkspaceModelRow, from_usage: bool) -> [Value; 4] {
    let cost = if from_usage { model.usage_nano_usd.unwrap_or_default() } else { model.events.cost_nano_usd };
    [
        Value::text(&model.model),
        Value::Text(units_of(&model.units)),
        Value::Count(model.events.events.into()),
        Value::Usd(cost),
    ]
}

/// Layer 2: a line for each account, user and model.
pub(super) fn tasks(report: &Report, words: &Words, most: usize) -> Sheet {
    let titles = &words.columns;
    let with_gaps = report.totals.sums.without_cost > 0;
    let mut columns = columns([
        (titles.account, Side::Left),
        (titles.user, Side::Right),
        (titles.model, Side::Left),
        (titles.tasks, Side::Right),
        (titles.charged, Side::Right),
        (titles.refunded, Side::Right),
    ]);
    if with_gaps {
        columns.push((Cow::Borrowed(titles.without_cost), Side::Right));
    }
    columns.push((Cow::Borrowed(titles.cost), Side::Right));
    let accounts = report.workspaces.iter().flat_map(|row| &row.accounts);
    let names: BTreeMap<i64, &str> = accounts.map(|account| (account.account_id, &*account.name)).collect();
    let line = |row: &TaskRow| {
        let account = match row.account_id {
            None => words.unknown.to_owned(),
            Some(id) => names.get(&id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})")),
        };
        let sums = &row.sums;
        let first = [Value::Text(account), Value::Id(row.user_id), Value::text(&row.model)];
        let figures = task_figures(
            [
                sums.tasks.into(),
                sums.charged_points.into(),
                sums.refunded_points.into(),
                sums.without_cost.into(),
            ],
            sums.cost_nano_usd.into(),
            with_gaps,
        );
        first.into_iter().chain(figures).collect::<Vec<_>>()
    };
    let shown = heaviest(&report.tasks, most, |row| (row.sums.charged_points, row.sums.cost_nano_usd));
    let rows: Vec<Vec<Value>> = shown.into_iter().map(line).collect();
    let sums = &report.totals.sums;
    let first = [Value::text(words.total), Value::Empty, Value::Empty];
    let figures = task_figures(
        [sums.tasks.into(), sums.charged_points, sums.refunded_points, sums.without_cost.into()],
        sums.cost_nano_usd,
        with_gaps,
    );
    let total = first.into_iter().chain(figures).collect();
    let mut sheet = Sheet::new(columns, &rows, Some(total), words);
    sheet.left_out = report.tasks.len().saturating_sub(rows.len());
    sheet.note(words.notes.without_cost, sums.without_cost, &[]);
    sheet.note(words.notes.pending, report.totals.pending_tasks, &[]);
    sheet.note(words.notes.unjudged, report.totals.unjudged_tasks, &[]);
    sheet
}

fn task_figures(figures: [i128; 4], cost_nano_usd: i128, with_gaps: bool) -> impl Iterator<Item = Value> {
    let shown = if with_gaps { 4 } else { 3 };
    figures.into_iter().take(shown).map(Value::Count).chain([Value::Usd(cost_nano_usd)])
}

/// Layer 3: a line for each user; those that do not agree are never left out for those that do.
pub(super) fn users(report: &Report, words: &Words, most: usize) -> Sheet {
    let titles = &words.columns;
    let columns = columns([
        (titles.user, Side::Right),
        (titles.charged, Side::Right),
        (titles.points, Side::Right),
        (titles.cash, Side::Right),
        (titles.credited, Side::Right),
        (titles.difference, Side::Right),
        (titles.agrees, Side::Right),
    ]);
    let line = |row: &UserRow| {
        vec![
            Value::Id(row.user_id),
            Value::Count(row.charged_points.into()),
            Value::Count(row.points_consumed.into()),
            Value::Count(row.cash_consumed.into()),
            Value::Count(row.credited_points.into()),
            Value::Difference(row.difference_points.into()),
            Value::Agrees(row.ok),
        ]
    };
    let shown = heaviest(&report.users, most, |row| (!row.ok, row.charged_points));
    let rows: Vec<Vec<Value>> = shown.into_iter().map(line).collect();
    let totals = &report.totals.users;
    let consumed = totals.points_consumed.saturating_add(totals.cash_consumed);
    let total = vec![
        Value::text(words.total),
        Value::Count(totals.charged_points),
        Value::Count(totals.points_consumed),
        Value::Count(totals.cash_consumed),
        Value::Count(totals.credited_points),
        Value::Difference(totals.charged_points.saturating_sub(consumed)),
        Value::Agrees(totals.not_ok == 0),
    ];
    let mut sheet = Sheet::new(columns, &rows, Some(total), words);
    sheet.left_out = report.users.len().saturating_sub(rows.len());
    sheet.note(words.notes.not_ok, totals.not_ok, &[&grouped(totals.users)]);
    sheet
}

/// What is left of the charges at both rates, the cost, and what that leaves.
pub(super) fn money(report: &Report, words: &Words) -> Sheet {
    let Rates { points_per_usd, fen_per_usd } = report.rates;
    let (amounts, sums) = (&words.amounts, &report.totals.sums);
    let columns = vec![
        (Cow::Borrowed(amounts.amount), Side::Left),
        (fill(amounts.at_quote, &[&figures::rate(points_per_usd)]).into(), Side::Right),
        (fill(amounts.at_real, &[&figures::rate(fen_per_usd)]).into(), Side::Right),
    ];
    let points = sums.net_points();
    let revenue = [points_per_usd, fen_per_usd].map(|rate| rate.nano_usd(points));
    let margin = revenue.map(|revenue| revenue.saturating_sub(sums.cost_nano_usd));
    let share = |at: usize| percent(margin[at], revenue[at]).unwrap_or_else(|| "-".to_owned());
    let twice = |name: &str, one: Value| vec![Value::text(name), one.clone(), one];
    // Exact costs beside rounded values: each with as many decimals as it has.
    let usd = |nano_usd| Value::Text(figures::usd(nano_usd));
    let both = |name: &str, [quote, real]: [i128; 2]| {
        vec![Value::text(name), usd(rounded(quote)), usd(rounded(real))]
    };
    let rows = [
        twice(amounts.net_points, Value::Count(points)),
        both(amounts.revenue, revenue),
        twice(amounts.cost, usd(sums.cost_nano_usd)),
        both(amounts.margin, margin),
        vec![Value::text(amounts.share), Value::Text(share(0)), Value::Text(share(1))],
        twice(amounts.official, usd(report.totals.official_cost_nano_usd)),
    ];
    Sheet::new(columns, &rows, None, words)
}

/// The days of the period: its tasks, and what their points are worth.
pub(super) fn days(report: &Report, words: &Words, most: usize) -> Sheet {
    let titles = &words.columns;
    let columns = columns([
        (titles.day, Side::Left),
        (titles.tasks, Side::Right),
        (titles.net, Side::Right),
        (titles.quoted, Side::Right),
        (titles.revenue, Side::Right),
        (titles.cost, Side::Right),
        (titles.margin, Side::Right),
    ]);
    let line = |first: String, sums: &TaskSums| {
        let points = sums.net_points();
        vec![
            Value::Text(first),
            Value::Count(sums.tasks.into()),
            Value::Count(points),
            Value::Usd(rounded(report.rates.points_per_usd.nano_usd(points))),
            Value::Usd(rounded(report.rates.fen_per_usd.nano_usd(points))),
            Value::Usd(sums.cost_nano_usd),
            Value::Usd(rounded(sums.margin_nano_usd(&report.rates))),
        ]
    };
    let of_period = |row: &&DayRow| row.sums.tasks > 0;
    let all: Vec<&DayRow> = report.days.iter().filter(of_period).collect();
    let rows: Vec<Vec<Value>> =
        all.iter().take(most).map(|row| line(row.day.to_string(), &row.sums)).collect();
    let total = line(words.total.to_owned(), &report.totals.sums);
    let mut sheet = Sheet::new(columns, &rows, Some(total), words);
    sheet.left_out = all.len().saturating_sub(rows.len());
    sheet
}

/// Every day of the period and what its tasks sum up to, a day without any included; 1,000 days at most.
pub(super) fn every_day(report: &Report) -> Vec<(Day, TaskSums)> {
    let sums: BTreeMap<Day, TaskSums> = report.days.iter().map(|row| (row.day, row.sums)).collect();
    let days = report.last_day.since(report.first_day).clamp(0, 999);
    let days = (0..=days).map(|day| report.first_day.plus(i32::try_from(day).unwrap_or_default()));
    days.map(|day| (day, sums.get(&day).copied().unwrap_or_default())).collect()
}
