//! Compiles the .proto files without an external `protoc`.

use prost::Message as _;
use std::error::Error;

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
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .ignore_unknown_fields()
        .build(&[".highwater.v1"])?;
    Ok(())
}
