//! URLs that AWS takes as tokens: requests that are signed, and that nobody sends.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// How long a token may be used to open a connection. AWS allows no more.
const VALID_FOR: Duration = Duration::from_mins(15);

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request that is to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Presigned<'a> {
    /// Who it is for, as AWS calls it.
    pub service: &'a str,
    /// Where that is.
    pub region: &'a str,
    /// The host, with its port unless it is that of HTTPS.
    pub host: &'a str,
    /// Names and values of the query.
    pub query: &'a [(&'a str, &'a str)],
}

impl Presigned<'_> {
    /// The URL, without its scheme, signed (Signature Version 4, in the query) as of this moment.
    /// It is valid for a quarter of an hour. Nobody is asked for it.
    ///
    /// # Errors
    /// If the host or the query cannot be part of a URL.
    pub fn url(
        &self,
        credentials: Credentials,
        now: SystemTime,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        const SCHEME: &str = "https://";
        let mut url = format!("{SCHEME}{}/?", self.host);
        for (index, (name, value)) in self.query.iter().enumerate() {
            if index > 0 {
                url.push('&');
            }
            push_pair(&mut url, name, value);
        }
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID_FOR);
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let headers = [("host", self.host)];
        let request =
            SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]))?;
        let (signed, _) = sign(request, &parameters)?.into_parts();
        let mut url = url.split_off(SCHEME.len());
        for (name, value) in signed.params() {
            url.push('&');
            push_pair(&mut url, name, value);
        }
        Ok(url)
    }
}

fn push_pair(url: &mut String, name: &str, value: &str) {
    url.push_str(name);
    url.push('=');
    url.extend(utf8_percent_encode(value, RESERVED));
}
