//! `scrip keys rotate-kek`: every stored secret under the newest key-encryption key; and `scrip keys new-kek`.
//!
//! Phases of a rotation: page by page, what the first key did not seal is opened, sealed anew and stored, unless the row
//! has changed meanwhile; then all is looked over again, since a server that has not been restarted yet may have sealed
//! with an older key; at the end what could not be opened is named.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::failure::{FINDINGS, Failure};
use super::super::keyring::{self, Found};
use super::super::output::{Out, plain};
use super::super::session::{Prepare, Session, close, open};
use crate::clock::System;
use crate::config::{DatabaseArgs, KekArgs};
use crate::engine::Handle;
use crate::keypool::{AccountId, AccountKey, Command, Purpose, Reseal};
use crate::ledger::Text;
use crate::vault::{KekId, Keyring};

/// Rows of one page, and of one commit.
const PAGE: u32 = 200;
/// How often all is looked over while servers go on sealing with an older key.
const PASSES: u32 = 5;

/// Seal every stored secret with the newest key-encryption key
///
/// Works beside running servers, and can be repeated at any time. To rotate: put a new line first in the file of
/// --kek-file (or SCRIP_KEK), above the old one; restart every server with it, so that each can open what the new key
/// seals; run rotate-kek; then take the old line out and restart again. Keep a backup of every key as long as a backup
/// of the database is kept that was sealed with it.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all are sealed with the newest key · 1 some are not · 2 could not run.\n\n\
    Examples:\n  \
    umask 077\n  \
    scrip keys new-kek 2026-11 > next.kek\n  \
    cat scrip.db.kek >> next.kek\n  \
    mv next.kek scrip.db.kek                     # then restart the servers\n  \
    scrip keys rotate-kek\n  \
    scrip keys rotate-kek --kek-file /etc/scrip/kek"
)]
pub(super) struct RotateKekArgs {
    #[command(flatten)]
    keks: KekArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Make a new key-encryption key, and print its line
///
/// The line, ID:64-HEX-DIGITS, is for the file of --kek-file or for SCRIP_KEK. Nothing else is done with it: see `scrip
/// keys rotate-kek --help`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    (umask 077; scrip keys new-kek k1 > /etc/scrip/kek)")]
pub(super) struct NewKekArgs {
    /// Its id, which is stored beside all that it seals: 1 to 64 letters, digits, dots, underscores and dashes
    #[arg(value_name = "ID", value_parser = KekId::new)]
    id: KekId,
}

pub(super) fn print_new(args: &NewKekArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let line = Keyring::generate(args.id.clone(), System::secret_bytes()).first_line().unwrap_or_default();
    out.line(&*line)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rotate(args: RotateKekArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let configured = keyring::configured(&args.keks)?;
    let database = &args.database.database_url;
    let store = open(database, Prepare::Nothing).await?;
    let keyring = match keyring::find(configured, database, &*store.reader()).await? {
        Found::Configured(keyring) | Found::Beside(keyring, _) => keyring,
        Found::Nowhere => return Err(keyring::none_configured()),
        Found::Absent(_) => {
            out.line("no secret is stored, and there is no key-encryption key yet: nothing was done")?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let session = Session::with_keyring(&*store, keyring);
    let rotated = all(&session).await;
    session.end().await;
    close(&*store).await;
    rotated?.print(out)
}

/// What a rotation came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rotated {
    /// Sealed anew, over all passes.
    anew: u64,
    /// Found sealed with the first key in the first pass.
    current: u64,
    /// What the last pass still found sealed with an older key, and sealed anew.
    unsettled: u64,
    /// What the last pass could not open.
    unreadable: Vec<String>,
}

async fn all(session: &Session) -> Result<Rotated, Failure> {
    let handle = session.handle();
    let bar = bar();
    let mut rotated = Rotated::default();
    for number in 0..PASSES {
        bar.set_position(0);
        let pass = pass(session, &handle, &bar).await?;
        if number == 0 {
            rotated.current = pass.current;
        }
        rotated.anew = rotated.anew.saturating_add(pass.anew);
        rotated.unsettled = pass.anew;
        rotated.unreadable = pass.unreadable;
        if pass.anew == 0 {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(rotated)
}

/// Looks all secrets over once.
async fn pass(session: &Session, handle: &Handle, bar: &ProgressBar) -> Result<Rotated, Failure> {
    let mut rotated = Rotated::default();
    let mut after: (AccountId, &'static str, Text) = (0, "", Text::default());
    loop {
        let keys = handle.sealed_keys((after.0, after.1, &after.2), PAGE).await?;
        let Some(last) = keys.last() else { return Ok(rotated) };
        after = (last.account_id, last.purpose.as_str(), Text::clone(&last.key_id));
        let mut reseals = Vec::new();
        for key in &keys {
            match judge(handle.keyring(), key, || handle.nonce()) {
                Judged::Current => rotated.current = rotated.current.saturating_add(1),
                Judged::Anew(reseal) => reseals.push(*reseal),
                Judged::Unreadable(why) => rotated.unreadable.push(why),
            }
        }
        bar.inc(keys.len() as u64);
        if !reseals.is_empty() {
            rotated.anew = rotated.anew.saturating_add(reseals.len() as u64);
            session.keys(Command::Reseal(reseals), "").await?;
        }
    }
}

enum Judged {
    Current,
    Anew(Box<Reseal>),
    Unreadable(String),
}

/// What is to be done with one secret. One that the first key sealed is opened as well, to tell whether it is that key.
fn judge(keyring: &Keyring, key: &AccountKey, nonce: impl FnOnce() -> [u8; 24]) -> Judged {
    let Some(before) = &key.sealed else { return Judged::Current };
    let opened = if keyring.is_current(before) {
        keyring.open(&key.key_id, key.purpose, before).map(|_| None)
    } else {
        keyring.reseal(&key.key_id, key.purpose, before, nonce()).map(Some)
    };
    match opened {
        Ok(None) => Judged::Current,
        Ok(Some(after)) => Judged::Anew(Box::new(Reseal {
            account_id: key.account_id,
            purpose: key.purpose,
            key_id: Text::clone(&key.key_id),
            before: before.clone(),
            after,
        })),
        Err(why) => {
            let kind = match key.purpose {
                Purpose::Lease => "key",
                Purpose::Billing => "billing key",
            };
            Judged::Unreadable(format!("account {}, {kind} {}: {why}", key.account_id, key.key_id))
        }
    }
}

fn bar() -> ProgressBar {
    let is_seen = io::stderr().is_terminal();
    let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} secrets looked at") {
        bar.set_style(style);
    }
    bar
}

impl Rotated {
    fn print(&self, out: &mut Out) -> Result<ExitCode, Failure> {
        for line in &self.unreadable {
            out.line(out.paint().red(&plain(&format!("not opened: {line}"))))?;
        }
        let Self { anew, current, unsettled, unreadable } = self;
        out.line(format!(
            "{anew} sealed anew, {current} were sealed with the newest key already, {} not opened",
            unreadable.len()
        ))?;
        if *unsettled > 0 {
            out.line(
                "some were sealed with an older key while this ran: restart every server with the new key first in its \
                 file, and run this again",
            )?;
        }
        let is_done = unreadable.is_empty() && *unsettled == 0;
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Micros;
    use crate::vault::FalKey;

    fn ring(text: &str) -> Keyring {
        Keyring::parse(text).unwrap()
    }

    fn key(sealed_by: &Keyring) -> AccountKey {
        let secret = FalKey::new("id-1:s3cret".to_owned()).unwrap();
        AccountKey {
            account_id: 7,
            purpose: Purpose::Billing,
            key_id: "id-1".into(),
            sealed: Some(sealed_by.seal(&secret, Purpose::Billing, [1; 24]).unwrap()),
            create_time: Micros(0),
            retire_time: None,
        }
    }

    #[test]
    fn what_an_older_key_sealed_is_sealed_anew_and_still_opens() {
        let (old, new) = (format!("old:{}", "ab".repeat(32)), format!("new:{}", "cd".repeat(32)));
        let both = ring(&format!("{new}\n{old}"));
        let Judged::Anew(reseal) = judge(&both, &key(&ring(&old)), || [2; 24]) else { panic!("sealed anew") };
        assert_eq!((&*reseal.before.kek_id, &*reseal.after.kek_id), ("old", "new"));
        let opened = ring(&new).open("id-1", Purpose::Billing, &reseal.after).unwrap();
        assert_eq!(opened.expose(), "id-1:s3cret");
        assert!(matches!(judge(&both, &key(&both), || [3; 24]), Judged::Current));
    }

    #[test]
    fn what_does_not_open_is_named_without_its_secret_even_under_the_first_keys_name() {
        let sealed = key(&ring(&format!("k1:{}", "ab".repeat(32))));
        for other in [format!("k1:{}", "cd".repeat(32)), format!("k2:{}", "cd".repeat(32))] {
            let Judged::Unreadable(why) = judge(&ring(&other), &sealed, || [2; 24]) else {
                panic!("{other}")
            };
            assert!(why.starts_with("account 7, billing key id-1: ") && !why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn a_new_keys_line_is_read_back() {
        let line = Keyring::generate(KekId::new("k9").unwrap(), [7; 32]).first_line().unwrap();
        assert_eq!(*line, format!("k9:{}", "07".repeat(32)));
        assert_eq!(ring(&line).first_line(), Some(line));
    }
}
