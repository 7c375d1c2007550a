//! Fanout over real sockets: a log in memory, a history that keeps up, raw WebSocket clients.

mod misbehaving;
mod presence;
mod recovering;
mod support;
mod talking;
