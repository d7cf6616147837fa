//! The layers on a small command line of their own. The environment cannot be changed inside a test process; what the
//! tests of the binary show of it is here shown by a variable that cargo sets.

use clap::{ArgAction, value_parser};

use super::*;
use crate::config::HumanDuration;

/// Set by cargo to `scrip` for every test.
const VARIABLE: &str = "CARGO_PKG_NAME";

fn command() -> Command {
    let option = |name: &'static str| Arg::new(name).long(name).env(format!("UNSET_{name}"));
    Command::new("try")
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .env("UNSET_CONFIG")
                .value_parser(value_parser!(PathBuf))
                .global(true),
        )
        .arg(option("log").global(true))
        .subcommand(
            Command::new("serve")
                .arg(option("drain-timeout").default_value("30s").value_parser(value_parser!(HumanDuration)))
                .arg(option("lanes").default_value("1").value_parser(value_parser!(u32).range(1..=8)))
                .arg(option("no-migrate").action(ArgAction::SetTrue))
                .arg(Arg::new("listen").long("listen").env(VARIABLE).default_value("built-in")),
        )
        .subcommand(
            Command::new("stuck")
                .arg(option("older-than").default_value("24h"))
                .arg(Arg::new("fail").long("fail")),
        )
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// Parses `line`, with a file of these contents.
fn with(toml: &str, line: &str) -> Result<ArgMatches, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let mut args = words(line);
    args.push(format!("--config={}", file.path().display()).into());
    parse(command(), &args).map(|matches| deepest(&matches).clone()).map_err(|error| match error {
        ConfigError::Usage(error) => format!("usage: {error}"),
        ConfigError::Value(why) => why.replace(&file.path().display().to_string(), "FILE"),
    })
}

fn drain(matches: &ArgMatches) -> u64 {
    matches.get_one::<HumanDuration>("drain-timeout").unwrap().0.as_secs()
}

#[test]
fn the_file_beats_the_default_and_the_flag_beats_the_file() {
    assert_eq!(drain(&with("", "try serve").unwrap()), 30);
    assert_eq!(drain(&with("drain_timeout = '5s'", "try serve").unwrap()), 5);
    assert_eq!(drain(&with("drain_timeout = '5s'", "try serve --drain-timeout 7s").unwrap()), 7);
}

#[test]
fn the_environment_beats_the_file() {
    let matches = with("listen = 'from-file'", "try serve").unwrap();
    assert_eq!(matches.get_one::<String>("listen").unwrap(), "scrip");
    let matches = with("listen = 'from-file'", "try serve --listen flag").unwrap();
    assert_eq!(matches.get_one::<String>("listen").unwrap(), "flag");
}

#[test]
fn numbers_booleans_and_options_of_all_commands_come_from_the_file() {
    let toml = "lanes = 3\nno_migrate = true\nlog = 'debug'\nolder_than = '1h'";
    let matches = with(toml, "try serve").unwrap();
    assert_eq!(matches.get_one::<u32>("lanes"), Some(&3));
    assert!(matches.get_flag("no-migrate"));
    assert_eq!(matches.get_one::<String>("log").unwrap(), "debug");
    // A key of another command is known, and of no account here.
    assert_eq!(with(toml, "try stuck").unwrap().get_one::<String>("older-than").unwrap(), "1h");
    assert!(!with("no_migrate = false", "try serve").unwrap().get_flag("no-migrate"));
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let near = with("drain_timeut = '5s'", "try serve").unwrap_err();
    assert_eq!(near, "FILE: unknown key \"drain_timeut\": did you mean drain_timeout?");
    let dashed = with("drain-timeout = '5s'", "try serve").unwrap_err();
    assert!(dashed.ends_with("did you mean drain_timeout?"), "{dashed}");
    let far = with("colour = 'red'", "try serve").unwrap_err();
    assert!(far.contains("\"colour\"") && far.contains("drain_timeout, lanes, listen, log"), "{far}");
    let section = with("[server]\nlanes = 1", "try serve").unwrap_err();
    assert!(section.contains("unknown key \"server\""), "{section}");
    // Part of one action, not an option.
    assert!(with("fail = true", "try stuck").unwrap_err().contains("unknown key \"fail\""));
    assert_eq!(
        with("config = 'x'", "try serve").unwrap_err(),
        "FILE: config cannot be set in the file itself"
    );
}

#[test]
fn bad_values_name_the_key_and_the_file() {
    let duration = with("drain_timeout = 'soon'", "try serve").unwrap_err();
    assert!(
        duration.starts_with("FILE: drain_timeout: invalid value \"soon\": expected a duration"),
        "{duration}"
    );
    let unitless = with("drain_timeout = 30", "try serve").unwrap_err();
    assert!(unitless.contains("with its unit"), "{unitless}");
    let range = with("lanes = 9", "try serve").unwrap_err();
    assert!(range.starts_with("FILE: lanes: invalid value \"9\": ") && range.contains("1..=8"), "{range}");
    let list = with("lanes = [1]", "try serve").unwrap_err();
    assert_eq!(list, "FILE: lanes must be a string, number or boolean, not: array");
    // What the command line gets wrong is not blamed on the file.
    let flag = with("lanes = 3", "try serve --lanes 9").unwrap_err();
    assert!(flag.starts_with("usage: ") && flag.contains("--lanes"), "{flag}");
}

#[test]
fn a_bad_variable_is_named_as_such() {
    let command = Command::new("try")
        .arg(Arg::new("listen").long("listen").env(VARIABLE).value_parser(value_parser!(HumanDuration)));
    let Err(ConfigError::Value(why)) = parse(command.clone(), &words("try")) else { panic!("refused") };
    assert!(why.starts_with("SCRIP_LISTEN: invalid value \"scrip\": expected a duration"), "{why}");
    let flag = parse(command, &words("try --listen=x"));
    assert!(matches!(flag, Err(ConfigError::Usage(_))), "{flag:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_never_quoted() {
    let syntax = with("lanes = 1\nlog = \"postgres://u:s3cret@db", "try serve").unwrap_err();
    assert!(syntax.starts_with("FILE, line 2: not valid TOML: "), "{syntax}");
    assert!(!syntax.contains("s3cret"), "{syntax}");
    let missing = parse(command(), &words("try serve --config /nowhere/scrip.toml"));
    let Err(ConfigError::Value(why)) = missing else { panic!("refused") };
    assert!(why.starts_with("cannot read the configuration file /nowhere/scrip.toml: "), "{why}");
}
