//! Ingest as a whole, over a log and a history in memory.

mod by_heart;
mod http;
mod importing;
mod nasty;
mod once;
mod rules;
mod support;
mod together;
