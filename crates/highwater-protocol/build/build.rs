//! Compiles the .proto files without an external `protoc`.

mod schema;

use prost::Message as _;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let files = [
        "highwater/v1/sync.proto",
        "highwater/v1/receipts.proto",
        "highwater/v1/write.proto",
        "highwater/v1/kinds.proto",
    ];
    println!("cargo::rerun-if-changed={root}");
    let descriptors = protox::compile(files, [root])?;
    let encoded = descriptors.encode_to_vec();
    if cfg!(feature = "schema") {
        let schemas = schema::of_messages(&encoded)?;
        fs::write(out()?.join("schemas.json"), schemas.to_string())?;
    }
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .build(&[".highwater.v1"])?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "so cargo says where to write")]
fn out() -> Result<PathBuf, Box<dyn Error>> {
    Ok(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?.into())
}
