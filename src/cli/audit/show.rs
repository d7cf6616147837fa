//! A run of reconciliation as a report: read back from the store and written by [`crate::report`].

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use crate::audit::{Finding, Language, Report};
use crate::cli::failure::Failure;
use crate::cli::output::{Paint, colour_wanted};
use crate::reconcile::{FindingQuery, Glimpse, Handle, Phase, Progress, Reason, Run, RunState, Summary};
use crate::report;

/// Rows of one read.
const PAGE: u32 = 1_000;

/// How long a run may wait for its turn before that is said.
const PATIENCE: Duration = Duration::from_secs(2);

/// The language of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Language::English,
            Lang::Zh => Language::Chinese,
        }
    }
}

/// Where a report goes.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Target {
    Stdout,
    File(PathBuf),
}

impl Target {
    fn open(&self) -> Result<Box<dyn Write + Send>, Failure> {
        match self {
            Target::Stdout => Ok(Box::new(io::stdout())),
            Target::File(path) => match std::fs::File::create(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(Failure::CouldNotRun(format!("cannot write {}: {error}", path.display()))),
            },
        }
    }

    /// How a report for it looks: of colour and width only a terminal has something to say.
    pub(in crate::cli) fn options(&self, format: report::Format, language: Language) -> report::Options {
        let on_terminal = matches!(self, Target::Stdout) && io::stdout().is_terminal();
        let colour =
            if on_terminal && colour_wanted() { report::Colour::Ansi } else { report::Colour::Plain };
        let width = on_terminal.then(terminal_width).flatten();
        report::Options { language, format, colour, width, ..report::Options::default() }
    }
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| usize::from(columns))
}

/// Waits until a run is over, with a bar where somebody looks on.
pub(in crate::cli) async fn wait(handle: &Handle, run_id: i64) -> Result<Run, Failure> {
    let mut bar = Bar::new();
    let mut watch = handle.watch(run_id);
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            seen = watch.next() => match seen.map_err(of_error)? {
                Some(seen) => bar.show(&seen),
                None => break,
            },
            () = tokio::time::sleep(PATIENCE), if !told => {
                // Nobody has taken it up: this process would have, had it the turn.
                told = handle.get(run_id).await.map_err(of_error)?.attempt == 0;
                if told {
                    let said = "waiting: another process works at a reconciliation. This one follows once that is over, or 30 s \
                                after it fell silent";
                    bar.0.suspend(|| eprintln!("{said}"));
                }
            }
        }
    }
    bar.0.finish_and_clear();
    handle.get(run_id).await.map_err(of_error)
}

/// Writes the report of a run that is over.
pub(in crate::cli) async fn write(
    handle: &Handle,
    run: &Run,
    target: &Target,
    options: report::Options,
) -> Result<(), Failure> {
    // What the run left, whole.
    summary(run)?;
    let kept = handle.summary(run).await.map_err(of_error)?.ok_or_else(unreadable)?;
    let gaps = gaps(run, &kept);
    let mut report = kept.report;
    read_rows(handle, run.id, &mut report).await?;
    let mut writer = target.open()?;
    // People are shown the gravest; programs get them all, a page at a time.
    let wanted = match options.format {
        report::Format::Table | report::Format::Html => Some(options.max_findings),
        report::Format::Json | report::Format::Csv => None,
    };
    let (sender, mut findings) = mpsc::channel::<Finding>(PAGE as usize);
    let writing = tokio::task::spawn_blocking(move || {
        let findings = std::iter::from_fn(|| findings.blocking_recv());
        report::render(&report, &gaps, findings, &options, &mut *writer).and_then(|()| writer.flush())
    });
    let read = send_findings(handle, run.id, wanted, sender).await;
    let written = writing.await.map_err(|_| Failure::could_not_run("the report could not be written"))?;
    read?;
    Ok(written?)
}

/// What a run kept of its report, if it came so far.
pub(in crate::cli) fn summary(run: &Run) -> Result<Summary, Failure> {
    if run.state == RunState::Failed {
        return Err(Failure::CouldNotRun(format!("the reconciliation failed: {}", run.error)));
    }
    Summary::from_json(&run.summary).ok_or_else(unreadable)
}

/// What the report does not hold.
fn gaps(run: &Run, kept: &Summary) -> report::Gaps {
    let not_fetched = kept.failures.iter().map(|failure| report::NotFetched {
        account_id: failure.account_id,
        account: failure.account_name.clone(),
        workspace: failure.workspace.clone(),
        source: failure.source.as_str(),
        reason: failure.reason.as_str(),
        http_status: failure.http_status,
        message: failure.message.clone(),
    });
    report::Gaps {
        is_partial: run.state == RunState::Partial,
        not_fetched: not_fetched.collect(),
        unlisted_disagreements: kept.unlisted_disagreements,
    }
}

fn unreadable() -> Failure {
    Failure::could_not_run("the reconciliation has left no report that this version can read")
}

async fn read_rows(handle: &Handle, run_id: i64, report: &mut Report) -> Result<(), Failure> {
    let unreadable = |_| Failure::could_not_run("a row of the report cannot be read by this version");
    let mut after = (0, -1);
    loop {
        let rows = handle.rows(run_id, after, PAGE).await.map_err(of_error)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = (last.layer, last.number);
        for row in &rows {
            let json = &row.content;
            match row.layer {
                1 => report.workspaces.push(serde_json::from_str(json).map_err(unreadable)?),
                2 => report.tasks.push(serde_json::from_str(json).map_err(unreadable)?),
                _ => report.users.push(serde_json::from_str(json).map_err(unreadable)?),
            }
        }
    }
}

async fn send_findings(
    handle: &Handle,
    run_id: i64,
    wanted: Option<usize>,
    sender: mpsc::Sender<Finding>,
) -> Result<(), Failure> {
    let query = FindingQuery { run_id, ..FindingQuery::default() };
    let mut after: Option<(i16, crate::ledger::Text, i64)> = None;
    let mut sent = 0;
    loop {
        let place = after.as_ref().map(|(rank, rule, number)| (*rank, &**rule, *number));
        let rows = handle.findings(&query, place, PAGE).await.map_err(of_error)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.place.clone());
        for row in rows {
            // A writer that stopped has its own reason, told by itself.
            if wanted.is_some_and(|wanted| sent >= wanted) || sender.send(row.finding).await.is_err() {
                return Ok(());
            }
            sent += 1;
        }
    }
}

/// Says on stderr what could not be fetched: it is why a report is not complete.
pub(in crate::cli) fn say_failures(summary: &Summary) {
    let paint = Paint::stderr();
    for failure in &summary.failures {
        let denied = match failure.reason {
            Reason::UpstreamDenied => {
                "; give the account a key that may, with `scrip keys rotate ID --billing`"
            }
            Reason::SecretUnavailable => "; store the key again with `scrip keys rotate`",
            Reason::UpstreamUnavailable => "",
        };
        eprintln!(
            "{} account {} ({}), {}: {}{denied}",
            paint.red("not fetched:"),
            failure.account_id,
            crate::cli::output::plain(&failure.account_name),
            failure.source.as_str().replace('_', " "),
            failure.message,
        );
    }
    if summary.unlisted_disagreements > 0 {
        eprintln!(
            "{} more of the ledger disagree: `scrip verify` names them all",
            summary.unlisted_disagreements
        );
    }
}

/// An error of reconciliation for an operator. What was refused did not run: 1 means findings, and nothing else.
pub(in crate::cli) fn of_error(error: crate::reconcile::Error) -> Failure {
    match error {
        crate::reconcile::Error::Engine(error) => match error.into() {
            Failure::Refused(why) => Failure::CouldNotRun(why),
            other => other,
        },
        other => Failure::CouldNotRun(other.to_string()),
    }
}

/// Whether a file's folder is there: asked before a run, so that its report is not lost at the end.
pub(in crate::cli) fn check_writable(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(Failure::CouldNotRun(format!(
            "cannot write {}: there is no folder {}",
            path.display(),
            folder.display()
        ))),
        _ if path.is_dir() => {
            Err(Failure::CouldNotRun(format!("cannot write {}: it is a folder", path.display())))
        }
        _ => Ok(()),
    }
}

/// A bar on a terminal; hidden elsewhere.
fn visible_bar(length: Option<u64>) -> ProgressBar {
    let on_terminal = io::stderr().is_terminal();
    let target = if on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(length, target)
}

/// A bar of so many steps of one thing.
pub(in crate::cli) fn bar_of(what: &'static str, length: usize) -> ProgressBar {
    let bar = visible_bar(u64::try_from(length).ok());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {human_pos}/{human_len}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// What a run is at, for whoever looks on.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = visible_bar(None);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&mut self, seen: &Glimpse) {
        let Progress { phase, done, total, findings } = seen.progress;
        let template = if total > 0 {
            "{spinner} {msg} {wide_bar} {human_pos}/{human_len}"
        } else {
            "{spinner} {msg} {human_pos}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        let what = match phase {
            Phase::Fetching => "asking fal, answers",
            Phase::Matching => "matching tasks and events",
            Phase::Checking => "checking the ledgers, users",
            Phase::Applying => "writing costs, tasks",
            Phase::Over => "over",
        };
        let found: i64 = findings.iter().sum();
        self.0.set_message(format!("{what} ({found} findings)"));
        self.0.set_length(u64::try_from(total).unwrap_or_default());
        self.0.set_position(u64::try_from(done).unwrap_or_default());
    }
}
