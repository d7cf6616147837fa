//! The planted bugs of `src/mutants.rs` are in no build that did not ask for them.

#![allow(clippy::unwrap_used)]

use scrip::mutants::Mutant;

#[test]
fn each_planted_bug_has_a_name_of_its_own() {
    let mut names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Mutant::ALL.len(), "{names:?}");
    assert!(names.len() >= 12, "{names:?}");
}

/// That this compiles shows that all are off, whatever the environment says: there is nothing to ask at run time.
#[cfg(not(feature = "mutants"))]
const _: () = {
    let mut index = 0;
    while index < Mutant::ALL.len() {
        assert!(!scrip::mutants::on(Mutant::ALL[index]));
        index += 1;
    }
};

#[cfg(not(feature = "mutants"))]
#[test]
fn the_program_does_not_know_the_variable_that_would_choose_one() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_scrip")).unwrap();
    let knows = |word: &str| program.windows(word.len()).any(|bytes| bytes == word.as_bytes());
    assert!(knows("SCRIP_KEK"), "the program's texts can be found");
    // In two pieces: whatever else is compiled from these sources must not hold the word either.
    assert!(!knows(&["SCRIP_", "MUTANT"].concat()), "the program knows how to turn a planted bug on");
}
