//! Secrets on the command line, where none belongs: refused without being repeated.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use super::super::failure::Failure;

/// The shortest secret that is taken for one: fal's own have 32 characters.
const SECRET_CHARS: usize = 16;

/// The refusal in place of clap's own, which would repeat what it does not understand: of anything that looks like a
/// key, and of every stray word after `keys add` and `keys rotate`.
pub(in super::super) fn instead_of(refused: &clap::Error, args: &[OsString]) -> Option<String> {
    let text = |kind| match refused.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let takes_secret =
        args.windows(2).any(|pair| pair[0] == "keys" && (pair[1] == "add" || pair[1] == "rotate"));
    let argument = text(ContextKind::InvalidArg);
    let is_stray = takes_secret
        && refused.kind() == clap::error::ErrorKind::UnknownArgument
        && !argument.starts_with('-');
    let is_secret = [argument, text(ContextKind::InvalidValue)].into_iter().any(holds_secret);
    (is_stray || is_secret).then(|| why("the command line"))
}

/// Refuses a text that holds what looks like a key.
pub(super) fn refuse<'a>(texts: impl IntoIterator<Item = (&'static str, &'a str)>) -> Result<(), Failure> {
    match texts.into_iter().find(|(_, text)| holds_secret(text)) {
        Some((name, _)) => Err(Failure::CouldNotRun(why(name))),
        None => Ok(()),
    }
}

fn why(place: &str) -> String {
    format!(
        "{place} holds a word too much, which may be a key: give keys on stdin or at the prompt, since every user of \
         this machine can read a command line; a key that was given here should be replaced at fal"
    )
}

fn holds_secret(text: &str) -> bool {
    let is_token =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    text.split(|c: char| c.is_whitespace() || c == '=').any(|word| {
        word.split_once(':').is_some_and(|(id, secret)| {
            !id.is_empty() && secret.len() >= SECRET_CHARS && is_token(id) && is_token(secret)
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::super::Cli;
    use super::*;

    const SECRET: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0";

    #[test]
    fn what_looks_like_a_key_is_one() {
        let key = format!("0b8f9c11-2d7e:{SECRET}");
        assert!(
            holds_secret(&key) && holds_secret(&format!("my key {key}")) && holds_secret(&format!("k={key}"))
        );
        for text in
            ["", "main", "team:prod", "fal-ai/flux:dev", "postgres://u:p@h/database", "12:30", "主账号"]
        {
            assert!(!holds_secret(text), "{text}");
        }
    }

    #[test]
    fn a_key_on_the_command_line_is_refused_and_not_repeated() {
        let key = format!("0b8f9c11-2d7e:{SECRET}");
        for line in [
            format!("scrip keys add main {key}"),
            format!("scrip keys add main {SECRET}"),
            format!("scrip keys rotate 7 {SECRET}"),
            format!("scrip keys rotate {key}"),
            format!("scrip keys show {key}"),
            format!("scrip balance {key}"),
        ] {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let refused = Cli::command().try_get_matches_from(&args).unwrap_err();
            let said = instead_of(&refused, &args).unwrap();
            assert!(said.contains("stdin") && !said.contains(SECRET), "{said}");
        }
    }

    #[test]
    fn other_mistakes_are_told_as_they_are() {
        for line in
            ["scrip keys add", "scrip keys add a --wrokspace b", "scrip keys show seven", "scrip bogus"]
        {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let refused = Cli::command().try_get_matches_from(&args).unwrap_err();
            assert_eq!(instead_of(&refused, &args), None, "{line}");
        }
    }
}
