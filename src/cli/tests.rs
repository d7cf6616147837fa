//! The command line as a whole: every option in its three spellings, every help worth reading.

use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// Parts of one action: what is done, to whom, how often. They come from the command line alone.
const ACTION: [&str; 52] = [
    "accounts",
    "as-of",
    "distribute",
    "grant-to",
    "purse",
    "source",
    "request-id",
    "order-id",
    "title",
    "amount",
    "reason",
    "user",
    "limit",
    "fail",
    "yes",
    "users",
    "in-flight",
    "connections",
    "seconds",
    "unary",
    "batch",
    "help",
    "version",
    "name",
    "workspace",
    "max-concurrency",
    "priority",
    "weight",
    "allow-app",
    "any-app",
    "remark",
    "balance-usd",
    "balance-unknown",
    "billing",
    "with-billing-key",
    "no-billing-key",
    "start",
    "end",
    "ids",
    "user-ids",
    "apply-costs",
    "lang",
    "format",
    "output",
    "timeframe",
    "seed",
    "keep",
    "html",
    "jobs",
    "role",
    "expires-in",
    "all",
];

fn commands(command: &Command) -> Vec<Command> {
    let mut all = vec![command.clone()];
    all.extend(command.get_subcommands().filter(|below| below.get_name() != "help").flat_map(commands));
    all
}

fn all() -> Vec<Command> {
    let mut root = Cli::command();
    root.build();
    commands(&root)
}

fn env(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_str().unwrap().to_owned())
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn flag_and_variable_are_one_name_and_every_option_has_both() {
    for command in all() {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long() else {
                assert!(arg.is_positional(), "{} {}: no long name", command.get_name(), arg.get_id());
                continue;
            };
            let variable = format!("SCRIP_{}", long.replace('-', "_").to_uppercase());
            match env(arg) {
                Some(env) => assert_eq!(env, variable),
                None => assert!(ACTION.contains(&long), "--{long} has no variable and no key"),
            }
        }
    }
}

#[test]
fn one_name_means_one_thing() {
    let mut seen = std::collections::BTreeMap::new();
    for command in all() {
        for arg in command.get_arguments().filter(|arg| arg.get_env().is_some()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let first = seen.entry(arg.get_long().unwrap().to_owned()).or_insert_with(|| help.clone());
            assert_eq!(*first, help, "--{}", arg.get_long().unwrap());
        }
    }
}

#[test]
fn nothing_shows_the_database_url_of_the_environment() {
    let urls: Vec<Arg> = all()
        .iter()
        .flat_map(|command| command.get_arguments().cloned().collect::<Vec<_>>())
        .filter(|arg| arg.get_id() == "database_url")
        .collect();
    assert!(urls.len() >= 6);
    assert!(urls.iter().all(Arg::is_hide_env_values_set));
}

#[test]
fn the_keys_that_seal_secrets_are_no_flag_and_no_key_of_the_file() {
    for command in all() {
        for arg in command.get_arguments() {
            assert_ne!(env(arg).as_deref(), Some("SCRIP_KEK"), "{} {}", command.get_name(), arg.get_id());
            assert_ne!(arg.get_long(), Some("kek"), "{}", command.get_name());
        }
    }
}

#[test]
fn every_help_says_what_it_is_for_and_shows_examples() {
    for command in all() {
        let name = command.get_name().to_owned();
        assert!(command.get_about().is_some(), "{name}");
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{name} {}", arg.get_id());
        }
        if !["scrip", "tasks", "keys", "tokens", "version"].contains(&name.as_str()) {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_shown = ["", "tasks ", "keys ", "tokens "]
                .iter()
                .any(|group| after.contains(&format!("scrip {group}{name}")));
            assert!(is_shown, "{name}");
        }
    }
}

#[test]
fn money_needs_its_name() {
    let read = |line: &str| Cli::command().try_get_matches_from(line.split_whitespace());
    assert!(read("scrip credit 1 5 --purse points --request-id a").is_ok());
    assert!(read("scrip credit 1 5 --purse points").is_err());
    assert!(read("scrip refund t").is_ok());
    assert!(read("scrip refund t --amount 5").is_err());
    assert!(read("scrip refund t --amount 5 --request-id a").is_ok());
    for amount in ["0", "-5", "1.5", "9223372036854775808", "x"] {
        let refused = read(&format!("scrip credit 1 {amount} --purse points --request-id a"));
        assert!(refused.unwrap_err().to_string().contains("AMOUNT"), "{amount}");
    }
    assert!(read("scrip credit 0 5 --purse points --request-id a").is_err());
    assert!(read("scrip tasks stuck --yes").is_err());
    assert!(read("scrip bench --unary --batch 3").is_err());
}
