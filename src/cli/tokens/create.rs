//! `scrip tokens create`: a token for a caller, shown once.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::super::failure::Failure;
use super::super::output::Out;
use super::super::session::{ACTOR, close};
use super::{Shown, desk};
use crate::clock::System;
use crate::config::{DatabaseArgs, Format, FormatArgs, HumanDuration};
use crate::ledger::{Micros, Text, UserId};
use crate::server::auth::{Role, Roles, Secret};
use crate::store::tokens::{CreatedToken, MAX_LIVE, NewToken};

/// Names that entries and the audit log know already as somebody else's.
const RESERVED: [&str; 5] = ["anonymous", "cli", "keypool", "schedule", "scrip"];
const MAX_NAME: usize = 64;

/// Make a token for a caller
///
/// Prints the token alone on stdout, and what it is on stderr. Only its SHA-256 is stored: nobody can be shown it again.
/// It works at every server on the database at once.
///
/// A name may have two tokens: make the second, give it to the caller, revoke the first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scrip tokens create checkout --role biller\n  \
    umask 077; scrip tokens create runners --role runner --expires-in 90d > runners.token\n  \
    scrip tokens create shop-7 --role biller --role runner --users 7000-7999\n  \
    scrip tokens create ops --role admin --format json | jq -r .token")]
pub(super) struct CreateArgs {
    /// The caller's name, as entries and the audit log will show it: letters, digits, dots, dashes and underscores
    #[arg(value_name = "NAME")]
    name: String,

    /// What the caller may do: biller, runner, cashier, auditor or admin; repeat it for several
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,

    /// The users it may touch, first and last; calls about others, or about all, are refused [default: all]
    #[arg(long = "users", value_name = "FIRST-LAST", value_parser = users)]
    users: Option<Range>,

    /// How long it is valid [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    expires_in: Option<HumanDuration>,

    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// First and last.
type Range = (UserId, UserId);

fn lifetime(text: &str) -> Result<HumanDuration, &'static str> {
    match text.parse()? {
        HumanDuration(Duration::ZERO) => Err("a token that has expired already is of no use"),
        length => Ok(length),
    }
}

#[derive(Serialize)]
struct CreatedRow<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    token: &'a str,
}

pub(super) async fn run(args: CreateArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    // Not by the command line's parser, which repeats what it refuses.
    let name = name(&args.name).map_err(|why| Failure::CouldNotRun(format!("NAME: {why}")))?;
    let (store, tokens) = desk(&args.database).await?;
    let was_open = !tokens.known().await?.any;
    let now = store.reader().now().await?;
    let roles: Roles = args.roles.iter().copied().collect();
    let secret = Secret::new(System::secret_bytes());
    let new = NewToken {
        name: Text::from(&*name),
        digest: secret.digest(),
        roles: Text::from(roles.to_string()),
        users: args.users,
        expire_time: args.expires_in.map(|length| Micros(now.0.saturating_add(length.micros()))),
        actor: Text::from(ACTOR),
    };
    let created = tokens.create(&new).await?;
    close(&*store).await;
    let row = match created {
        CreatedToken::Kept(row) => row,
        CreatedToken::NameHasTwo => {
            return Err(Failure::Refused(format!(
                "{name} has two tokens already: revoke one first (`scrip tokens list` shows them)"
            )));
        }
        CreatedToken::Full => {
            return Err(Failure::Refused(format!(
                "there are {MAX_LIVE} valid tokens already: revoke some first (`scrip tokens list` shows them)"
            )));
        }
    };
    if args.format.format == Format::Json {
        out.json(&CreatedRow { shown: Shown::new(&row, now), token: secret.expose() })?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("token {} of {} ({}): keep it, it is not shown again", row.id, row.name, row.roles);
    if was_open {
        eprintln!(
            "it is the first of this database: from now on every server on it asks its callers for one"
        );
    }
    out.line(secret.expose())?;
    Ok(ExitCode::SUCCESS)
}

fn name(text: &str) -> Result<String, String> {
    let is_name = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if text.starts_with("scrip_") {
        return Err("this looks like a token, not like a name".to_owned());
    }
    if !is_name(text) || text.len() > MAX_NAME {
        return Err(format!(
            "expected up to {MAX_NAME} letters, digits, dots, dashes and underscores, a letter first"
        ));
    }
    if RESERVED.contains(&text) {
        return Err("scrip itself goes by this name: choose another one".to_owned());
    }
    Ok(text.to_owned())
}

fn users(text: &str) -> Result<Range, String> {
    let range =
        text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match range {
        Some((first, last)) if 1 <= first && first <= last => Ok((first, last)),
        _ => Err("expected the first and the last user id, such as 7000-7999".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_nobody_elses_and_shows_in_one_word() {
        for text in ["checkout", "a", "shop-7.eu_west", &"x".repeat(64)] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in
            ["", "7", "-a", "a b", "spiffe://x/y", "CN=a", "名", "cli", "scrip", &"x".repeat(65), "scrip_abc"]
        {
            assert!(name(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn users_are_a_first_and_a_last_one() {
        assert_eq!(users("7-7"), Ok((7, 7)));
        assert_eq!(users("1-9223372036854775807"), Ok((1, i64::MAX)));
        for text in ["", "7", "0-7", "8-7", "a-b", "-7", "7-", "1-9223372036854775808"] {
            assert!(users(text).unwrap_err().contains("7000-7999"), "{text:?}");
        }
    }
}
