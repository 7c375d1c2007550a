//! Makes the types of `proto/client.proto`, for both forms: prost's own, and JSON by the rules of `protocol::json`.

use std::error::Error;

/// Messages whose fields are left out of JSON when they are zero. Those of the others are always there: clients rely on it.
const SPARSE: [&str; 20] = [
    "Command",
    "Reply",
    "Error",
    "Push",
    "Publication",
    "Join",
    "Leave",
    "Unsubscribe",
    "ConnectRequest",
    "ConnectResult",
    "SubscribeRequest",
    "SubscribeResult",
    "PublishRequest",
    "HistoryRequest",
    "SendRequest",
    "RPCRequest",
    "RPCResult",
    "RefreshResult",
    "SubRefreshRequest",
    "SubRefreshResult",
];

/// `bytes` that hold a JSON value.
const RAW: [&str; 10] = [
    "Publication.data",
    "ConnectRequest.data",
    "ConnectResult.data",
    "SubscribeRequest.data",
    "SubscribeRequest.tf",
    "SubscribeResult.data",
    "PublishRequest.data",
    "SendRequest.data",
    "RPCRequest.data",
    "RPCResult.data",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/client.proto");
    let path = |name: &str| format!(".tidings.client.{name}");
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]);
    config.type_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default)]");
    for message in SPARSE {
        config.field_attribute(
            path(message),
            "#[serde(skip_serializing_if = \"crate::protocol::json::is_zero\")]",
        );
    }
    for field in RAW {
        config.field_attribute(path(field), "#[serde(with = \"crate::protocol::json::raw\")]");
    }
    config.compile_fds(protox::compile(["client.proto"], ["proto"])?)?;
    Ok(())
}
