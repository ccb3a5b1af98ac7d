//! HTTP as these programs speak it.

use reqwest::{Client, ClientBuilder};

/// A client to be built, whose TLS has the cryptography that the functions have too.
pub fn http_client() -> ClientBuilder {
    // An error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
