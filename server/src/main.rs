//! The `tidings` binary.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    server::telemetry::start();
    let data = std::env::args().nth(1).unwrap_or_else(|| "./tidings-data".to_owned());
    server::serve::run(server::settings::Settings::on(data.into())).await
}
