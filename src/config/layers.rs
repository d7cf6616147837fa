//! Where an option's value comes from: flag, else environment, else the TOML file, else the default.
//!
//! clap knows the first two and the last. The file joins them as *other defaults*: its values are put in the place of
//! the built-in ones and the command line is read again, so that they pass through the same parsers and the flag and
//! the environment still win. The phases of [`parse`]:
//!
//! 1. read the command line and the environment; help and usage errors end here;
//! 2. if they name a file, read it and refuse keys that no option has;
//! 3. put its values in and read again; what fails now, and did not before, is the file's fault;
//! 4. refuse a secret where all users of the machine can read it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::DatabaseUrl;

/// The option that names the file; the one that cannot be in it.
const CONFIG: &str = "config";
/// The option that may hold a password.
const DATABASE_URL: &str = "database_url";

/// Why there are no options.
#[derive(Debug)]
pub enum ConfigError {
    /// Help was asked for, or the command line is wrong: clap words and colours it.
    Usage(clap::Error),
    /// The environment or the file is wrong: one sentence that names the place.
    Value(String),
}

/// Reads the options of `command`.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse(command: Command, args: &[OsString]) -> Result<ArgMatches, ConfigError> {
    let matches = read(command, args)?;
    refuse_shown_password(deepest(&matches))?;
    Ok(matches)
}

fn read(command: Command, args: &[OsString]) -> Result<ArgMatches, ConfigError> {
    let matches =
        command.clone().try_get_matches_from(args).map_err(|error| blame_environment(error, args))?;
    let Some(path) = deepest(&matches).try_get_one::<PathBuf>(CONFIG).ok().flatten() else {
        return Ok(matches);
    };
    let values = read_file(path, &known_keys(&command))?;
    with_file(command, &values).try_get_matches_from(args).map_err(|error| blame_file(error, path, &values))
}

/// The options of the command that was called; those of the commands above it came along.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| deepest(below))
}

/// A command line is in the list of processes, and in the history of a shell.
fn refuse_shown_password(matches: &ArgMatches) -> Result<(), ConfigError> {
    let url = matches.try_get_one::<DatabaseUrl>(DATABASE_URL).ok().flatten();
    if url.is_none_or(|url| !url.has_password())
        || matches.value_source(DATABASE_URL) != Some(ValueSource::CommandLine)
    {
        return Ok(());
    }
    Err(ConfigError::Value(
        "--database-url: every user of this machine can read a command line, and this one has a password in it: give \
         the URL in SCRIP_DATABASE_URL or as database_url in the --config file, or leave the password to PGPASSWORD \
         or ~/.pgpass; and change this one, it has been seen"
            .to_owned(),
    ))
}

/// The key of an option in the file: its flag with `_` for `-`. What has no environment variable is not an option but
/// part of one action, and has no key either.
fn key_of(arg: &Arg) -> Option<String> {
    arg.get_env()?;
    arg.get_long().filter(|long| *long != CONFIG).map(|long| long.replace('-', "_"))
}

/// Every key that some command knows: one file serves them all.
fn known_keys(command: &Command) -> Vec<String> {
    let mut keys: Vec<String> = command.get_arguments().filter_map(key_of).collect();
    keys.extend(command.get_subcommands().flat_map(known_keys));
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn read_file(path: &Path, known: &[String]) -> Result<BTreeMap<String, String>, ConfigError> {
    let place = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::Value(format!("cannot read the configuration file {place}: {error}"))
    })?;
    // Only the parser's sentence: the line it would show may hold the database's password.
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        ConfigError::Value(format!("{place}, line {line}: not valid TOML: {}", error.message()))
    })?;
    table
        .into_iter()
        .map(|(key, value)| {
            if !known.contains(&key) {
                return Err(ConfigError::Value(format!("{place}: {}", unknown_key(&key, known))));
            }
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    let kind = value.type_str();
                    let problem = format!("{place}: {key} must be a string, number or boolean, not: {kind}");
                    return Err(ConfigError::Value(problem));
                }
            };
            Ok((key, text))
        })
        .collect()
}

fn unknown_key(key: &str, known: &[String]) -> String {
    if key == CONFIG {
        return "config cannot be set in the file itself".to_owned();
    }
    let nearest = known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(key, candidate), candidate))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(likeness, _)| *likeness > 0.6);
    match nearest {
        Some((_, candidate)) => format!("unknown key {key:?}: did you mean {candidate}?"),
        None => format!("unknown key {key:?}: the known ones are {}", known.join(", ")),
    }
}

/// The command with the file's values as its defaults, at every depth.
fn with_file(command: Command, values: &BTreeMap<String, String>) -> Command {
    command
        .mut_args(|arg| match key_of(&arg).and_then(|key| values.get(&key)) {
            Some(value) => arg.default_value(value.clone()),
            None => arg,
        })
        .mut_subcommands(|below| with_file(below, values))
}

/// clap does not say that a value came from the environment, where nobody who reads the command line would look.
fn blame_environment(error: clap::Error, args: &[OsString]) -> ConfigError {
    let Some(bad) = BadValue::of(&error) else { return ConfigError::Usage(error) };
    let flag = format!("--{}", bad.long);
    let with_value = format!("{flag}=");
    let typed =
        args.iter().any(|arg| arg.to_str().is_some_and(|arg| arg == flag || arg.starts_with(&with_value)));
    if typed {
        return ConfigError::Usage(error);
    }
    let variable = format!("SCRIP_{}", bad.long.replace('-', "_").to_uppercase());
    ConfigError::Value(format!("{variable}: invalid value {:?}: {}", bad.value, bad.reason))
}

fn blame_file(error: clap::Error, path: &Path, values: &BTreeMap<String, String>) -> ConfigError {
    match BadValue::of(&error) {
        Some(bad) if values.contains_key(&bad.long.replace('-', "_")) => {
            let key = bad.long.replace('-', "_");
            let place = path.display();
            ConfigError::Value(format!("{place}: {key}: invalid value {:?}: {}", bad.value, bad.reason))
        }
        _ => ConfigError::Usage(error),
    }
}

/// What clap knows of a value that its parser refused.
struct BadValue {
    long: String,
    value: String,
    reason: String,
}

impl BadValue {
    fn of(error: &clap::Error) -> Option<Self> {
        if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
            return None;
        }
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            _ => None,
        };
        // As `--listen <ADDR>`.
        let shown = text(ContextKind::InvalidArg)?;
        let long = shown.strip_prefix("--")?.split([' ', '=', '[']).next()?.to_owned();
        let reason = match (error.get(ContextKind::ValidValue), std::error::Error::source(error)) {
            (Some(ContextValue::Strings(words)), _) => format!("expected one of {}", words.join(", ")),
            (_, Some(source)) => source.to_string(),
            _ => "it cannot be read".to_owned(),
        };
        Some(Self { long, value: text(ContextKind::InvalidValue)?, reason })
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
