//! Changes of one account: `scrip keys set`, `enable`, `disable`, `drain`, `delete`; and the way that all changes take.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::super::failure::{Failure, in_words};
use super::super::keyring::{self, Found};
use super::super::output::Out;
use super::super::session::{Prepare, Session, close, open};
use super::account::Shown;
use super::{misplaced, usd};
use crate::config::{DatabaseArgs, DatabaseUrl, Format, FormatArgs, KekArgs};
use crate::engine::bounds;
use crate::keypool::{
    AccountChanges, AccountId, AccountStatus, AllowList, Command, Described, Done, NewKey, Purpose,
};
use crate::ledger::limits::{Checks, LINE_CHARS};
use crate::ledger::{Limits, Micros, Rejection, Text};
use crate::store::Store;
use crate::vault::{FalKey, Keyring};

/// Seals a key that was read.
pub(super) type Seal<'a> = &'a dyn Fn(FalKey, Purpose) -> Result<NewKey, Rejection>;

/// An opened database, before anything is changed.
pub(super) struct Desk {
    store: Arc<dyn Store>,
    found: Option<Found>,
}

/// What a change came to.
pub(super) struct Told {
    described: Described,
    now: Micros,
    /// The key file that was made for it.
    created: Option<PathBuf>,
}

impl Desk {
    /// For changes without secrets.
    pub(super) async fn open(database: &DatabaseUrl) -> Result<Self, Failure> {
        Ok(Self { store: open(database, Prepare::Nothing).await?, found: None })
    }

    /// For secrets: refused where they could not be stored.
    pub(super) async fn open_with_keys(database: &DatabaseUrl, keks: &KekArgs) -> Result<Self, Failure> {
        let configured = keyring::configured(keks)?;
        let store = open(database, Prepare::Nothing).await?;
        match keyring::find(configured, database, &*store.reader()).await? {
            Found::Nowhere => Err(keyring::none_configured()),
            found => Ok(Self { store, found: Some(found) }),
        }
    }

    /// Refused where the keyring is another database's.
    pub(super) async fn check_fits(&self) -> Result<(), Failure> {
        match &self.found {
            Some(Found::Configured(keyring) | Found::Beside(keyring, _)) => {
                keyring::check_fits(keyring, &*self.store.reader()).await
            }
            Some(Found::Absent(_) | Found::Nowhere) | None => Ok(()),
        }
    }

    /// Refused, before anybody is asked for anything, where there is no such account; its name otherwise.
    pub(super) async fn check_known(&self, account_id: AccountId) -> Result<Text, Failure> {
        let found = self.store.reader().accounts(&[account_id]).await?;
        let account = found.first().ok_or_else(|| unknown(account_id))?;
        Ok(Arc::clone(&account.account.name))
    }

    /// Has a command about one account decided and stored.
    pub(super) async fn submit(
        self,
        request_id: &str,
        command: impl FnOnce(Seal<'_>) -> Result<Command, Rejection>,
    ) -> Result<Told, Failure> {
        let (keyring, created) = match self.found {
            Some(found) => found.or_create()?,
            None => (Keyring::default(), None),
        };
        let session = Session::with_keyring(&*self.store, keyring);
        let told = ask(&session, request_id, command).await;
        session.end().await;
        close(&*self.store).await;
        told.map(|(described, now)| Told { described, now, created })
    }
}

async fn ask(
    session: &Session,
    request_id: &str,
    command: impl FnOnce(Seal<'_>) -> Result<Command, Rejection>,
) -> Result<(Described, Micros), Failure> {
    let handle = session.handle();
    let command = command(&|key, purpose| handle.seal(key, purpose)).map_err(malformed)?;
    let answer = session.keys(command, request_id).await?;
    let Done::Account(described) = answer.done else {
        return Err(Failure::could_not_run("internal error: the answer is not about an account"));
    };
    Ok((*described, handle.now().await?))
}

impl Told {
    /// Shows the account; `done` says in the past tense what was done to it.
    pub(super) fn print(&self, out: &mut Out, format: Format, done: &str) -> Result<ExitCode, Failure> {
        if let Some(path) = &self.created {
            eprintln!("{}", keyring::created(path));
        }
        let shown = Shown::described(&self.described, self.now);
        if format == Format::Table {
            let line = format!("{} {done}", shown.title());
            if self.described.replayed {
                out.line(format!("already done: {line}; nothing was changed now"))?;
            } else {
                out.line(out.paint().green(&line))?;
            }
            out.line("")?;
        }
        shown.print(out, format)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A refusal for an operator.
pub(super) fn malformed(rejection: Rejection) -> Failure {
    Failure::Refused(in_words(&rejection))
}

/// The refusal of an account that is not there.
pub(super) fn unknown(account_id: AccountId) -> Failure {
    malformed(Rejection::AccountNotFound(account_id))
}

/// A reason for the audit log.
pub(super) fn reason(text: &str) -> Result<Text, Failure> {
    misplaced::refuse([("--reason", text)])?;
    let limits = Limits::default();
    let mut checks = Checks::new(&limits);
    checks.line("reason", text, LINE_CHARS);
    checks.take().map_err(malformed)?;
    Ok(Text::from(text))
}

/// Options of enable, disable and drain, which say in their own words what they do.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The account: `scrip keys list` shows it
    #[arg(value_name = "ACCOUNT_ID", value_parser = clap::value_parser!(i64).range(1..))]
    account_id: AccountId,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn status(
    args: StatusArgs,
    status: AccountStatus,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let reason = reason(&args.reason)?;
    let desk = Desk::open(&args.database.database_url).await?;
    let changes = AccountChanges { status: Some(status), ..AccountChanges::default() };
    let command = Command::Update { account_id: args.account_id, changes, reason };
    let told = desk.submit("", |_| Ok(command)).await?;
    told.print(out, args.format.format, &format!("is {status}"))
}

/// Take an account out for good
///
/// Erases its secrets and takes it off the lists. Live leases may still be released; tasks, leases and the audit log
/// keep its key ids. Asks before it does so.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip keys delete 7\n  \
    scrip keys delete 7 --yes --reason 'closed at fal'")]
pub(super) struct DeleteArgs {
    /// The account: `scrip keys list` shows it
    #[arg(value_name = "ACCOUNT_ID", value_parser = clap::value_parser!(i64).range(1..))]
    account_id: AccountId,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn delete(args: DeleteArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let reason = reason(&args.reason)?;
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !args.yes && !can_ask {
        return Err(Failure::could_not_run(
            "delete asks before it acts, and here is nobody to ask: add --yes",
        ));
    }
    let desk = Desk::open(&args.database.database_url).await?;
    let name = desk.check_known(args.account_id).await?;
    if !args.yes && !agreed(args.account_id, &name)? {
        return Err(Failure::Refused("not agreed: nothing was done".to_owned()));
    }
    let command = Command::Delete { account_id: args.account_id, reason };
    let told = desk.submit("", |_| Ok(command)).await?;
    told.print(out, args.format.format, "was deleted, and its secrets erased")
}

/// Asks on the terminal; anything but a clear yes is a no.
fn agreed(account_id: AccountId, name: &str) -> Result<bool, Failure> {
    let mut stderr = io::stderr();
    let name = super::super::output::plain(name);
    write!(stderr, "Delete account {account_id} ({name}) and erase its secrets? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Change what an account may be used for
///
/// Changes the fields that are given and leaves the others. A lower --max-concurrency takes no lease back.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("change").required(true).multiple(true),
    after_help = "Examples:\n  \
    scrip keys set 7 --max-concurrency 20\n  \
    scrip keys set 7 --allow-app fal-ai/flux/* --allow-app fal-ai/kokoro\n  \
    scrip keys set 7 --balance-usd 100 --reason 'topped up'"
)]
pub(super) struct SetArgs {
    /// The account: `scrip keys list` shows it
    #[arg(value_name = "ACCOUNT_ID", value_parser = clap::value_parser!(i64).range(1..))]
    account_id: AccountId,

    /// Its name
    #[arg(long, value_name = "NAME", group = "change")]
    name: Option<String>,

    /// The fal workspace it belongs to; '' for one of its own
    #[arg(long, value_name = "WORKSPACE", group = "change")]
    workspace: Option<String>,

    /// The most jobs its workspace may run at once: 1 to 10000
    #[arg(long, value_name = "N", group = "change", allow_negative_numbers = true)]
    max_concurrency: Option<i32>,

    /// Its tier: 0 is tried first
    #[arg(long, value_name = "N", group = "change", allow_negative_numbers = true)]
    priority: Option<i32>,

    /// How much of the work it shall carry, in percent of its share by limit: 1 to 10000
    #[arg(long, value_name = "PERCENT", group = "change", allow_negative_numbers = true)]
    weight: Option<i32>,

    /// A fal model it may run, or a beginning and *; repeat it for several. These replace those it has
    #[arg(long = "allow-app", value_name = "APP", group = "change")]
    allow_apps: Vec<String>,

    /// Let it run all models
    #[arg(long, group = "change", conflicts_with = "allow_apps")]
    any_app: bool,

    /// Notes; '' for none
    #[arg(long, value_name = "TEXT", group = "change")]
    remark: Option<String>,

    /// Its workspace's credit at fal in US dollars. Where it grew, a locked account is tried again at once
    #[arg(long, value_name = "USD", group = "change", value_parser = usd::parse, allow_negative_numbers = true)]
    balance_usd: Option<i64>,

    /// Forget what is known of its workspace's credit
    #[arg(long, group = "change", conflicts_with = "balance_usd")]
    balance_unknown: bool,

    /// Take its billing key away: its one key then serves for both
    #[arg(long, group = "change")]
    no_billing_key: bool,

    /// Why, for the audit log
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl SetArgs {
    fn changes(&self) -> Result<AccountChanges, Failure> {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        let texts = [text(&self.name), text(&self.workspace), text(&self.remark)];
        misplaced::refuse(
            ["--name", "--workspace", "--remark"].into_iter().zip(texts.iter().map(String::as_str)),
        )?;
        let limits = Limits::default();
        let mut checks = Checks::new(&limits);
        let apps = (!self.allow_apps.is_empty()).then(|| bounds::apps(self.allow_apps.clone(), &mut checks));
        let changes = AccountChanges {
            name: self.name.clone().map(|name| bounds::name(name, &mut checks)),
            workspace: self.workspace.clone().map(|workspace| bounds::workspace(workspace, &mut checks)),
            max_concurrency: self.max_concurrency.map(|jobs| bounds::concurrency(jobs, &mut checks)),
            priority: self.priority.map(|priority| bounds::priority(priority, &mut checks)),
            weight: self.weight.map(|weight| bounds::weight(weight, &mut checks)),
            allowed_apps: apps.or_else(|| self.any_app.then(AllowList::default)),
            remark: self.remark.clone().map(|remark| bounds::remark(remark, &mut checks)),
            balance_nano_usd: self.balance_usd.map(Some).or_else(|| self.balance_unknown.then_some(None)),
            billing_key: self.no_billing_key.then_some(None),
            ..AccountChanges::default()
        };
        checks.take().map_err(malformed)?;
        Ok(changes)
    }
}

pub(super) async fn set(args: SetArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let changes = args.changes()?;
    let reason = reason(&args.reason)?;
    let desk = Desk::open(&args.database.database_url).await?;
    let command = Command::Update { account_id: args.account_id, changes, reason };
    let told = desk.submit("", |_| Ok(command)).await?;
    told.print(out, args.format.format, "was changed")
}
