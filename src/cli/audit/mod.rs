//! `scrip audit`: a reconciliation from its question to its report, in the operator's own process.
//!
//! Phases: the period is read and the output's place looked at → the database is opened, an engine and reconciliation
//! started on it → the run is begun and waited for (a server that works at runs may do it as well) → its report is
//! written → what could not be fetched is said.

mod interrupt;
pub(super) mod period;
pub(super) mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use uuid::Uuid;

use self::interrupt::Interrupts;
use self::period::When;
use self::show::{Lang, Target};
use super::failure::{COULD_NOT_RUN, FINDINGS, Failure};
use super::keyring;
use super::output::Out;
use super::session::{Prepare, Session, close, open};
use crate::clock::System;
use crate::config::{AuditArgs, DatabaseArgs, DatabaseUrl, FalArgs, KekArgs, ThresholdArgs};
use crate::keypool::AccountId;
use crate::ledger::{Text, UserId};
use crate::reconcile::{COMMAND, Handle, Options, Reconciler, RunState, Settings, Start, Works};
use crate::store::Store;
use crate::{fal, report};

/// Compare what fal billed, what the tasks say and what the users paid
///
/// Fetches a period's bill from fal, matches it with the tasks request by request, applies the rules A1 to A8 and B1 to
/// B7, and prints three layers and what was found, the gravest first. It never moves a user's money. Opens the database
/// itself; a server need not run, and may.
///
/// What fal has not billed within --billing-lag is not judged. An account that cannot be asked is named, and the others
/// are audited all the same: the exit code is then 2.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 no findings · 1 findings · 2 could not run, or not with all evidence · 130, 143 stopped by SIGINT,\n\
    SIGTERM: the run is then ended as FAILED, and no server goes on with it.\n\n\
    Examples:\n  \
    scrip audit                                            # today so far\n  \
    scrip audit --start 2026-02-01 --end 2026-02-28        # February, its last day included\n  \
    scrip audit --start 2026-02-01 --format html --output february.html\n  \
    scrip audit --ids 1,2 --user-ids 42 --lang zh\n  \
    scrip audit --start 2026-02-01 --end 2026-02-01 --apply-costs --timezone Asia/Shanghai"
)]
pub(super) struct AuditCommand {
    /// From when: a day or time of --timezone, or a time with its zone [default: the beginning of today]
    #[arg(long, value_name = "WHEN")]
    start: Option<When>,

    /// Until when; a day is included to its end [default: now]
    #[arg(long, value_name = "WHEN")]
    end: Option<When>,

    /// Only these accounts, each with its whole workspace
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<AccountId>,

    /// Only the findings and rows of these users, and those that are of no user: of workspaces and models (A1, A2, A3, A8, B7)
    /// and of the ledger as a whole (B4)
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..))]
    user_ids: Vec<UserId>,

    /// Write what fal billed to the tasks: their cost, and nothing else
    #[arg(long)]
    apply_costs: bool,

    /// The language of the report
    #[arg(long, value_name = "LANG", default_value = "en")]
    lang: Lang,

    /// How to write it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: ReportFormat,

    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    thresholds: ThresholdArgs,
    #[command(flatten)]
    fal: FalArgs,
    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// Aligned tables
    Table,
    /// One JSON object, all findings in it
    Json,
    /// One table of all sections
    Csv,
    /// One page that needs nothing else
    Html,
}

impl From<ReportFormat> for report::Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Table => report::Format::Table,
            ReportFormat::Json => report::Format::Json,
            ReportFormat::Csv => report::Format::Csv,
            ReportFormat::Html => report::Format::Html,
        }
    }
}

pub(super) async fn run(args: AuditCommand, _out: &mut Out) -> Result<ExitCode, Failure> {
    let settings = args.audit.settings(&args.thresholds).map_err(Failure::CouldNotRun)?;
    if let Some(path) = &args.output {
        show::check_writable(path)?;
    }
    let desk = Desk::open(&args.database.database_url, &args.keks, &args.fal, settings).await?;
    let audited = audit(&args, &desk).await;
    desk.close().await;
    audited
}

async fn audit(args: &AuditCommand, desk: &Desk) -> Result<ExitCode, Failure> {
    let now = desk.now().await?;
    let (start, end) =
        period::period(args.start, args.end, &args.audit.timezone, now).map_err(Failure::CouldNotRun)?;
    let asked = Start {
        request_id: String::new(),
        start: Some(start),
        end: Some(end),
        account_ids: args.ids.clone(),
        user_ids: args.user_ids.clone(),
        apply_costs: args.apply_costs,
    };
    let mut interrupts = Interrupts::listen()?;
    let begun = desk.handle.start(&asked, &desk.actor).await.map_err(show::of_error)?;
    tokio::select! {
        biased;
        done = report(args, desk, begun.run.id) => done,
        signal = interrupts.next() => tokio::select! {
            biased;
            ended = interrupt::end(&desk.handle, begun.run.id, signal) => ended,
            // Whoever says it twice does not wait for the database.
            (_, code) = interrupts.next() => std::process::exit(i32::from(code)),
        },
    }
}

/// Waits for the run and writes its report.
async fn report(args: &AuditCommand, desk: &Desk, run_id: i64) -> Result<ExitCode, Failure> {
    let run = show::wait(&desk.handle, run_id).await?;
    let summary = show::summary(&run)?;
    let target = args.output.clone().map_or(Target::Stdout, Target::File);
    let mut options = target.options(args.format.into(), args.lang.into());
    options.timezone = TimeZone::get(&args.audit.timezone).unwrap_or(TimeZone::UTC);
    show::write(&desk.handle, &run, &target, options).await?;
    show::say_failures(&summary);
    Ok(match run.state {
        RunState::Completed if summary.report.findings.total() == 0 => ExitCode::SUCCESS,
        RunState::Completed => ExitCode::from(FINDINGS),
        RunState::Running | RunState::Partial | RunState::Failed => ExitCode::from(COULD_NOT_RUN),
    })
}

/// An open database with an engine and reconciliation on it, for one operator's command.
pub(super) struct Desk {
    store: std::sync::Arc<dyn Store>,
    session: Session,
    reconciler: Reconciler,
    pub(super) handle: Handle,
    pub(super) actor: Text,
}

impl Desk {
    pub(super) async fn open(
        database: &DatabaseUrl,
        keks: &KekArgs,
        fal: &FalArgs,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let configured = keyring::configured(keks)?;
        let client = fal::Client::new(fal.config(), System::clock())
            .map_err(|error| Failure::CouldNotRun(format!("fal-base-url: {error}")))?;
        let store = open(database, Prepare::Nothing).await?;
        let keyring = keyring::find(configured, database, &*store.reader()).await?.existing();
        let session = Session::with_keyring(&*store, keyring);
        let works = Works::AtItsOwn;
        let options = Options { works, settings, parallel: fal.fal_parallel, ..Options::default() };
        let holder = Uuid::from_bytes(System::secret_bytes());
        let Some(reconciler) = Reconciler::start(&*store, session.handle(), client, holder, options) else {
            session.end().await;
            close(&*store).await;
            return Err(Failure::could_not_run("this database keeps no reconciliations"));
        };
        let handle = reconciler.handle();
        Ok(Self { store, session, reconciler, handle, actor: Text::from(COMMAND) })
    }

    pub(super) async fn now(&self) -> Result<crate::ledger::Micros, Failure> {
        Ok(self.session.handle().now().await?)
    }

    /// Ends all three in order.
    pub(super) async fn close(self) {
        self.reconciler.drain().await;
        self.session.end().await;
        close(&*self.store).await;
    }
}
