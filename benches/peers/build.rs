//! Compiles the contract of the service that is called, from the repository's protos.

use std::path::{Path, PathBuf};
use std::{error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let roots = [root.join("proto"), root.join("third_party")];
    for directory in &roots {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(roots[0].join("scrip/v1"))? {
        files.push(entry?.path());
    }
    files.sort();
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(protox::compile(files, roots)?)?;
    Ok(())
}
