//! Reads the tables, in one transaction, and looks at the sums while the run goes on. The same statements on both
//! databases but for times.

use sqlx::{AssertSqlSafe, Connection, Executor, Row as _};

use crate::answer::Entry;
use crate::books::{Account, Attempt, Books, Event, Lease, Points, Request, Row, Task, User};
use crate::call::Purse;
use crate::world::database::{self, Database};

/// Reads everything.
pub(crate) async fn load(database: &Database) -> Result<Books, sqlx::Error> {
    match database {
        Database::Postgres(_, url) => {
            let mut connection = database::postgres(url).await?;
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let books = read(&mut connection, postgres_micros).await?;
            connection.close().await?;
            Ok(books)
        }
        Database::Sqlite(path) => {
            let mut connection = database::sqlite(path, true).await?;
            connection.execute("BEGIN").await?;
            let books = read_sqlite(&mut connection, sqlite_micros).await?;
            connection.close().await?;
            Ok(books)
        }
    }
}

/// What disagrees in one snapshot of the live database.
pub(crate) async fn disagreements(database: &Database) -> Result<Vec<String>, sqlx::Error> {
    let asked = LIVE.map(|(sql, what)| (sql.to_owned(), what));
    answered(database, &asked).await
}

/// Holds and leases whose time was over ten seconds ago, and that nobody has closed.
pub(crate) async fn overdue(database: &Database) -> Result<Vec<String>, sqlx::Error> {
    let moment = match database {
        Database::Postgres(..) => "clock_timestamp() - interval '10 seconds'",
        Database::Sqlite(_) => "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-10 seconds')",
    };
    let asked = [
        (
            format!(
                "SELECT t.task_id FROM ts_fal_tasks AS t WHERE t.hold_expires_at < {moment} AND NOT EXISTS
                 (SELECT 1 FROM scrip_leases AS l WHERE l.task_id = t.task_id AND l.released_at IS NULL)"
            ),
            "a hold whose time is over is open",
        ),
        (
            format!("SELECT lease_id FROM scrip_leases WHERE released_at IS NULL AND expires_at < {moment}"),
            "a lease whose time is over takes a slot",
        ),
    ];
    answered(database, &asked).await
}

/// The rows of all these, asked in one snapshot; each row is something wrong.
async fn answered(database: &Database, asked: &[(String, &str)]) -> Result<Vec<String>, sqlx::Error> {
    let mut wrong = Vec::new();
    macro_rules! ask {
        ($connection:ident) => {
            for (sql, what) in asked {
                let rows = sqlx::query(AssertSqlSafe(sql.as_str())).fetch_all(&mut $connection).await?;
                wrong.extend(rows.iter().map(|row| format!("{what}: {}", row.get::<String, _>(0))));
            }
            $connection.close().await?;
        };
    }
    match database {
        Database::Postgres(_, url) => {
            let mut connection = database::postgres(url).await?;
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            ask!(connection);
        }
        Database::Sqlite(path) => {
            let mut connection = database::sqlite(path, true).await?;
            connection.execute("BEGIN").await?;
            ask!(connection);
        }
    }
    Ok(wrong)
}

/// What must be empty at every moment.
const LIVE: [(&str, &str); 3] = [
    (
        "SELECT 'user ' || u.id FROM ts_users AS u
         LEFT JOIN (SELECT user_id, sum(money * (1 - is_cash)) AS points, sum(money * is_cash) AS cash,
                           count(*) AS entries, max(user_seq) AS newest
                    FROM ts_financial_transactions GROUP BY user_id) AS f ON f.user_id = u.id
         LEFT JOIN (SELECT user_id, sum(points) AS points FROM ts_points_detail GROUP BY user_id) AS d
             ON d.user_id = u.id
         LEFT JOIN (SELECT user_id, sum(held_points) AS points, sum(held_cash) AS cash
                    FROM ts_fal_tasks GROUP BY user_id) AS t ON t.user_id = u.id
         WHERE u.points_balance <> coalesce(f.points, 0) OR u.cash_balance <> coalesce(f.cash, 0)
            OR u.points_balance <> coalesce(d.points, 0) OR u.entry_seq <> coalesce(f.newest, 0)
            OR u.entry_seq <> coalesce(f.entries, 0) OR u.points_held <> coalesce(t.points, 0)
            OR u.cash_held <> coalesce(t.cash, 0)",
        "the purses, their entries and the open holds do not agree",
    ),
    (
        "SELECT a.workspace || ' has ' || count(*) FROM scrip_leases AS l
         JOIN ts_fal_account AS a ON a.id = l.account_id
         WHERE l.released_at IS NULL GROUP BY a.workspace
         HAVING count(*) > (SELECT min(b.max_concurrency) FROM ts_fal_account AS b
                            WHERE b.workspace = a.workspace AND b.state <> 'deleted')",
        "more open leases than the limit",
    ),
    (
        "SELECT 'task ' || t.task_id FROM ts_fal_tasks AS t
         LEFT JOIN (SELECT user_id, order_id,
                           sum(CASE WHEN operation IN ('charge', 'capture') THEN -money ELSE 0 END) AS charged,
                           sum(CASE WHEN operation = 'refund' THEN money ELSE 0 END) AS refunded
                    FROM ts_financial_transactions WHERE operation IN ('charge', 'capture', 'refund')
                    GROUP BY user_id, order_id) AS f ON f.user_id = t.user_id AND f.order_id = t.task_id
         WHERE t.money <> coalesce(f.charged, 0)
            OR t.refunded_points + t.refunded_cash <> coalesce(f.refunded, 0)
            OR coalesce(f.refunded, 0) > coalesce(f.charged, 0)",
        "the charge and the refunds of a task are not those of its entries",
    ),
];

fn postgres_micros(column: &str) -> String {
    format!("CAST(extract(epoch FROM {column}) * 1000000 AS bigint)")
}

fn sqlite_micros(column: &str) -> String {
    format!(
        "(CAST(strftime('%s', substr({column}, 1, 19)) AS bigint) * 1000000 \
          + CAST(substr({column}, 21, 6) AS bigint))"
    )
}

/// One reading, for both drivers: their rows are of different types.
macro_rules! reading {
    ($name:ident, $connection:ty, $hex:literal) => {
        async fn $name(connection: &mut $connection, micros: fn(&str) -> String) -> Result<Books, sqlx::Error> {
            macro_rules! rows {
                ($sql:expr, $row:ident => $made:expr) => {
                    sqlx::query(AssertSqlSafe($sql))
                        .fetch_all(&mut *connection)
                        .await?
                        .iter()
                        .map(|$row| $made)
                        .collect()
                };
            }
            let hash = |column: &str| $hex.replace("{}", column);
            Ok(Books {
                users: rows!(format!(
                    "SELECT id, points_balance, cash_balance, points_held, cash_held, entry_seq, {}
                     FROM ts_users ORDER BY id", hash("chain_hash")),
                    row => User {
                        id: row.get(0), points: row.get(1), cash: row.get(2), points_held: row.get(3),
                        cash_held: row.get(4), seq: row.get(5), head: row.get(6),
                    }),
                tasks: rows!("SELECT task_id, user_id, status, app_name, money, charged_points, charged_cash,
                        refunded_points, refunded_cash, held_points, held_cash, authorized_points,
                        authorized_cash, coalesce(hold_state, ''), input_params, coalesce(reported_cost_nano_usd, -1),
                        coalesce(error, '')
                     FROM ts_fal_tasks ORDER BY task_id".to_owned(),
                    row => Task {
                        task: row.get(0), user: row.get(1), status: row.get(2), app: row.get(3),
                        money: row.get(4), charged: (row.get(5), row.get(6)),
                        refunded: (row.get(7), row.get(8)), held: (row.get(9), row.get(10)),
                        authorized: (row.get(11), row.get(12)), hold: row.get(13), input: row.get(14), cost: row.get(15), error: row.get(16),
                    }),
                attempts: rows!("SELECT task_id, CAST(attempt AS bigint), online_task_id
                     FROM scrip_task_attempts ORDER BY task_id, attempt".to_owned(),
                    row => Attempt { task: row.get(0), attempt: row.get(1), online: row.get(2) }),
                ledger: rows!(format!(
                    "SELECT user_id, user_seq, CAST(is_cash AS bigint), money, balance_before, balance_after,
                        operation, source_type, order_id, title, {}, coalesce(request_id, ''), {},
                        CAST(transaction_type AS bigint)
                     FROM ts_financial_transactions ORDER BY user_id, user_seq",
                    micros("\"time\""), hash("entry_hash")),
                    row => Row {
                        entry: Entry {
                            user: row.get(0), seq: row.get(1),
                            purse: if row.get::<i64, _>(2) == 1 { Purse::Cash } else { Purse::Points },
                            amount: row.get(3), before: row.get(4), after: row.get(5), operation: row.get(6),
                            source: row.get(7), order: row.get(8), title: row.get(9), at: row.get(10),
                        },
                        request: row.get(11), hash: row.get(12), kind: row.get(13),
                    }),
                points: rows!(format!(
                    "SELECT user_id, user_seq, points, balance_before, balance_after, order_id, source_type, {}
                     FROM ts_points_detail ORDER BY user_id, user_seq", micros("created_at")),
                    row => Points {
                        user: row.get(0), seq: row.get(1), points: row.get(2), before: row.get(3),
                        after: row.get(4), order: row.get(5), source: row.get(6), at: row.get(7),
                    }),
                requests: rows!("SELECT user_id, request_id, method, CAST(coalesce(entry_seq, 0) AS bigint),
                        CAST(coalesce(entry_count, 0) AS bigint), coalesce(refusal, '')
                     FROM scrip_requests ORDER BY user_id, request_id".to_owned(),
                    row => Request {
                        user: row.get(0), request: row.get(1), method: row.get(2), first: row.get(3),
                        count: row.get(4), refusal: row.get(5),
                    }),
                leases: rows!(format!(
                    "SELECT lease_id, account_id, key_id, runner_id, task_id, fence, {},
                        coalesce({}, 9223372036854775807)
                     FROM scrip_leases ORDER BY task_id, fence", micros("acquired_at"), micros("released_at")),
                    row => Lease {
                        lease: row.get(0), account: row.get(1), key: row.get(2), runner: row.get(3),
                        task: row.get(4), fence: row.get(5), acquired: row.get(6), released: row.get(7),
                    }),
                accounts: rows!("SELECT id, workspace, CAST(max_concurrency AS bigint), use_cnt
                     FROM ts_fal_account ORDER BY id".to_owned(),
                    row => Account {
                        id: row.get(0), workspace: row.get(1), limit: row.get(2), uses: row.get(3),
                    }),
                events: rows!(format!(
                    "SELECT workspace, request_id, {} FROM scrip_billing_events
                     ORDER BY workspace, request_id, billed_at", micros("billed_at")),
                    row => Event { workspace: row.get(0), request: row.get(1), at: row.get(2) }),
            })
        }
    };
}

reading!(read, sqlx::PgConnection, "encode({}, 'hex')");
reading!(read_sqlite, sqlx::SqliteConnection, "lower(hex({}))");
