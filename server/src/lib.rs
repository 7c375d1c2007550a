//! Server: the composition of ingest, fanout and store into one process, and the command line.
//!
//! Reading path: [`app`] (how the parts are joined), `routes`, `edge`, [`cli`].
//!
//! Invariant: no business rule here; only this crate reads settings and the data folder.

pub mod app;
mod backing;
mod body;
pub mod cli;
pub mod client;
mod console;
pub mod cpu;
pub mod data_dir;
mod edge;
mod guest;
mod health;
pub mod key_set;
pub mod measure;
mod observed;
pub mod registry;
mod routes;
pub mod serve;
pub mod settings;
pub mod telemetry;
