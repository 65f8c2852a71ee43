//! The part of HTTP/1.1 that the demo speaks, on the standard library and `httparse`.
//!
//! What holds for all of it: heads and bodies are bounded, and a body needs `Content-Length` (a chunked message is
//! refused, never misread).

pub(crate) mod client;
pub(crate) mod message;
pub(crate) mod server;
