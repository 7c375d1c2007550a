//! Addresses on this machine at which nobody listens yet.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::bail;

/// Ports are taken from here: below those that the system hands to clients, or a client that dials while the server is
/// away might be given the server's own port, and reach itself.
const PORT_MIN: u16 = 20_000;
const PORTS_LEN: u32 = 12_000;
const PORT_TRIES_MAX: usize = 100;

/// Where nobody listens now. No port is given out twice in one process.
///
/// # Errors
/// None was found.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORT_TRIES_MAX {
        let turn = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORT_MIN + u16::try_from(turn % PORTS_LEN)?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}
