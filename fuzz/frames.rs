//! Whatever a client sends as one frame: it is understood or refused, and never more than that.

#![no_main]

libfuzzer_sys::fuzz_target!(|frame: &[u8]| fanout::fuzzing::frame(frame));
