//! The real binary as an operator uses it, on SQLite: what it prints, and with which exit code.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use scrip::clock::System;
use scrip::engine::{Engine, Options};
use scrip::ledger::{self, Funding, Text, command::Charge};
use scrip::store::sqlite;
use sqlx::{Connection, Executor, SqliteConnection};
use support::desk::Desk;
use support::server::Launch;

impl Desk {
    /// With a migrated one, and 1000 points for user 1.
    fn new() -> Desk {
        let desk = Desk::empty();
        assert_eq!(desk.run("migrate").code, 0);
        let credited = desk.run("credit 1 1000 --purse points --request-id opening");
        assert_eq!(credited.code, 0, "{credited:?}");
        desk
    }

    /// Charges user 1 for tasks, as a server would.
    async fn charge(&self, tasks: &[(&str, i64)]) {
        let options = sqlite::Options::new(System::clock());
        let store = sqlite::open(&self.url(), options).await.unwrap();
        let engine = Engine::start(&*store, System::ids(), Options::default());
        for &(task_id, amount) in tasks {
            let charge = ledger::Command::Charge(Charge {
                user_id: 1,
                task_id: Text::from(task_id),
                amount,
                app_name: Text::from("fal-ai/flux/schnell"),
                task_type: Text::from(""),
                title: Text::from("一张图"),
                input_params: Text::from(""),
                funding: Funding::PointsThenCash,
                deployment_uuid: Text::from(""),
                pay_type: 0,
                select_key: None,
            });
            engine.handle().submit(charge, "", &Text::from("test"), None).await.unwrap();
        }
        engine.drain().await;
    }

    /// Changes rows behind the ledger's back, triggers and all.
    async fn tamper(&self, sql: &'static str) {
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        let triggers: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        for trigger in triggers {
            let drop = sqlx::AssertSqlSafe(format!("DROP TRIGGER \"{trigger}\""));
            connection.execute(drop).await.unwrap();
        }
        let done = connection.execute(sql).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql}");
        connection.close().await.unwrap();
    }
}

#[test]
fn a_credit_is_made_once_and_shows_in_the_balance() {
    let desk = Desk::new();
    let line = "credit 1 250 --purse cash --source agent_revenue --order-id o-7 --request-id r";
    for replayed in [false, true, true] {
        let answer = &desk.json(line)[0];
        assert_eq!(answer["replayed"], replayed);
        assert_eq!(answer["balance"]["total"], 1250);
        assert_eq!(answer["entries"][0]["order_id"], "o-7");
    }
    assert!(desk.run(line).out.starts_with("already done: "));
    let balance = &desk.json("balance 1")[0];
    assert_eq!(
        (&balance["points"], &balance["cash"], &balance["available"]),
        (&1000.into(), &250.into(), &1250.into())
    );
    desk.run("credit 1 251 --purse cash --request-id r").refused_with(1, &["request id r", "amount"]);
    desk.run("credit 1 5 --purse points --source agent_revenue --request-id s").refused_with(1, &["purse"]);
    assert_eq!(desk.run("credit 1 5 --purse points").code, 2, "an id is required");
    assert!(desk.run("verify").out.starts_with("clean; checked: 1 users, 2 entries"));
}

#[test]
fn a_past_balance_is_that_of_its_moment() {
    let desk = Desk::new();
    let past = &desk.json("balance 1 --as-of 2001-01-01T00:00:00Z")[0];
    assert_eq!((&past["points"], &past["entry_seq"]), (&0.into(), &0.into()));
    desk.run("balance 1 --as-of 9999-01-01T00:00:00Z").refused_with(1, &["future"]);
    desk.run("balance 2").refused_with(1, &["there is no user 2"]);
    assert_eq!(desk.run("balance 1 --as-of 2001-01-01").code, 2);
}

#[tokio::test]
async fn tables_line_up_under_wide_characters() {
    let desk = Desk::new();
    let said = desk.run_words(&[
        "credit",
        "1",
        "7",
        "--purse",
        "points",
        "--title",
        "新春礼物",
        "--request-id",
        "new-year",
    ]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[1].ends_with("AFTER  TITLE"), "{said:?}");
    assert!(lines[2].ends_with("1007  新春礼物"), "{said:?}");
    assert!(!said.out.contains('\x1b'), "no colour where there is no terminal");
}

#[tokio::test]
async fn verify_names_what_was_tampered_with() {
    let desk = Desk::new();
    desk.charge(&[("job-1", 30)]).await;
    assert_eq!(desk.run("verify").code, 0);
    desk.tamper("UPDATE ts_users SET points_balance = points_balance + 1 WHERE id = 1").await;
    desk.tamper("UPDATE ts_points_detail SET title = 'x' WHERE user_seq = 2").await;

    let said = desk.run("verify");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.starts_with("TABLE"), "{said:?}");
    assert!(said.out.lines().last().unwrap().starts_with("3 disagreements; checked: "), "{said:?}");
    let line = said.out.lines().find(|line| line.starts_with("ts_users")).unwrap();
    for word in ["user 1", "points_balance", "970", "971"] {
        assert!(line.contains(word), "{word} in {line}");
    }

    let found = desk.json("verify");
    let (counts, found) = found.split_last().unwrap();
    assert_eq!((&counts["disagreements"], found.len()), (&3.into(), 3));
    let title = found.iter().find(|found| found["table"] == "ts_points_detail").unwrap();
    assert_eq!((&title["key"], &title["what"]), (&"user 1 seq 2".into(), &"title".into()));
    assert_eq!((&title["expected"], &title["found"]), (&"一张图".into(), &"x".into()));
}

#[tokio::test]
async fn a_refund_goes_back_once() {
    let desk = Desk::new();
    desk.charge(&[("job-1", 30), ("job-2", 100)]).await;
    let part = "refund job-2 --amount 40 --request-id ticket-1 --reason goodwill";
    assert_eq!(desk.json(part)[0]["balance"]["points"], 910);
    assert_eq!(desk.json(part)[0]["replayed"], true);
    assert_eq!(desk.run("refund job-2 --amount 40").code, 2, "a part needs an id");
    desk.run("refund job-2 --amount 61 --request-id ticket-2")
        .refused_with(1, &["100 were charged", "40 refunded"]);
    desk.run("refund job-2 --user 7").refused_with(1, &["there is no task job-2"]);
    desk.run("refund nobodys").refused_with(1, &["there is no task nobodys"]);
    let all = desk.run("refund job-2");
    assert!(all.out.starts_with("60 points of task job-2 were refunded to user 1"), "{all:?}");
    assert_eq!(desk.run("refund job-2").code, 0, "repeating it is safe");
    assert_eq!(desk.json("balance 1")[0]["points"], 970);
    assert_eq!(desk.run("verify").code, 0);
}

#[tokio::test]
async fn stuck_tasks_are_listed_and_failed_with_consent() {
    let desk = Desk::new();
    desk.charge(&[("job-1", 30), ("job-2", 100), ("free", 0)]).await;
    assert_eq!(desk.run("tasks stuck").out, "no task is stuck\n", "none is a day old");
    let listed = desk.json("tasks stuck --older-than 0s");
    let ids: Vec<&str> = listed.iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["job-1", "job-2"], "oldest first, charged ones alone");
    let some = desk.run("tasks stuck --older-than 0s --limit 1");
    assert!(some.out.contains("job-1") && !some.out.contains("job-2"), "{some:?}");
    assert!(some.err.contains("there are more"), "{some:?}");

    desk.run("tasks stuck --older-than 0s --fail").refused_with(2, &["--yes"]);
    assert_eq!(desk.json("balance 1")[0]["points"], 870, "nothing was done unasked");
    let failed = desk.run("tasks stuck --older-than 0s --fail --yes");
    assert_eq!(failed.code, 0, "{failed:?}");
    for line in ["failed job-1: 30 points refunded to user 1", "2 failed, 130 points refunded, 0 refused"] {
        assert!(failed.out.lines().any(|found| found == line), "{line} in {failed:?}");
    }
    assert_eq!(desk.json("balance 1")[0]["points"], 1000);
    assert!(desk.json("tasks stuck --older-than 0s").is_empty());
    assert_eq!(desk.run("verify").code, 0);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_one_clear_line() {
    let desk = Desk::empty();
    std::fs::write(desk.path("garbage.db"), [7_u8; 9000]).unwrap();
    std::fs::create_dir(desk.path("folder.db")).unwrap();
    let foreign = format!("sqlite://{}?mode=rwc", desk.path("foreign.db").display());
    let mut connection = SqliteConnection::connect(&foreign).await.unwrap();
    connection.execute("CREATE TABLE ts_users (id INTEGER)").await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(desk.path("foreign.db")).unwrap();

    for command in [
        "serve --listen 127.0.0.1:0",
        "migrate",
        "verify",
        "balance 1",
        "credit 1 1 --purse points --request-id a",
    ] {
        let on = |url: &str| desk.run(&format!("{command} --database-url {url}"));
        on("sqlite://garbage.db").refused_with(2, &["garbage.db", "not a SQLite database"]);
        on("sqlite://foreign.db").refused_with(2, &["foreign.db", "ts_users"]);
        on("sqlite://folder.db").refused_with(2, &["folder.db"]);
        on("sqlite://no/such.db").refused_with(2, &["no", "does not exist"]);
        on("mysql://u@db/x").refused_with(2, &["database-url", "mysql", "sqlite://scrip.db"]);
        on("scrip.db").refused_with(2, &["database-url", "sqlite://PATH"]);
    }
    assert_eq!(std::fs::read(desk.path("foreign.db")).unwrap(), before, "left as it was");
    desk.run("balance 1").refused_with(2, &["scrip.db", "`scrip migrate`"]);
    desk.run("serve --no-migrate --listen 127.0.0.1:0").refused_with(2, &["scrip.db"]);
    assert!(!desk.path("scrip.db").exists());
}

#[test]
fn a_read_only_database_is_one_clear_line() {
    let desk = Desk::new();
    let file = desk.path("scrip.db");
    let mut rights = std::fs::metadata(&file).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(&file, rights).unwrap();
    desk.run("serve --listen 127.0.0.1:0").refused_with(2, &["read-only"]);
    desk.run("credit 1 1 --purse points --request-id a").refused_with(2, &["read-only"]);
}

/// The keys come from a file or from the environment, and nothing repeats them.
#[test]
fn keys_that_cannot_be_used_stop_the_server_before_it_touches_anything() {
    let digits = "5ec2e7".repeat(10);
    let mut desk = Desk::empty();
    desk.run("serve --kek-file none.kek").refused_with(2, &["kek-file", "none.kek", "no such file"]);
    std::fs::write(desk.path("open.kek"), format!("k1:{digits}0000")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(desk.path("open.kek"), mode).unwrap();
    std::fs::write(desk.path("my.toml"), "kek_file = 'open.kek'").unwrap();
    desk.run("serve --config my.toml").refused_with(2, &["open.kek", "0644", "chmod 600"]);
    std::fs::write(desk.path("my.toml"), format!("kek = 'k1:{digits}0000'")).unwrap();
    let in_the_file = desk.run("serve --config my.toml");
    in_the_file.refused_with(2, &["unknown key \"kek\"", "kek_file"]);

    desk.set("SCRIP_KEK", &format!("k1:{digits}"));
    let short = desk.run("serve");
    short.refused_with(2, &["SCRIP_KEK: entry 1", "64 hex digits"]);
    let both = desk.run("serve --kek-file open.kek");
    both.refused_with(2, &["kek-file and SCRIP_KEK", "keep one"]);
    let help = desk.run("serve --help");
    assert!(help.code == 0 && help.out.contains("SCRIP_KEK"), "{help:?}");
    for said in [in_the_file, short, both, help] {
        assert!(!format!("{said:?}").contains("5ec2e7"), "{said:?}");
    }
    assert!(!desk.path("scrip.db").exists(), "nothing was touched");
}

/// `balance` names the database that it does not find: that tells which layer won.
#[test]
fn flag_environment_file_default_in_this_order() {
    let mut desk = Desk::empty();
    let named = |desk: &Desk, line: &str, name: &str| desk.run(line).refused_with(2, &[name]);
    named(&desk, "balance 1", "scrip.db");
    std::fs::write(desk.path("my.toml"), "database_url = 'sqlite://file.db'\nlisten = '127.0.0.1:1'\n")
        .unwrap();
    named(&desk, "balance 1 --config my.toml", "file.db");
    desk.set("SCRIP_CONFIG", "my.toml");
    named(&desk, "balance 1", "file.db");
    desk.set("SCRIP_DATABASE_URL", "sqlite://variable.db");
    named(&desk, "balance 1", "variable.db");
    named(&desk, "balance 1 --database-url sqlite://flag.db", "flag.db");
}

#[test]
fn wrong_options_name_their_place() {
    let mut desk = Desk::empty();
    for (toml, words) in [
        ("databse_url = 'x'", &["wrong.toml", "\"databse_url\"", "did you mean database_url?"][..]),
        ("drain_timeout = 'soon'", &["wrong.toml", "drain_timeout", "\"soon\"", "30s"]),
        ("lanes = 0", &["wrong.toml", "lanes"]),
        ("listen = 'here'", &["wrong.toml", "listen", "127.0.0.1:50051"]),
        ("log_format = 'loud'", &["wrong.toml", "log_format", "pretty, json"]),
        ("log = ", &["wrong.toml, line 1", "TOML"]),
    ] {
        std::fs::write(desk.path("wrong.toml"), toml).unwrap();
        desk.run("serve --config wrong.toml").refused_with(2, words);
    }
    desk.run("serve --config none.toml").refused_with(2, &["none.toml"]);
    desk.run("serve --log nonsense=nonsense").refused_with(2, &["log: ", "nonsense"]);
    desk.run("serve --default-hold-ttl 48h --max-hold-ttl 24h")
        .refused_with(2, &["default-hold-ttl", "max-hold-ttl"]);
    desk.run("serve --reconcile-every 32d").refused_with(2, &["reconcile-every", "31d or less"]);
    let late = desk.run("tokens create late --role biller --expires-in 0s");
    assert!(late.code == 2 && late.err.contains("of no use"), "{late:?}");
    desk.run("serve --lanes 2").refused_with(2, &["lanes", "SQLite"]);
    desk.set("SCRIP_DRAIN_TIMEOUT", "30");
    desk.run("serve").refused_with(2, &["SCRIP_DRAIN_TIMEOUT", "\"30\"", "unit"]);
    assert!(!desk.path("scrip.db").exists(), "nothing was touched");
}

#[test]
fn no_output_shows_the_password() {
    let mut desk = Desk::empty();
    // Nothing listens at port 1.
    desk.set("SCRIP_DATABASE_URL", "postgres://teller:s3cret@127.0.0.1:1/scrip?sslpassword=s3cret");
    desk.set("SCRIP_LISTEN", "127.0.0.1:0");
    for line in
        ["serve", "serve --log trace", "migrate", "verify", "balance 1 --log debug", "serve --help", "--help"]
    {
        let said = desk.run(line);
        assert!(!said.out.contains("s3cret") && !said.err.contains("s3cret"), "{line}: {said:?}");
    }
    let refused = desk.run("serve");
    refused.refused_with(2, &["database"]);
    assert!(refused.out.is_empty(), "it says that it listens only once it serves: {refused:?}");
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let desk = Desk::empty();
    for url in
        ["postgres://teller:s3cret@127.0.0.1:1/scrip", "postgres://127.0.0.1:1/scrip?user=u&password=s3cret"]
    {
        for command in ["serve", "migrate", "verify", "balance 1", "tokens list"] {
            let refused = desk.run(&format!("{command} --database-url {url}"));
            refused.refused_with(2, &["--database-url", "SCRIP_DATABASE_URL", "PGPASSWORD"]);
            assert!(!refused.err.contains("s3cret"), "{refused:?}");
        }
    }
}

#[test]
fn the_version_says_what_a_bug_report_needs() {
    let desk = Desk::empty();
    for line in ["version", "--version"] {
        let said = desk.run(line);
        assert_eq!(said.code, 0);
        let begins = format!("scrip {}\nschema ", env!("CARGO_PKG_VERSION"));
        assert!(said.out.starts_with(&begins) && said.out.contains("SQLite 3."), "{said:?}");
    }
}

/// The lines that a fresh server prints, in full.
fn printed(process: &support::server::ScripProcess) -> String {
    process.logs()
}

#[tokio::test]
async fn commands_work_beside_a_running_server() {
    let desk = Desk::empty();
    let mut server = Launch::new(&desk.url()).start().await;
    let addr = server.addr();
    support::eventually("the three examples are printed", || async {
        printed(&server).matches("grpcurl -plaintext -d '").count() == 3
    })
    .await;
    let logs = printed(&server);
    assert!(logs.contains(&format!("{addr} scrip.v1.BillingService/Charge")), "{logs}");
    assert!(logs.contains("database: SQLite "), "{logs}");
    // A thread of its own writes the log.
    support::eventually("the log of a server without a terminal is JSON", || async {
        printed(&server).contains("\"message\":\"serving\"")
    })
    .await;

    let healthy = desk.run(&format!("health --addr {addr}"));
    assert_eq!((healthy.code, healthy.out.as_str()), (0, "SERVING\n"), "{healthy:?}");
    assert_eq!(desk.run("credit 1 500 --purse points --request-id a").code, 0);
    let bench = desk.run(&format!("bench --addr {addr} --users 3 --in-flight 8 --seconds 1"));
    assert_eq!(bench.code, 0, "{bench:?}");
    assert!(bench.out.contains("sum        exact"), "{bench:?}");
    let batches = desk.run(&format!("bench --addr {addr} --users 1 --in-flight 2 --seconds 1 --batch 50"));
    assert_eq!(batches.code, 0, "{batches:?}");
    let taken = desk.run(&format!("serve --listen {addr} --database-url sqlite://second.db"));
    taken.refused_with(2, &["address in use"]);
    assert!(!Path::new(&desk.path("second.db")).exists(), "the second server touched no database");
    assert_eq!(desk.run("verify").code, 0);

    server.sigterm().await;
    assert!(server.wait().await.success());
    support::eventually("it says that it stopped", || async { printed(&server).contains("\nstopped\n") })
        .await;
    desk.run(&format!("health --addr {addr}")).refused_with(1, &["no server answers"]);
    assert_eq!(desk.run("verify").code, 0);
}

#[tokio::test]
async fn what_a_stopped_server_leaves_is_whole_in_the_one_file() {
    let desk = Desk::empty();
    let mut server = Launch::new(&desk.url()).start().await;
    assert_eq!(desk.run("credit 1 500 --purse points --request-id a").code, 0);
    server.sigterm().await;
    assert!(server.wait().await.success());
    std::fs::copy(desk.path("scrip.db"), desk.path("copy.db")).unwrap();
    let copied = desk.run("balance 1 --database-url sqlite://copy.db");
    assert!(copied.out.contains("500"), "{copied:?}");

    assert_eq!(desk.run("credit 1 100 --purse points --request-id b").code, 0);
    std::fs::copy(desk.path("scrip.db"), desk.path("later.db")).unwrap();
    let copied = desk.run("balance 1 --database-url sqlite://later.db");
    assert!(copied.out.contains("600"), "a command that wrote leaves it so as well: {copied:?}");
}

#[tokio::test]
async fn the_same_commands_work_on_postgresql() {
    let Some(cluster) = support::postgres::shared() else { return };
    let mut desk = Desk::empty();
    desk.set("SCRIP_DATABASE_URL", &cluster.fresh_database().await);
    desk.run("balance 1").refused_with(2, &["`scrip migrate`"]);
    let migrated = desk.run("migrate");
    assert!(migrated.out.starts_with("applied 0001_ledger\napplied 0002_keypool\n"), "{migrated:?}");
    assert!(desk.run("migrate").out.ends_with(": already up to date, at schema 6\n"));
    assert_eq!(desk.run("credit 1 1000 --purse points --request-id opening").code, 0);
    assert_eq!(desk.json("balance 1")[0]["points"], 1000);
    desk.run("refund nobodys").refused_with(1, &["there is no task nobodys"]);
    assert_eq!(desk.run("tasks stuck").out, "no task is stuck\n");
    assert_eq!(desk.run("verify").code, 0);
}
