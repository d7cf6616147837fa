//! `scrip demo`: a newcomer's first minute. A day of an AI product is played against a fake fal, with faults mixed in,
//! and audited. It needs no network, no database and no key.
//!
//! Phases: a folder for the database → engine, fake fal and reconciliation on it (`stage`) → the day (`plan`) is played
//! under a clock that is set → it is reconciled and its report written → the folder is removed, unless it is to be kept.

mod plan;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use uuid::Uuid;

use self::plan::Job;
use self::stage::{CountedIds, DAY_END, DAY_START, SetClock, Stage};
use super::audit::show::{self, Lang, Target};
use super::failure::Failure;
use super::keyring;
use super::output::Out;
use super::session::close;
use crate::clock::{Clock, System};
use crate::config::DatabaseUrl;
use crate::fal::fake::FakeFal;
use crate::ledger::Text;
use crate::reconcile::{Options, Reconciler, Run, Start};
use crate::store::{Store, sqlite};
use crate::{engine, fal, report};

/// Rows of a table on the terminal: the whole of it is in the page.
const MOST_ROWS: usize = 15;

/// See scrip at work: a day of jobs, billed, audited and explained
///
/// Plays a day of an AI product on a temporary SQLite database: a dozen users buy points, some hundred jobs lease fal
/// keys, are charged, complete, fail and are refunded. A fake fal on this machine bills them. Faults are mixed in, and
/// the audit of the day finds them. Nothing leaves this machine and nothing is left behind.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip demo\n  \
    scrip demo --lang zh\n  \
    scrip demo --html audit.html --keep ./demo    # then: scrip verify --database-url sqlite://demo/scrip.db")]
pub(super) struct DemoArgs {
    /// The day: the same number is the same day
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    seed: u64,

    /// Jobs of the day
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = RangedU64ValueParser::<u32>::new().range(50..=5_000))]
    jobs: u32,

    /// The language of the report
    #[arg(long, value_name = "LANG", default_value = "en")]
    lang: Lang,

    /// Write the report as a page of HTML as well
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Keep the database, in this new folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

pub(super) async fn run(args: DemoArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.html {
        show::check_writable(path)?;
    }
    let folder = Folder::new(args.keep.clone())?;
    let played = play(&args, &folder, out).await;
    drop(folder);
    played?;
    next(&args, out)?;
    Ok(ExitCode::SUCCESS)
}

async fn play(args: &DemoArgs, folder: &Folder, out: &mut Out) -> Result<(), Failure> {
    let url = format!("sqlite://{}", folder.path.join("scrip.db").display());
    let url: DatabaseUrl = url.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
    let clock = Arc::new(SetClock::new());
    let store =
        sqlite::open(url.expose(), sqlite::Options::new(Arc::clone(&clock) as Arc<dyn Clock>)).await?;
    let (keyring, _) = keyring::find(None, &url, &*store.reader()).await?.or_create()?;
    let fal = FakeFal::start().await.map_err(|error| {
        Failure::CouldNotRun(format!("the fake fal could not listen on this machine: {error}"))
    })?;
    let ids = Arc::new(CountedIds { seed: args.seed, next: AtomicU64::new(1) });
    let stage = Stage::new(&*store, clock, ids, keyring, fal);
    let played = on_stage(args, &*store, &stage, out).await;
    stage.end().await;
    close(&*store).await;
    played
}

async fn on_stage(args: &DemoArgs, store: &dyn Store, stage: &Stage, out: &mut Out) -> Result<(), Failure> {
    let jobs = plan::jobs(args.seed, args.jobs);
    introduce(args, &jobs, out)?;
    stage.open_accounts().await?;
    stage.credit(plan::users(), args.jobs).await?;
    let bar = show::bar_of("playing the day, jobs", jobs.len());
    let played = stage.play(&jobs, |done| bar.set_position(done as u64)).await;
    bar.finish_and_clear();
    played?;
    let client = fal::Client::new(
        fal::Config { base_url: stage.fal.base_url(), allow_loopback: true, ..fal::Config::default() },
        System::clock(),
    )
    .map_err(|error| Failure::CouldNotRun(error.to_string()))?;
    let reconciler = reconciler(store, stage.handle(), client)?;
    let reported = audit(args, &reconciler).await;
    reconciler.drain().await;
    reported.map(|_| ())
}

fn reconciler(store: &dyn Store, engine: engine::Handle, client: fal::Client) -> Result<Reconciler, Failure> {
    let options = Options { poll_every: Duration::from_millis(50), ..Options::default() };
    let holder = Uuid::from_bytes(System::secret_bytes());
    Reconciler::start(store, engine, client, holder, options)
        .ok_or_else(|| Failure::could_not_run("this database keeps no reconciliations"))
}

/// Reconciles the day and writes its report.
async fn audit(args: &DemoArgs, reconciler: &Reconciler) -> Result<Run, Failure> {
    let handle = reconciler.handle();
    let asked = Start { start: Some(DAY_START), end: Some(DAY_END), apply_costs: true, ..Start::default() };
    let begun = handle.start(&asked, &Text::from("demo")).await.map_err(show::of_error)?;
    let run = show::wait(&handle, begun.run.id).await?;
    let stdout = Target::Stdout;
    let mut options = stdout.options(report::Format::Table, args.lang.into());
    options.max_rows = MOST_ROWS;
    show::write(&handle, &run, &stdout, options).await?;
    if let Some(path) = &args.html {
        let page = Target::File(path.clone());
        show::write(&handle, &run, &page, page.options(report::Format::Html, args.lang.into())).await?;
    }
    show::say_failures(&show::summary(&run)?);
    Ok(run)
}

fn introduce(args: &DemoArgs, jobs: &[Job], out: &mut Out) -> Result<(), Failure> {
    let (users, jobs) = (plan::USERS, jobs.iter().filter(|job| job.days_before == 0).count());
    let lines = match args.lang {
        Lang::En => [
            format!("A day of an AI product: {users} users, 4 fal accounts in 3 workspaces, {jobs} jobs (seed {}).", args.seed),
            "A fake fal on this machine bills them; nothing leaves it. Mixed in are a request that nobody made, a model"
                .to_owned(),
            "that is never billed, failed jobs that are billed, false reports, crashed runners and an empty account."
                .to_owned(),
        ],
        Lang::Zh => [
            format!("某 AI 产品的一天：{users} 个用户，3 个工作区里的 4 个 fal 账号，{jobs} 个任务（种子 {}）。", args.seed),
            "由本机上的模拟 fal 计费，不访问网络。其中混入了：没有人发起的请求、从不计费的模型、".to_owned(),
            "失败却被计费的任务、错误的上报、崩溃的运行方，以及余额将尽的账号。".to_owned(),
        ],
    };
    for line in lines {
        out.line(line)?;
    }
    Ok(out.line("")?)
}

fn next(args: &DemoArgs, out: &mut Out) -> Result<(), Failure> {
    let [title, page, again, keep, serve] = match args.lang {
        Lang::En => [
            "Try next:",
            "in a browser",
            "the same with charts, in a browser",
            "keep the database, and look around in it",
            "the service, on a database of your own",
        ],
        Lang::Zh => [
            "接下来可以试试：",
            "在浏览器中打开",
            "同样的内容，带图表，在浏览器中查看",
            "保留数据库，随意查看",
            "在你自己的数据库上运行服务",
        ],
    };
    out.line("")?;
    out.line(out.paint().bold(title))?;
    if let Some(path) = &args.html {
        out.line(format!("  {}    # {page}", path.display()))?;
    } else {
        out.line(format!("  scrip demo --html audit.html    # {again}"))?;
    }
    match &args.keep {
        Some(folder) => {
            let url = format!("--database-url sqlite://{}/scrip.db", folder.display());
            out.line(format!("  scrip verify {url}"))?;
            out.line(format!("  scrip balance 103 {url}"))?;
            out.line(format!("  scrip serve {url}"))?;
        }
        None => {
            out.line(format!("  scrip demo --keep ./demo        # {keep}"))?;
            out.line(format!("  scrip serve                     # {serve}"))?;
        }
    }
    Ok(())
}

/// The folder of the demo's database; removed at the end, unless it was asked for.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn new(keep: Option<PathBuf>) -> Result<Self, Failure> {
        let is_kept = keep.is_some();
        let path = keep.unwrap_or_else(|| {
            let name = Uuid::from_bytes(System::secret_bytes()).simple().to_string();
            std::env::temp_dir().join(format!("scrip-demo-{name}"))
        });
        let path = make(&path)?;
        Ok(Self { path, is_kept })
    }
}

/// Makes a folder that is not there yet: what is in an old one is somebody's.
fn make(path: &Path) -> Result<PathBuf, Failure> {
    let refused = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::CouldNotRun(format!("{} is there already: name a folder that is not", path.display()))
        }
        _ => Failure::CouldNotRun(format!("cannot make the folder {}: {error}", path.display())),
    };
    std::fs::create_dir(path).map_err(refused)?;
    Ok(path.to_owned())
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed is the system's to sweep.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
