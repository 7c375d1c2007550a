//! Fanout over real sockets: a log in memory, a history that keeps up, raw WebSocket clients.

/// Tests that are the same in each form of the protocol: functions that take the form.
macro_rules! in_both_forms {
    ($($test:ident,)+) => {
        mod json {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::protocol::Form::Json).await;
            })+
        }
        mod protobuf {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::protocol::Form::Protobuf).await;
            })+
        }
    };
}

mod granted;
mod inbox;
mod limits;
mod misbehaving;
mod presence;
mod recovering;
mod streaming;
mod support;
mod talking;
mod typing;
