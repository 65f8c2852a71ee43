//! The part of HTTP/1.1 that the storefront and its platform speak, on the standard library alone.
//!
//! What holds for all of it: heads and bodies are bounded, a connection has time limits, a body needs
//! `Content-Length` (chunked requests get 411), and a server that stops first ends what it has begun.

mod client;
mod message;
mod server;

pub use client::{Answer, Connection, Url, fetch, get};
pub use message::{Head, Headers, Malformed, Payload, Request, Response};
pub use server::{Handler, Server, Stopper};
