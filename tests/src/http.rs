//! HTTP clients.

use reqwest::{Client, ClientBuilder};

/// A client builder whose TLS uses the same cryptography as the functions.
pub fn http_client() -> ClientBuilder {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}
