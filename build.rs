//! Compiles the protobuf contract: Rust types, clients and servers, and the descriptor set that reflection serves.

use std::path::{Path, PathBuf};
use std::{env, error, fs, io};

use prost::Message;

/// The messages that carry a secret: `src/pb.rs` says how they print.
const SECRET: [&str; 3] =
    [".scrip.v1.KeyLease", ".scrip.v1.CreateAccountRequest", ".scrip.v1.UpdateAccountRequest"];

/// The directories that imports are looked up in: ours, and what is vendored.
const ROOTS: [&str; 2] = ["proto", "third_party"];

fn main() -> Result<(), Box<dyn error::Error>> {
    for root in ROOTS {
        println!("cargo::rerun-if-changed={root}");
    }
    let descriptors = protox::compile(contract("proto/scrip/v1")?, ROOTS)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("scrip_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .codec_path("crate::api::codec::MessageCodec")
        .skip_debug(SECRET)
        // Nearly every result is the large variant: a box would only cost an allocation for each.
        .enum_attribute(".scrip.v1.BatchChargeResult.result", "#[allow(clippy::large_enum_variant)]")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Every proto file of one package, in a fixed order so that builds repeat.
fn contract(package: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(package)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}
