//! The socket at which clients knock.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be taken, if the system allows as many (`net.core.somaxconn`). The library's 128 do not
/// hold those who come back at once after a node died; a connection that finds no place is tried again by its system
/// after a second, which is as long as some clients wait at all.
const WAITING_LEN_MAX: u32 = 4_096;

/// Listens at an address.
///
/// # Errors
/// It is taken, or not of this machine.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Or the address would be taken for a minute after a server ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn those_who_come_all_at_once_find_a_place_to_wait() {
        let listener = open(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for number in 0..500 {
            let connected = timeout(Duration::from_secs(20), TcpStream::connect(address)).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("connection {number} finds no place")).unwrap());
        }
    }
}
