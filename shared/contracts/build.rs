//! Compiles `proto/` with protox, so that nobody has to install protoc.

use std::{env, fs, path::PathBuf};

use prost::Message;

const PROTO_ROOT: &str = "../../proto";
const FILES: [&str; 11] = [
    "appointment/v1/appointment_event.proto",
    "billing/v1/billing.proto",
    "billing/v1/billing_event.proto",
    "billing/v1/charge.proto",
    "billing/v1/invoice.proto",
    "billing/v1/money.proto",
    "billing/v1/payment.proto",
    "billing/v1/price.proto",
    "billing/v1/refund.proto",
    "billing/v1/report.proto",
    "patient/v1/patient_event.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(FILES, [PROTO_ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(true)
        .compile_fds(descriptors)?;
    Ok(())
}
